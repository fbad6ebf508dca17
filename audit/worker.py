"""The thread of a serving process that settles interrupted actions and sends what is waiting."""

import logging
import threading

from django.db import DatabaseError, connections

from audit import journal, outbox
from cells.databases import cause_of

logger = logging.getLogger(__name__)

#: Seconds between looking for work that other processes have left.
INTERVAL = 10.0
#: How long a process that ends waits for the message that is being sent.
STOP_WITHIN = 3.0

_stopping = threading.Event()
_thread: threading.Thread | None = None


def start() -> None:
    """Start the thread."""
    global _thread  # noqa: PLW0603 - there is one in a process
    _stopping.clear()
    _thread = threading.Thread(target=_run, name="outbox", daemon=True)
    _thread.start()


def stop() -> None:
    """End the thread; what it leaves undone is done by another process, or after a restart."""
    _stopping.set()
    outbox.wake()
    if _thread is not None:
        _thread.join(STOP_WITHIN)


def _run() -> None:
    while not _stopping.is_set():
        run_once()
        outbox.wait_for_work(INTERVAL)


def run_once() -> None:
    """Settle what was interrupted and send what is waiting; never raises."""
    try:
        journal.settle_interrupted()
        outbox.deliver(_stopping.is_set)
    except DatabaseError as error:
        logger.warning("the outbox will be looked at again: %s", cause_of(error))
    except Exception:  # a defect must not end the thread; the log has it
        logger.exception("the outbox will be looked at again")
    finally:
        connections.close_all()
