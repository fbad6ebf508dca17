"""What runs beside the requests in every serving process.

An app registers it in its ``AppConfig``.  It is started and stopped by gunicorn's hooks
(``portal/gunicorn.py``), so commands and tests run without it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackgroundWorker:
    """Something that is started after a process has forked, and stopped before it ends."""

    name: str
    start: Callable[[], None]
    stop: Callable[[], None]


#: The command that ``manage.py`` was started with; empty in a server.
command = ""

_registered: dict[str, BackgroundWorker] = {}


def register_worker(name: str, start: Callable[[], None], stop: Callable[[], None]) -> None:
    """Have every serving process call ``start`` and ``stop``; neither may block for long."""
    _registered[name] = BackgroundWorker(name, start, stop)


def start_workers() -> None:
    """Start what has been registered."""
    for worker in _registered.values():
        logger.debug("starting %s", worker.name)
        worker.start()


def stop_workers() -> None:
    """Stop what has been registered."""
    for worker in _registered.values():
        logger.debug("stopping %s", worker.name)
        worker.stop()
