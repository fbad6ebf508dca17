"""What each backend adds to Django's: no statement takes longer than its deadline.

See ``cells.deadlines`` for who says how long, and for the watchdog that ends what takes longer.
"""

import math
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, Error, InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from cells.backends.guards import guard_of, is_serving
from cells.databases import cause_of
from cells.deadlines import FOREVER, Line, expires_at

#: How many ``CELL_DEADLINE``s a statement may take where nothing says how long it may.
USUAL = 5
#: Seconds that a statement waits for a lock, and after which the server ends a transaction in which
#: nothing happens: long after an action is over, and before it is taken for interrupted.
LOCK_WAIT = 2
IDLE_TRANSACTION = 60

if TYPE_CHECKING:

    class _Base(BaseDatabaseWrapper):
        """What the stubs leave out."""

        Database: Any

        def _close(self) -> None: ...
        def _cursor(self, name: str | None = None) -> Any: ...
        def _commit(self) -> None: ...
        def _rollback(self) -> None: ...
        def _set_autocommit(self, autocommit: bool) -> None: ...

else:
    _Base = object


class LimitedCursor(CursorWrapper):
    """Django's cursor; what it executes is limited."""

    db: Any

    def _execute(self, sql: Any, params: Any, *args: Any) -> Any:
        return self.db.limited(super()._execute, sql, params, *args)  # type: ignore[misc]

    def _executemany(self, sql: Any, param_list: Any, *args: Any) -> Any:
        return self.db.limited(super()._executemany, sql, param_list, *args)  # type: ignore[misc]


class Limits(_Base):
    """Mixed into a ``DatabaseWrapper``.  A backend says which socket its driver uses."""

    #: The socket of the connection there is.
    line: Line | None = None
    #: Set for the connection that finds out whether the database answers again.
    is_probe = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = guard_of(self.alias)
        self._connected_to: tuple[Any, ...] = ()

    def descriptor_of(self, connection: Any) -> int:
        """The file descriptor of the driver's socket."""
        raise NotImplementedError

    def is_closed(self) -> bool:
        """Whether the driver knows that the connection has ended."""
        raise NotImplementedError

    def usual_limit(self) -> float:
        """Seconds that a statement may take if nothing says how long it may.

        Commands may do in the portal's own database what takes long: migrations.
        """
        if self.alias == DEFAULT_DB_ALIAS and not is_serving():
            return FOREVER
        return USUAL * float(settings.CELL_DEADLINE)

    @property
    def is_limited_by_server(self) -> bool:
        """Whether the server is told how long statements may take."""
        return self.alias != DEFAULT_DB_ALIAS

    # --- connecting -----------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, unless the database is known to be away; nothing half connected stays."""
        if self.guard is not None and not self.is_probe:
            self.guard.refuse_if_away()
        started, self._connected_to = time.monotonic(), self._where()
        try:
            super().connect()
        except Exception as error:
            with suppress(Exception):
                self.close()
            self.connection = None
            if self.guard is not None and isinstance(error, (Error, self.Database.Error)):
                self.guard.failed(cause_of(error), started, connected=False)
            raise

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        self.line = Line(self.descriptor_of(connection))
        # Connections are also dropped unclosed, with their threads.
        self._hang_up = weakref.finalize(connection, self.line.close)
        self._hang_up.atexit = False
        return connection

    def seconds_to_connect(self) -> float:
        """How long connecting may take; raises ``OperationalError`` if there is no time left."""
        now = time.monotonic()
        left = expires_at(now, lambda: float(settings.CELL_DEADLINE)) - now
        if left <= 0:
            raise OperationalError("no time was left to connect")
        return left

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            if self.line is not None:
                self.line = None
                self._hang_up()

    def is_usable(self) -> bool:
        """Whether the connection has not ended, as far as is known here; it is asked nothing.

        One to where the database was before it moved is of no use either.
        """
        if self.connection is None or self.line is None or self._connected_to != self._where():
            return False
        return not self.is_closed() and self.line.is_idle()

    def _where(self) -> tuple[Any, ...]:
        return tuple(self.settings_dict[name] for name in ("HOST", "PORT", "NAME", "USER"))

    # --- statements -----------------------------------------------------------------------

    def make_cursor(self, cursor: Any) -> CursorWrapper:
        return LimitedCursor(cursor, self)

    def limited(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function``, which asks the server something, for as long as it may take.

        Raises ``OperationalError`` for a connection that was lost, whatever its driver calls that.
        """
        line, started = self.line, time.monotonic()
        if line is None:  # closed, which the driver will say
            return self._translated(function, *args)
        expire_at = expires_at(started, self.usual_limit)
        if expire_at <= started:
            raise OperationalError("no time was left for it")
        line.start(expire_at)
        try:
            result = function(*args)
        except Exception as error:
            line.stop()
            if line.is_cut:
                raise self._timed_out(started) from error
            if isinstance(error, InterfaceError):
                raise _lost(error) from error
            raise
        line.stop()
        if self.guard is not None:
            self.guard.succeeded()
        return result

    def _translated(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call it; a connection that is closed already is an ``OperationalError``, too.

        Django closes the connection of an ``atomic`` that a ``DatabaseError`` has ended, and an
        ``InterfaceError`` is none.
        """
        try:
            return function(*args)
        except InterfaceError as error:
            raise _lost(error) from error

    def _timed_out(self, started: float) -> DatabaseError:
        """The error of a statement that the watchdog has ended."""
        cause = f"no answer within {time.monotonic() - started:.1f} s"
        if self.guard is not None:
            self.guard.failed(cause, started, connected=True)
        if not self.in_atomic_block:
            with suppress(Error):
                self.close()
        return OperationalError(cause)

    def _cursor(self, name: str | None = None) -> Any:
        if self.guard is not None and not self.is_probe:
            self.guard.refuse_if_away()
        return self._translated(super()._cursor, name)

    def _commit(self) -> None:
        self.limited(super()._commit)

    def _rollback(self) -> None:
        self.limited(super()._rollback)

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Django's, which would connect at the end of a transaction whose connection was lost.

        That may take its time, and its error would hide the one that ended the transaction.
        """
        if autocommit and self.connection is None and not self.in_atomic_block:
            self.autocommit = True  # as every new connection is
        else:
            super().set_autocommit(autocommit, *args, **kwargs)

    def _set_autocommit(self, autocommit: bool) -> None:
        self.limited(super()._set_autocommit, autocommit)


def _lost(error: InterfaceError) -> OperationalError:
    return OperationalError(cause_of(error) or "the connection is closed")


def whole_seconds(seconds: float, at_most: float) -> int:
    """Seconds as drivers take them: at least one."""
    return max(1, math.ceil(min(seconds, at_most)))
