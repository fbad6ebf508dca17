"""Django's PostgreSQL backend, reading times that Python cannot represent as null."""

from collections.abc import Callable
from typing import Any

from django.db.backends.postgresql import base
from psycopg2.extensions import PYDATE, PYDATETIME, PYDATETIMETZ, cursor, new_type, register_type

from cells.backends.odd_times import or_none

DATE, TIMESTAMP, TIMESTAMPTZ = 1082, 1114, 1184


class Cursor(cursor):
    """A cursor that reads rows again, with null for a time that cannot be read, if there is one.

    The driver's own functions are twice as fast as any that could be given to it instead, so these
    come only onto a connection that has met such a time.
    """

    def fetchone(self) -> Any:
        return self._fetch(super().fetchone)

    def fetchmany(self, size: int | None = None) -> Any:
        return self._fetch(lambda: super(Cursor, self).fetchmany(size or self.arraysize))

    def fetchall(self) -> Any:
        return self._fetch(super().fetchall)

    def _fetch(self, fetch: Callable[[], Any]) -> Any:
        position, query = self.rownumber, self.query or b""
        try:
            return fetch()
        except ValueError:
            if self.name or not query.lstrip().upper().startswith(b"SELECT"):
                raise
        where = f"database {self.connection.info.dbname}"
        for oid, read in ((DATE, PYDATE), (TIMESTAMP, PYDATETIME), (TIMESTAMPTZ, PYDATETIMETZ)):
            register_type(new_type((oid,), "TIME", or_none(read, where)), self.connection)
        self.execute(query)
        self.scroll(position, mode="absolute")
        return fetch()


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        return {**super().get_connection_params(), "cursor_factory": Cursor}
