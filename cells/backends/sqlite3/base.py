"""Django's SQLite backend, reading times that Python cannot represent as null.

Nothing that asks a cell creates its file: an empty one would stand for a database that is gone.
The demo makes the files of its cells itself (``hypervisors.demo.databases``).  The API database's
is made by ``migrate``, but by no process that serves.  Of the portal's own, ``portal.schema``
notices that.
"""

import sqlite3
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.sqlite3 import base
from django.utils.dateparse import parse_date, parse_datetime

from cells.backends.guards import is_serving
from cells.databases import is_cell_alias
from cells.odd_times import or_none

# SQLite's converters are those of the process, as Django's are, which these replace.
for kind, parse in (("date", parse_date), ("datetime", parse_datetime)):
    sqlite3.register_converter(kind, or_none(base.decoder(parse), "SQLite"))


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        may_create = self.alias == DEFAULT_DB_ALIAS or not (
            is_cell_alias(self.alias) or is_serving()
        )
        if not (may_create or self.is_in_memory_db() or Path(conn_params["database"]).exists()):
            raise sqlite3.OperationalError("its database file is gone")
        return super().get_new_connection(conn_params)
