"""What each backend adds to Django's: no statement takes longer than its deadline.

See ``cells.deadlines`` for who says how long, and for the watchdog that ends what takes longer.

And a transaction begins with its first statement, in one round trip: the driver stays in
autocommit, so that nothing has to be turned off before it and on again after it.
"""

import math
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, Error, InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from cells.backends.guards import Guard, guard_of, is_serving
from cells.databases import cause_of
from cells.deadlines import FOREVER, Line, expires_at

#: How many ``CELL_DEADLINE``s a statement may take where nothing says how long it may.
USUAL = 5
#: Seconds that a statement waits for a lock, and after which the server ends a transaction in which
#: nothing happens: long after an action is over, and before it is taken for interrupted.
LOCK_WAIT = 2
IDLE_TRANSACTION = 60
#: What comes before the first statement of a transaction.
BEGIN = "BEGIN; "

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
    """Django's cursor; what it executes is limited, and begins the transaction that is due."""

    db: Any

    def _execute(self, sql: Any, params: Any, *args: Any) -> Any:
        execute: Callable[..., Any] = super()._execute  # type: ignore[misc]
        if self.db.is_to_begin:
            with self.db.beginning():
                result = self.db.limited(self._begin_and, execute, sql, params, *args)
        else:
            result = self.db.limited(execute, sql, params, *args)
        self.db.answered()
        return result

    def _begin_and(self, execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        result = execute(f"{BEGIN}{sql}", *args)
        with self.db.wrap_database_errors:
            self.db.skip_begin(self.cursor)
        return result

    def _executemany(self, sql: Any, param_list: Any, *args: Any) -> Any:
        self.db.begin()
        return self.db.limited(super()._executemany, sql, param_list, *args)  # type: ignore[misc]


class LimitedDebugCursor(CursorDebugWrapper, LimitedCursor):
    """The same, noting its statements for ``DEBUG``."""


class Limits(_Base):
    """Mixed into a ``DatabaseWrapper``.  A backend says which socket its driver uses."""

    #: The socket of the connection there is.
    line: Line | None = None
    #: Set for the connection that finds out whether the database answers again.
    is_probe = False
    #: Whether the next statement begins a transaction.
    is_to_begin = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connected_to: tuple[Any, ...] = ()

    @property
    def guard(self) -> Guard | None:
        """The breaker of the database, if it is no cell's."""
        return guard_of(self.alias)

    def descriptor_of(self, connection: Any) -> int:
        """The file descriptor of the driver's socket."""
        raise NotImplementedError

    def is_closed(self) -> bool:
        """Whether the driver knows that the connection has ended."""
        raise NotImplementedError

    def is_idle(self) -> bool:
        """Whether the connection is open, and there is no transaction on it."""
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
        self._connected_to = self._where()
        self.is_to_begin = False
        try:
            super().connect()
        except Exception as error:
            with suppress(Exception):
                self.close()
            self.connection = None
            if self.guard is not None and isinstance(error, (Error, self.Database.Error)):
                self.guard.failed(cause_of(error), connected=False)
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

    def make_debug_cursor(self, cursor: Any) -> CursorDebugWrapper:
        return LimitedDebugCursor(cursor, self)

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
        return result

    def answered(self) -> None:
        """The server has answered a statement; what else drivers do may be their own affair."""
        if self.guard is not None:
            self.guard.succeeded()

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
            self.guard.failed(cause, connected=True)
        if not self.in_atomic_block:
            with suppress(Error):
                self.close()
        return OperationalError(cause)

    def _cursor(self, name: str | None = None) -> Any:
        if self.guard is not None and not self.is_probe:
            self.guard.refuse_if_away()
        if name is not None:  # the driver declares it by a statement of its own
            self.begin()
        return self._translated(super()._cursor, name)

    # --- transactions ---------------------------------------------------------------------

    def _start_transaction_under_autocommit(self) -> None:
        self.is_to_begin = True

    def begin(self) -> None:
        """Begin the transaction that is due, if one is, on its own."""
        if self.is_to_begin:
            with self.beginning(), self.cursor() as cursor:
                cursor.execute(BEGIN.strip("; "))

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Begin the transaction within; one that did not come to it is still due.

        Otherwise, whoever goes on after an error would change rows outside of any transaction.
        """
        self.is_to_begin = False
        try:
            yield
        except Exception:
            self.is_to_begin = self.connection is not None and self.is_idle()
            raise

    def skip_begin(self, cursor: Any) -> None:
        """Go on from the driver's answer to ``BEGIN`` to that of the statement sent with it."""

    def _commit(self) -> None:
        self._end(super()._commit)

    def _rollback(self) -> None:
        self._end(super()._rollback)

    def _end(self, end: Callable[[], None]) -> None:
        """End the transaction; one in which nothing was done has not begun."""
        if self.is_to_begin:
            self.is_to_begin = False
        else:
            self.limited(end)

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
