"""Django's PostgreSQL backend, with limits, and null for times that Python cannot represent."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from psycopg2.extensions import (
    PYDATE,
    PYDATETIME,
    PYDATETIMETZ,
    TRANSACTION_STATUS_IDLE,
    connection,
    cursor,
    new_type,
    register_type,
)

from cells.backends.limits import (
    BEGIN,
    IDLE_TRANSACTION,
    LOCK_WAIT,
    USUAL,
    Limits,
    whole_seconds,
)
from cells.odd_times import or_none

DATE, TIMESTAMP, TIMESTAMPTZ = 1082, 1114, 1184


class Connection(connection):
    """A connection that ends transactions in autocommit, too, where the driver does nothing."""

    def commit(self) -> None:
        self._end("COMMIT", super().commit)

    def rollback(self) -> None:
        self._end("ROLLBACK", super().rollback)

    def _end(self, statement: str, end: Callable[[], None]) -> None:
        if not self.autocommit:
            end()
        elif self.info.transaction_status != TRANSACTION_STATUS_IDLE:
            with self.cursor() as own:
                own.execute(statement)


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
        position, query = self.rownumber, (self.query or b"").removeprefix(BEGIN.encode())
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


class DatabaseWrapper(Limits, base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        seconds = whole_seconds(self.seconds_to_connect(), params.get("connect_timeout", 60))
        return {
            **params,
            "connection_factory": Connection,
            "cursor_factory": Cursor,
            "connect_timeout": seconds,
        }

    def descriptor_of(self, connection: Any) -> int:
        descriptor: int = connection.fileno()
        return descriptor

    def is_closed(self) -> bool:
        return bool(self.connection.closed)

    def is_idle(self) -> bool:
        return bool(self.connection.info.transaction_status == TRANSACTION_STATUS_IDLE)

    def init_connection_state(self) -> None:
        """The server also limits what a connection may do: it goes on when its client is gone."""
        super().init_connection_state()
        limits: dict[str, float] = {"lock_timeout": LOCK_WAIT}
        if self.is_limited_by_server:
            limits["statement_timeout"] = USUAL * settings.CELL_DEADLINE
            limits["idle_in_transaction_session_timeout"] = IDLE_TRANSACTION
        with self.cursor() as cursor:
            cursor.execute(
                "; ".join(f"SET {name} = {int(1000 * value)}" for name, value in limits.items())
            )
