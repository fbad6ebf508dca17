"""Circuit breakers: a database that failed is left alone, and probed until it answers."""

import logging
import threading
import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from django.conf import settings
from prometheus_client import Gauge

logger = logging.getLogger(__name__)

#: Seconds until the first probe of a database that failed; each later one waits twice as long.
FIRST_PROBE_AFTER = 1.0
#: A database that fails again within so many seconds of coming back is probed no sooner than
#: before, so that one that comes and goes is not asked all the time.
STEADY_AFTER = 60.0
#: At most one failure is logged in so many seconds.
LOG_EVERY = 60.0

#: The breakers of this process that others are told of, by their keys.
known: "WeakValueDictionary[str, CircuitBreaker]" = WeakValueDictionary()
#: Tells other processes that a breaker has opened or closed; see ``cells.notices``.
on_change: "Callable[[CircuitBreaker], None] | None" = None


class CircuitBreaker:
    """Whether a database is worth asking, judged by how it answered last.

    It is closed while the database answers.  A failure opens it: then the database is not asked
    until a probe, which nobody waits for, has been answered.  Probes are ``CELL_RETRY_AFTER``
    seconds apart, the first few less.

    ``name`` is what logs call the database, and ``key`` what other processes know it by, if they
    are to be told (``cells.notices``).  ``failed_at`` and ``answered_at`` are as of
    ``time.time()``; ``last_error`` is that of the failure since the last answer, if there was one.
    ``gauge`` is 1 while it is open, else 0.
    """

    def __init__(self, name: str, gauge: Gauge | None = None, key: str = "") -> None:
        self.name = name
        self.key = key
        if key:
            known[key] = self
        self._gauge = gauge
        self._show(is_open=False)
        self.last_error = ""
        self.failed_at: float | None = None
        self.answered_at: float | None = None
        self._probe_at = 0.0  # of time.monotonic(), as the two below
        self._interval = FIRST_PROBE_AFTER
        self._back_at = float("-inf")
        self._is_logged = False  # that it does not answer
        self._logged_at = float("-inf")
        self._lock = threading.Lock()

    def is_open(self) -> bool:
        """Whether the database has failed and not answered since."""
        return self.failed_at is not None

    def succeeded(self) -> None:
        """Close it: the database answered."""
        self.answered_at = time.time()
        if self.failed_at is None:
            return
        with self._lock:
            was_open, self.failed_at, self.last_error = self.is_open(), None, ""
            self._back_at = time.monotonic()
            was_logged, self._is_logged = self._is_logged, False
        self._show(is_open=False)
        if was_logged:
            logger.info("%s answers again", self.name)
        if was_open:
            self._tell()

    def failed(self, cause: str, *, probe_at_once: bool = False) -> None:
        """Open it: the database did not answer, for the reason given.

        One that may just be slow is to be probed at once.  One that comes and goes is logged once a
        minute; if it stays away, the log has the last word of it.
        """
        with self._lock:
            was_open, now = self.is_open(), time.monotonic()
            self.failed_at, self.last_error = time.time(), cause
            if not was_open:
                if now - self._back_at > STEADY_AFTER:
                    self._interval = FIRST_PROBE_AFTER
                self._schedule(now)
                if probe_at_once:
                    self._probe_at = now
            is_to_log = not self._is_logged and now - self._logged_at >= LOG_EVERY
            if is_to_log:
                self._is_logged, self._logged_at = True, now
        self._show(is_open=True)
        if is_to_log:
            logger.warning("%s does not answer: %s", self.name, cause)
        if not was_open:
            self._tell()

    def told(self, cause: str) -> None:
        """Open it for a cause that another process has found, or close it without one."""
        with self._lock:
            if bool(cause) == self.is_open():
                return
            self.failed_at, self.last_error = (time.time() if cause else None), cause
            self._is_logged = bool(cause)  # there
            if cause:
                self._interval = FIRST_PROBE_AFTER
                self._schedule(time.monotonic())
            else:
                self._back_at = time.monotonic()
        self._show(is_open=bool(cause))
        logger.debug("another process says of %s: %s", self.name, cause or "it answers")

    def _show(self, *, is_open: bool) -> None:
        if self._gauge is not None:
            self._gauge.set(is_open)

    def _tell(self) -> None:
        if self.key and on_change is not None:
            on_change(self)

    # --- probes -------------------------------------------------------------------------------

    def probe_in(self) -> float | None:
        """Seconds until the next probe is due; ``None`` when none is needed."""
        return max(0.0, self._probe_at - time.monotonic()) if self.is_open() else None

    def claim_probe(self) -> bool:
        """Whether a probe is due; if it is, the caller has to make it, and nobody else will."""
        with self._lock:
            now = time.monotonic()
            if not self.is_open() or now < self._probe_at:
                return False
            self._schedule(now)
            return True

    def _schedule(self, now: float) -> None:
        self._interval = min(self._interval, settings.CELL_RETRY_AFTER)
        self._probe_at = now + self._interval
        self._interval *= 2
