"""The threads of a serving process for maintenances.

One looks for steps that were lost with their worker.  In the embedded portal, for which nobody
starts ``manage.py db_worker``, another is such a worker.
"""

import logging
import threading
import time

from django.conf import settings
from django.db import DatabaseError, connections

from cells.databases import cause_of
from maintenance import engine

logger = logging.getLogger(__name__)

#: Seconds between looks.
INTERVAL = 5.0
#: Seconds between prunings of the queue.
PRUNE_INTERVAL = 3600.0
#: How long a process that ends waits for the step that is being made.
STOP_WITHIN = 3.0

_stopping = threading.Event()
_threads: list[threading.Thread] = []


def start() -> None:
    """Start the threads."""
    _stopping.clear()
    jobs = {"maintenance-keeper": _keep}
    if settings.EMBEDDED:
        jobs["maintenance-worker"] = _work
    for name, job in jobs.items():
        thread = threading.Thread(target=job, name=name, daemon=True)
        _threads.append(thread)
        thread.start()


def stop() -> None:
    """End the threads; a step that does not end in time is made again by another process."""
    _stopping.set()
    for thread in _threads:
        thread.join(STOP_WITHIN)
    _threads.clear()


def _keep() -> None:
    prune_at = time.monotonic() + PRUNE_INTERVAL
    while not _stopping.wait(INTERVAL):
        try:
            engine.requeue_lost()
            if time.monotonic() >= prune_at:
                prune_at += PRUNE_INTERVAL
                engine.prune()
        except DatabaseError as error:
            logger.warning("lost maintenances are looked for again: %s", cause_of(error))
        finally:
            connections.close_all()


def _work() -> None:
    """Make the steps that are due, until the process ends."""
    from django_tasks_db.management.commands.db_worker import Worker
    from django_tasks_db.models import DBTaskResult

    while not _stopping.wait(1):
        worker = Worker(
            queue_names=["default"],
            interval=0,
            batch=True,  # returns when nothing is due
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=f"{threading.get_native_id()}",
            excluded_queue_names=[],
        )
        try:
            # Looking costs a tenth of what it takes to begin working, and connecting.
            if not DBTaskResult.objects.ready().exists():
                continue
            worker.run()
        except DatabaseError as error:
            logger.warning("the queue is looked at again: %s", cause_of(error))
        connections.close_all()
    connections.close_all()
