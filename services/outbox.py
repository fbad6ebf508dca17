"""The thread of a serving process that finishes what actions left to be done later."""

import logging
import os
import threading

from django.db import DatabaseError, connections

from cells.databases import cause_of
from services import actions, notifications

logger = logging.getLogger(__name__)

#: How often to look for work that another process left (seconds).
INTERVAL = 10.0


class _Courier:
    """The courier of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: int | None = None

    def ensure_running(self) -> None:
        """Start it, if it is not running; a fork needs its own."""
        if self._process == os.getpid():
            return
        with self._lock:
            if self._process != os.getpid():
                threading.Thread(target=_work, name="courier", daemon=True).start()
                self._process = os.getpid()


ensure_running = _Courier().ensure_running


def _work() -> None:
    while True:
        round_trip()
        notifications.wait_for_work(INTERVAL)


def round_trip() -> None:
    """Settle what was interrupted and deliver what is waiting."""
    try:
        actions.settle_interrupted()
        notifications.deliver()
    except DatabaseError as error:
        logger.warning("the courier will try again: %s", cause_of(error))
    except Exception:  # the thread must outlive what nobody foresaw
        logger.exception("the courier will try again")
    finally:
        connections.close_all()
