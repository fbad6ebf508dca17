"""How long a database may take, and a watchdog that sees to it.

A server that is stopped, or whose packets are dropped, leaves a driver waiting for as long as it
likes, most of all in C, where no exception reaches it.  So a connection notes until when its
current statement may take (``Line.expire_at``), and one thread of the process shuts down the socket
of a connection whose time has come: the driver then sees the end of the connection, and raises.

``within`` limits all that is done in its block, ``each_within`` each statement of its own; both
hold for the context, and so for what an executor is given to do in it.
"""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

logger = logging.getLogger(__name__)

FOREVER = float("inf")
#: How often the watchdog looks, in seconds: so much later may a statement end.
TICK = 0.1

_until: ContextVar[float] = ContextVar("until", default=FOREVER)  # of time.monotonic()
_each: ContextVar[float | None] = ContextVar("each", default=None)


@contextmanager
def within(seconds: float, *, since: float | None = None) -> Iterator[None]:
    """Statements of the block have to end within ``seconds``, all of them together.

    They are counted from ``since`` (of ``time.monotonic()``) instead of from now, if given.  A
    block within another one may only shorten its time.
    """
    start = time.monotonic() if since is None else since
    token = _until.set(min(_until.get(), start + seconds))
    try:
        yield
    finally:
        _until.reset(token)


@contextmanager
def each_within(seconds: float) -> Iterator[None]:
    """Each statement of the block has to end within ``seconds``."""
    token = _each.set(seconds)
    try:
        yield
    finally:
        _each.reset(token)


def expires_at(now: float, usual: Callable[[], float]) -> float:
    """Until when a statement that starts ``now`` may take, of ``time.monotonic()``.

    ``usual`` gives its limit in seconds where no ``each_within`` says another.
    """
    each = _each.get()
    return min(_until.get(), now + (usual() if each is None else each))


class Line:
    """The socket of a database connection, as the watchdog sees it.

    It is a duplicate of the driver's file descriptor: shutting it down ends the connection, and its
    number belongs to nothing else, whatever the driver has closed meanwhile.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLPRI)
        self._lock = threading.Lock()
        self._expire_at = FOREVER
        self.is_cut = False
        watchdog.add(self)

    def start(self, expire_at: float) -> None:
        """A statement has begun, which may take until then."""
        self._expire_at = expire_at

    def stop(self) -> None:
        """It has ended."""
        with self._lock:
            self._expire_at = FOREVER

    def is_idle(self) -> bool:
        """Whether the other side is there and says nothing, as befits it between statements.

        It is asked nothing, so one that has gone silently is not noticed.
        """
        return not self.is_cut and not self._poll.poll(0)

    def cut_if_expired(self, now: float) -> None:
        """End the connection if its statement has taken too long."""
        if self._expire_at > now:
            return
        with self._lock:
            if self._expire_at > now:  # it has ended just now
                return
            self.is_cut, self._expire_at = True, FOREVER
            with suppress(OSError):  # the connection has ended already
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The driver has closed its own descriptor."""
        watchdog.remove(self)
        with self._lock:
            self._expire_at = FOREVER
            self._socket.close()


class Watchdog:
    """A thread that looks at all connections of the process, from the first one on."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Know of no connection: after a fork, those there are belong to the other process."""
        self._lines: dict[int, Line] = {}
        # A connection may be collected, and its line removed, wherever the lock is held.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def add(self, line: Line) -> None:
        with self._lock:
            self._lines[id(line)] = line
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()

    def remove(self, line: Line) -> None:
        with self._lock:
            self._lines.pop(id(line), None)

    def _run(self) -> None:
        while True:
            time.sleep(TICK)
            self.look()

    def look(self) -> None:
        """Cut every connection whose time has come."""
        now = time.monotonic()
        with self._lock:
            lines = list(self._lines.values())
        for line in lines:
            try:
                line.cut_if_expired(now)
            except Exception:  # nothing must keep the others from being looked at; the log has it
                logger.exception("the watchdog could not end a database connection")


watchdog = Watchdog()
os.register_at_fork(after_in_child=watchdog.reset)
