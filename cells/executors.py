"""A lane per cell: the few threads that talk to its database, and whether it answers.

A hung cell can only use up its own lane (a bulkhead), and a cell that failed is left alone for
a while (a circuit breaker).  Threads are daemons: one that hangs never keeps the process alive.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections

from cells.databases import cause_of
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


@dataclass
class Health:
    """What is known of a cell from the last time it was asked.  Times are ``time.time()``."""

    last_error: str = ""
    failed_at: float | None = None
    answered_at: float | None = None
    latency: float | None = None  # seconds, of the last answer

    @property
    def failed(self) -> bool:
        return self.failed_at is not None


class CellExecutor:
    """The threads of one cell, at most ``CELL_MAX_WORKERS``, started as they are needed."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.health = Health()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._spare = 0  # threads waiting for a job, less jobs waiting for a thread
        self._closed = False

    def submit(self, ask: Callable[[], T]) -> "Future[T]":
        """Run ``ask`` on a thread of the lane; its exceptions arrive in the future."""
        future: Future[T] = Future()
        with self._lock:
            self._jobs.put((future, ask))
            if self._closed:  # only just, by someone who saw that the mapping has changed
                self._jobs.put(None)
            self._spare -= 1
            if (self._spare < 0 and self._threads < settings.CELL_MAX_WORKERS) or self._closed:
                self._threads += 1
                self._spare += 1
                threading.Thread(
                    target=self._work, name=f"lane-{self.cell.name}", daemon=True
                ).start()
        return future

    def close(self) -> None:
        """Let the threads end, each after what it is doing; jobs still waiting are done first."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def is_open(self) -> bool:
        """Whether the cell failed so recently that asking it again would only cost time."""
        failed_at = self.health.failed_at
        return failed_at is not None and time.time() - failed_at < settings.CELL_RETRY_AFTER

    def timeout(self) -> float:
        """How long to wait for the cell, in seconds.

        One that failed last time is only probed: it gets a quarter of the deadline to show that
        it is back.
        """
        deadline: float = settings.CELL_DEADLINE
        return deadline / 4 if self.health.failed else deadline

    def answered(self, seconds: float) -> None:
        """Note that the cell answered after ``seconds``."""
        if self.health.failed:
            logger.info("cell %s answers again", self.cell.name)
        self.health = Health(answered_at=time.time(), latency=seconds)

    def failed(self, cause: str) -> None:
        """Note that the cell did not answer."""
        if not self.health.failed:
            logger.warning("cell %s does not answer: %s", self.cell.name, cause)
        self.health.last_error = cause
        self.health.failed_at = time.time()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, ask = job
            if future.set_running_or_notify_cancel():
                try:
                    result = self._attempt(ask)
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del job, future, ask
            with self._lock:
                self._spare += 1
        if self.cell.alias in connections.settings:
            connections[self.cell.alias].close()

    def _attempt(self, ask: Callable[[], T]) -> T:
        """Ask; once more on a new connection when the kept one turns out to be dead."""
        connection = connections[self.cell.alias]
        kept = connection.connection is not None
        started = time.monotonic()
        try:
            result = ask()
        except (OperationalError, InterfaceError) as error:
            if not kept or connection.is_usable():
                self._note(error)
                raise
            connection.close()
            try:
                result = ask()
            except DatabaseError as again:
                self._note(again)
                raise
        self.answered(time.monotonic() - started)
        return result

    def _note(self, error: DatabaseError | InterfaceError) -> None:
        connection = connections[self.cell.alias]
        if connection.connection is None or not connection.is_usable():
            connection.close()
            self.failed(cause_of(error))


_executors: dict[str, CellExecutor] = {}
_executors_lock = threading.Lock()


def executor_for(cell: Cell) -> CellExecutor:
    """The cell's lane; a new one when its database has changed."""
    lane = _executors.get(cell.uuid)
    if lane is not None and lane.cell.database == cell.database:
        return lane
    with _executors_lock:
        lane = _executors.get(cell.uuid)
        if lane is None or lane.cell.database != cell.database:
            if lane is not None:
                lane.close()
            lane = _executors[cell.uuid] = CellExecutor(cell)
    return lane


def close_executors() -> None:
    """Forget every lane, and with them what is known of the cells' health."""
    with _executors_lock:
        for lane in _executors.values():
            lane.close()
        _executors.clear()
