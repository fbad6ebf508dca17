"""Django's SQLite backend, reading times that Python cannot represent as null.

A process that serves creates no files of Nova's databases: it would take an empty one for a
database that is gone.  Of the portal's own, ``portal.schema`` notices that.
"""

import sqlite3
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.sqlite3 import base
from django.utils.dateparse import parse_date, parse_datetime

from cells.backends.guards import is_serving
from cells.odd_times import or_none

# SQLite's converters are those of the process, as Django's are, which these replace.
for kind, parse in (("date", parse_date), ("datetime", parse_datetime)):
    sqlite3.register_converter(kind, or_none(base.decoder(parse), "SQLite"))


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if (
            is_serving()
            and self.alias != DEFAULT_DB_ALIAS
            and not self.is_in_memory_db()
            and not Path(conn_params["database"]).exists()
        ):
            raise sqlite3.OperationalError("its database file is gone")
        return super().get_new_connection(conn_params)
