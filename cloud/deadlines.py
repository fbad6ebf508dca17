"""Calls to another service that end in time, whatever that service does.

Libraries bound a connection attempt here and a read there; the sum of them, a name server that
does not answer, or a broker that is retried is bounded by nothing.  So such calls run on a few
daemon threads per service, and the caller waits for them no longer than its deadline.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


class CloudError(Exception):
    """A service of the cloud did not do what it was asked.

    ::

        CloudError
        ├── ServiceUnavailable          no answer in time, none at all, or a 5xx
        │   ├── KeystoneUnavailable
        │   ├── PlacementUnavailable
        │   ├── MessageBusUnavailable
        │   └── ComputeUnavailable
        ├── LoginRefused                Keystone does not accept this user, password or project
        ├── PlacementRefused            it answered, and said no
        │   ├── ProviderNotFound
        │   ├── ProviderInUse           it still has allocations, or providers below it
        │   └── GenerationConflict      someone else changed it at the same time
        ├── ComputeRefused              Nova's API answered, and said no
        ├── NoTransport                 the cell has no message bus
        ├── ComputeTimeout              a nova-compute did not answer
        └── ComputeFailed               a nova-compute answered with an error
            └── NotSupported            its driver cannot do this
    """


class ServiceUnavailable(CloudError):
    """The service did not answer in time, or cannot be reached."""


class BoundedExecutor:
    """The threads that talk to one service, at most ``max_workers``, and whether it answers.

    A service that does not answer occupies these threads only.  After a failure it is left alone
    for ``retry_after`` seconds: until then every call fails at once (a circuit breaker).  Times
    are in seconds.  Threads do not survive a fork, so it is for one process only.
    """

    def __init__(
        self,
        name: str,
        unavailable: type[ServiceUnavailable],
        *,
        deadline: float,
        retry_after: float,
        max_workers: int = 8,
    ) -> None:
        self.name = name
        self.deadline = deadline
        self._unavailable = unavailable
        self._retry_after = retry_after
        self._max_workers = max_workers
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._spare = 0  # threads waiting for a job, less jobs waiting for a thread
        self._failed_at: float | None = None
        self.last_error = ""

    def call(self, function: Callable[[], T], *, deadline: float | None = None) -> T:
        """The result of ``function``, run on a thread of the service.

        Raises what ``function`` raises, and the service's own ``ServiceUnavailable`` when there
        is no result after ``deadline`` seconds (the executor's, unless given) or the service
        failed a moment ago.
        """
        seconds = self.deadline if deadline is None else deadline
        if self.is_open():
            raise self._unavailable(self.last_error)
        future = self.submit(function)
        try:
            result = future.result(timeout=seconds)
        except TimeoutError:
            if future.done():  # the function's own
                raise
            if future.cancel():
                raise self._unavailable(f"{self.name}: busy, all its threads wait") from None
            raise self.failed(f"no answer within {seconds:g} s") from None
        except ServiceUnavailable as error:
            self._note(str(error))
            raise
        if self._failed_at is not None:
            logger.info("%s: answers again", self.name)
            self._failed_at = None
        return result

    def failed(self, cause: str) -> ServiceUnavailable:
        """Note that the service did not answer; returns the exception that says so."""
        error = self._unavailable(f"{self.name}: {cause}")
        self._note(str(error))
        return error

    def is_open(self) -> bool:
        """Whether the service failed so recently that asking it would only cost time."""
        failed_at = self._failed_at
        return failed_at is not None and time.monotonic() - failed_at < self._retry_after

    def _note(self, error: str) -> None:
        if self._failed_at is None:
            logger.warning("%s", error)
        self.last_error = error
        self._failed_at = time.monotonic()

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """Run ``function`` on a thread of the service as soon as one is free; nothing is noted."""
        future: Future[T] = Future()
        with self._lock:
            self._jobs.put((future, partial(copy_context().run, function)))
            self._spare -= 1
            if self._spare < 0 and self._threads < self._max_workers:
                self._threads += 1
                self._spare += 1
                name = f"{self.name}-{self._threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            future, function = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del future, function
            with self._lock:
                self._spare += 1
