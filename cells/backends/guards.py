"""Circuit breakers of the databases that are no cells: the portal's own and Nova's API database.

Cells are asked by their executors, which have breakers.  These databases are asked by the threads
of requests.  While one of them does not answer, whoever needs it is refused at once, with an
``OperationalError`` that says why, and a thread probes it until it answers.

That is for processes that serve (``serving``): a command asks once, and says what it gets.
"""

import logging
import threading
import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections

from cells.breakers import CircuitBreaker
from cells.databases import cause_of, is_cell_alias
from cells.deadlines import within
from cells.metrics import DATABASE_BREAKER_OPEN

logger = logging.getLogger(__name__)


class Guard:
    """The breaker of a database, and what closes it again."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        gauge = DATABASE_BREAKER_OPEN.labels(alias)
        self.breaker = CircuitBreaker(f"database {alias}", gauge, key=alias)
        self._answered = float("-inf")  # of time.monotonic()
        self._lock = threading.Lock()
        self._is_probed = False
        self._is_closed = threading.Event()

    def close(self) -> None:
        """Probe the database no more."""
        self._is_closed.set()

    def refuse_if_away(self) -> None:
        """Raise ``OperationalError`` while the database does not answer."""
        if self.breaker.is_open():
            self._keep_probing()  # another process may have found it out
            raise OperationalError(self.breaker.last_error)

    def succeeded(self) -> None:
        """The database answered a statement."""
        self._answered = time.monotonic()
        self.breaker.succeeded()

    def failed(self, cause: str, *, connected: bool) -> None:
        """It did not answer.

        It may have answered others just now: then the statement was slow, or there are too many
        connections, and the database is there.  If there were no others, a probe tells.
        """
        if not _serving or self._answered > time.monotonic() - 1:
            return
        self.breaker.failed(cause, probe_at_once=connected)
        self._keep_probing()

    def _keep_probing(self) -> None:
        with self._lock:
            if not self._is_probed:
                self._is_probed = True
                name = f"probe-{self.alias}"
                threading.Thread(target=self._probe_until_back, name=name, daemon=True).start()

    def _probe_until_back(self) -> None:
        while True:
            while (wait := self.breaker.probe_in()) is not None:
                if self._is_closed.wait(wait):
                    return
                if self.breaker.claim_probe():
                    self._probe()
            with self._lock:
                if not self.breaker.is_open():
                    self._is_probed = False
                    return

    def _probe(self) -> None:
        connection: Any = connections.create_connection(self.alias)
        connection.is_probe = True
        try:
            with within(settings.CELL_DEADLINE), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.fetchone()
        except (DatabaseError, InterfaceError) as error:
            self.breaker.failed(cause_of(error))
        except Exception as error:  # a driver's own
            logger.exception("database %s cannot be probed", self.alias)
            self.breaker.failed(cause_of(error))
        else:
            self.succeeded()
        finally:
            connection.close()


_guards: dict[str, Guard] = {}
_lock = threading.Lock()
_serving = False


def serve() -> None:
    """This process serves requests: from now on databases that do not answer are left alone."""
    global _serving  # noqa: PLW0603 - there is one process
    _serving = True


def is_serving() -> bool:
    return _serving


def guard_of(alias: str) -> Guard | None:
    """The guard of a database; cells have none."""
    if is_cell_alias(alias):
        return None
    if (guard := _guards.get(alias)) is None:
        with _lock:
            if (guard := _guards.get(alias)) is None:
                guard = _guards[alias] = Guard(alias)
    return guard


def forget_guards() -> None:
    """Forget what is known of all databases, and that the process serves."""
    global _serving  # noqa: PLW0603 - there is one process
    _serving = False
    with _lock:
        for guard in _guards.values():
            guard.close()
        _guards.clear()
