"""An executor for each cell: the few threads that talk to its database, behind a circuit breaker.

A hung cell can only use up its own threads (a bulkhead), and a cell that failed is left alone
for a while (a circuit breaker).
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections

from cells.databases import cause_of
from cells.metrics import BREAKER_OPEN, CONNECTIONS, QUERIES
from cells.registry import Cell

logger = logging.getLogger(__name__)
T = TypeVar("T")
Job = tuple["Future[Any]", Callable[[], Any]]


class CellUnavailable(Exception):
    """A cell did not answer; ``cause`` says why in one line, without a password."""

    def __init__(self, cell: Cell, cause: str) -> None:
        super().__init__(f"cell {cell.name}: {cause}")
        self.cell = cell
        self.cause = cause


class CircuitBreaker:
    """Whether a cell is worth asking, judged by how it answered last.

    It is closed while the cell answers.  A failure opens it: for ``CELL_RETRY_AFTER`` seconds
    the cell is not asked at all.  Then it is half open: the cell is asked again, but given only
    a quarter of the deadline, until it answers.

    ``failed_at`` and ``answered_at`` are as of ``time.time()``; ``latency``, in seconds, and
    ``last_error`` are those of the last answer and of the failure since, if there was one.
    """

    def __init__(self, cell_name: str) -> None:
        self.cell_name = cell_name
        BREAKER_OPEN.labels(cell_name).set(0)
        self.last_error = ""
        self.failed_at: float | None = None
        self.answered_at: float | None = None
        self.latency: float | None = None

    def is_open(self) -> bool:
        """Whether the cell failed so recently that asking it again would only cost time."""
        failed_at = self.failed_at
        return failed_at is not None and time.time() - failed_at < settings.CELL_RETRY_AFTER

    def is_closed(self) -> bool:
        """Whether the cell has not failed since its last answer."""
        return self.failed_at is None

    def timeout(self) -> float:
        """How long to wait for the cell, in seconds."""
        deadline: float = settings.CELL_DEADLINE
        return deadline if self.is_closed() else deadline / 4

    def succeeded(self, latency: float) -> None:
        """Close it: the cell answered after ``latency`` seconds."""
        if not self.is_closed():
            BREAKER_OPEN.labels(self.cell_name).set(0)
            logger.info("cell %s answers again", self.cell_name)
        self.answered_at, self.latency = time.time(), latency
        self.failed_at, self.last_error = None, ""

    def failed(self, cause: str) -> None:
        """Open it: the cell did not answer, for the reason given."""
        BREAKER_OPEN.labels(self.cell_name).set(1)
        if self.is_closed():
            logger.warning("cell %s does not answer: %s", self.cell_name, cause)
        self.last_error = cause
        self.failed_at = time.time()


class CellExecutor:
    """Runs functions on the threads of one cell, at most ``CELL_MAX_WORKERS`` of them.

    Threads are started as they are needed and keep their database connection.  They are daemons,
    unlike those of ``concurrent.futures``: one that hangs does not keep the process alive.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.breaker = CircuitBreaker(cell.name)
        self.pending = 0  # jobs that are waiting or running
        self.workers = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """Run ``function`` on one of the threads; its exceptions arrive in the future."""
        future: Future[T] = Future()
        with self._lock:
            self._jobs.put((future, function))
            if self._closed:  # a moment ago, by a thread that saw that the mapping has changed
                self._jobs.put(None)
            self.pending += 1
            is_short = self.pending > self.workers and self.workers < settings.CELL_MAX_WORKERS
            if is_short or self._closed:
                self.workers += 1
                CONNECTIONS.labels(self.cell.name).inc()
                threading.Thread(
                    target=self._work, name=f"executor-{self.cell.name}", daemon=True
                ).start()
        return future

    def close(self) -> None:
        """Let the threads end once all jobs are done, those still waiting included."""
        with self._lock:
            self._closed = True
            for _ in range(self.workers):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function = job
            if future.set_running_or_notify_cancel():
                try:
                    result = self._call(function)
                except BaseException as error:
                    QUERIES.labels(self.cell.name, "failed").inc()
                    future.set_exception(error)
                else:
                    QUERIES.labels(self.cell.name, "answered").inc()
                    future.set_result(result)
            del job, future, function
            with self._lock:
                self.pending -= 1
        if self.cell.alias in connections.settings:
            connections[self.cell.alias].close()
        CONNECTIONS.labels(self.cell.name).dec()

    def _call(self, function: Callable[[], T]) -> T:
        """Call it; once more on a new connection if the one that was kept turns out to be dead."""
        connection = connections[self.cell.alias]
        was_connected = connection.connection is not None
        started = time.monotonic()
        try:
            result = function()
        except (OperationalError, InterfaceError) as error:
            if not was_connected or connection.is_usable():
                self._record(error)
                raise
            connection.close()
            try:
                result = function()
            except DatabaseError as second_error:
                self._record(second_error)
                raise
        self.breaker.succeeded(time.monotonic() - started)
        return result

    def _record(self, error: DatabaseError | InterfaceError) -> None:
        """Open the breaker if the connection is lost; an error in a statement leaves it."""
        connection = connections[self.cell.alias]
        if connection.connection is None or not connection.is_usable():
            connection.close()
            self.breaker.failed(cause_of(error))


_executors: dict[str, CellExecutor] = {}
_executors_lock = threading.Lock()


def executor_for(cell: Cell) -> CellExecutor:
    """The executor of the cell; a new one when its database has changed."""
    executor = _executors.get(cell.uuid)
    if executor is not None and executor.cell.database == cell.database:
        return executor
    with _executors_lock:
        executor = _executors.get(cell.uuid)
        if executor is None or executor.cell.database != cell.database:
            if executor is not None:
                executor.close()
            executor = _executors[cell.uuid] = CellExecutor(cell)
    return executor


def close_executors() -> None:
    """Close the executors of all cells and forget what their breakers know."""
    with _executors_lock:
        for executor in _executors.values():
            executor.close()
        _executors.clear()
