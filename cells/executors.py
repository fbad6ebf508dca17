"""An executor for each cell: the few threads that talk to its database, behind a circuit breaker.

A hung cell can only use up its own threads (a bulkhead), and a cell that failed is left alone
for a while (a circuit breaker).
"""

import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.utils.translation import get_language, gettext_noop, override

from cells.breakers import CircuitBreaker
from cells.databases import cause_of
from cells.deadlines import within
from cells.log_fields import THREADS
from cells.metrics import BREAKER_OPEN, CONNECTIONS, QUERIES
from cells.registry import Cell

logger = logging.getLogger(__name__)
T = TypeVar("T")
#: Errors of the question, whichever cell is asked; any other is the fault of the cell.
DEFECTS = (FieldError, ImproperlyConfigured)
Job = tuple["Future[Any]", Callable[[], Any]]


class CellUnavailable(Exception):
    """A cell did not answer; ``cause`` says why in one line, without a password."""

    def __init__(self, cell: Cell, cause: str) -> None:
        words = gettext_noop("cell %(name)s: %(cause)s")
        super().__init__(words % {"name": cell.name, "cause": cause})
        self.cell = cell
        self.cause = cause


def _in_language(language: str, function: Callable[[], T]) -> T:
    """Say what is said in the language of the request; a context does not take it along."""
    with override(language):
        return function()


class CellExecutor:
    """Runs functions on the threads of one cell, at most ``CELL_MAX_WORKERS`` of them.

    Threads are started as they are needed and keep their database connection.  They are daemons,
    unlike those of ``concurrent.futures``: one that hangs does not keep the process alive.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.breaker = CircuitBreaker(
            f"cell {cell.name}", BREAKER_OPEN.labels(cell.name), _key_of(cell)
        )
        self._answered = QUERIES.labels(cell.name, "answered")
        self._failed = QUERIES.labels(cell.name, "failed")
        self.pending = 0  # jobs that are waiting or running
        self.workers = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """Run ``function`` on one of the threads; its exceptions arrive in the future."""
        future: Future[T] = Future()
        language = get_language()
        if language not in (None, settings.LANGUAGE_CODE):
            function = partial(_in_language, language, function)
        # What is noted meanwhile belongs to the request: its id in the log, for instance.
        in_context = partial(copy_context().run, function)
        with self._lock:
            self._jobs.put((future, in_context))
            if self._closed:  # a moment ago, by a thread that saw that the mapping has changed
                self._jobs.put(None)
            self.pending += 1
            is_short = self.pending > self.workers and self.workers < settings.CELL_MAX_WORKERS
            if is_short or self._closed:
                self.workers += 1
                CONNECTIONS.labels(self.cell.name).inc()
                threading.Thread(
                    target=self._work, name=f"{THREADS}{self.cell.name}", daemon=True
                ).start()
        return future

    def is_away(self) -> bool:
        """Whether the cell does not answer, so that asking it would only cost time.

        Probes it, in the background, when that is due and no idle thread of its own does so.
        """
        if not self.breaker.is_open():
            return False
        if self.breaker.claim_probe():
            with within(settings.CELL_DEADLINE):
                self.submit(self._select)
        return True

    def close(self) -> None:
        """Let the threads end once all jobs are done, those still waiting included."""
        with self._lock:
            self._closed = True
            for _ in range(self.workers):
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self.breaker.probe_in())
            except Empty:
                if self.breaker.claim_probe():
                    self._probe()
                continue
            if job is None:
                break
            self._do(*job)
            del job  # or what it returned would be kept until there is another
            with self._lock:
                self.pending -= 1
        if self.cell.alias in connections.settings:
            connections[self.cell.alias].close()
        CONNECTIONS.labels(self.cell.name).dec()

    def _do(self, future: "Future[Any]", function: Callable[[], Any]) -> None:
        """Do a job, unless nobody waits for it any more."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = self._call(function)
        except BaseException as error:
            self._failed.inc()
            future.set_exception(error)
        else:
            self._answered.inc()
            future.set_result(result)

    def _probe(self) -> None:
        """Find out whether the cell answers again; the breaker has the result."""
        try:
            with within(settings.CELL_DEADLINE):
                self._call(self._select)
        except Exception as error:
            logger.debug("cell %s still does not answer: %s", self.cell.name, cause_of(error))

    def _select(self) -> None:
        with connections[self.cell.alias].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()

    def _call(self, function: Callable[[], T]) -> T:
        """Call it; once more on a new connection if the one that was kept turns out to be dead.

        An error that is neither a database's nor a defect of the question is raised as a
        ``CellUnavailable``: a driver that cannot read what the cell has, for instance.
        """
        connection = connections[self.cell.alias]
        was_connected = connection.connection is not None
        try:
            try:
                self._connect()
                result = function()
            except (OperationalError, InterfaceError):
                if not was_connected or connection.is_usable():
                    raise
                connection.close()
                result = function()
        except DEFECTS:
            raise
        except (DatabaseError, CellUnavailable) as error:
            self._record(error)
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {cause_of(error)}"
            if not self._record(error):  # it is connected, so this may be a defect of the portal
                logger.exception("cell %s cannot be read: %s", self.cell.name, cause)
            raise CellUnavailable(self.cell, cause) from error
        self.breaker.succeeded()
        return result

    def _connect(self) -> None:
        try:
            connections[self.cell.alias].ensure_connection()
        except DEFECTS as error:  # a setting that Django refuses comes from the mapping
            raise CellUnavailable(self.cell, cause_of(error)) from error

    def _record(self, error: Exception) -> bool:
        """Open the breaker if the connection is lost; an error in a statement leaves it.

        Returns whether it is lost.
        """
        connection = connections[self.cell.alias]
        if connection.connection is not None and connection.is_usable():
            return False
        connection.close()
        self.breaker.failed(cause_of(error))
        return True


def _key_of(cell: Cell) -> str:
    """What other processes know the breaker of the cell by: a plain name, or nothing."""
    return cell.uuid if re.fullmatch("[0-9A-Za-z-]+", cell.uuid) else ""


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
