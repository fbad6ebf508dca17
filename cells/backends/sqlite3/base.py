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
    #: The file that is open, as device and inode; ``None`` if it may be created.
    opened: tuple[int, int] | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        may_create = self.alias == DEFAULT_DB_ALIAS or not (
            is_cell_alias(self.alias) or is_serving()
        )
        self.opened = None
        if not (may_create or self.is_in_memory_db()):
            try:
                self.opened = _identity(conn_params["database"])
            except (FileNotFoundError, NotADirectoryError):
                raise sqlite3.OperationalError("its database file is gone") from None
            except OSError as error:
                raise sqlite3.OperationalError(f"its database file: {error.strerror}") from None
        return super().get_new_connection(conn_params)

    def _cursor(self, name: str | None = None) -> Any:
        """A cursor, on a new connection if the file was moved or replaced: one that is open is
        read, and written to, where it is then.
        """
        if self.connection is not None and self.opened and not self.in_atomic_block:
            try:
                is_same = self.opened == _identity(self.settings_dict["NAME"])
            except OSError:
                is_same = False
            if not is_same:
                self.close()
        return super()._cursor(name)  # type: ignore[misc]


def _identity(path: str) -> tuple[int, int]:
    """What tells a file from another that takes its place."""
    status = Path(path).stat()
    return status.st_dev, status.st_ino
