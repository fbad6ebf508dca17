"""Django's SQLite backend, reading times that Python cannot represent as null."""

import sqlite3

from django.db.backends.sqlite3 import base
from django.utils.dateparse import parse_date, parse_datetime

from cells.odd_times import or_none

# SQLite's converters are those of the process, as Django's are, which these replace.
for kind, parse in (("date", parse_date), ("datetime", parse_datetime)):
    sqlite3.register_converter(kind, or_none(base.decoder(parse), "SQLite"))


class DatabaseWrapper(base.DatabaseWrapper):
    pass
