"""How gunicorn serves the portal: ``gunicorn -c python:portal.gunicorn portal.wsgi``.

``WEB_CONCURRENCY`` sets the number of workers, ``GUNICORN_CMD_ARGS`` any other option.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from gunicorn.arbiter import Arbiter

from portal.logs import FORMATTERS, RepeatFilter

worker_class = "portal.worker.PortalWorker"  # threads
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
keepalive = 5
limit_request_line = 8190  # searches can be long, and Nova accepts them
graceful_timeout = 10
loglevel = "warning"
control_socket_disable = True
# What proxies say is the affair of TRUSTED_PROXIES; a client must not say where the portal is.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

log_format = os.environ.get("LOG_FORMAT", "").strip().lower() or "oslo"
if log_format not in FORMATTERS:
    sys.exit(f"LOG_FORMAT: must be oslo or json, not {log_format!r}")
# Whatever gunicorn says, before and after Django sets up the logging of a worker, has the form of
# the portal's own lines.
logconfig_dict = {
    "formatters": {"line": {"()": FORMATTERS[log_format]}},
    "filters": {"repeats": {"()": RepeatFilter}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["repeats"],
        }
    },
    "root": {"handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"handlers": [], "propagate": True}},
}

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
#: Where workers leave notices of cells that do not answer, for the others (``cells.notices``).
NOTICES_DIR = "PORTAL_NOTICES_DIR"


def on_starting(server: Any) -> None:
    """Make the directories in which the workers count, so that a scrape of one has all sums, and
    tell one another which cells do not answer.

    Those that the environment names are used instead, and not removed.
    """
    if NOTICES_DIR not in os.environ:
        server.notices_dir = os.environ[NOTICES_DIR] = tempfile.mkdtemp(prefix="portal-notices-")
    if METRICS_DIR not in os.environ:
        server.metrics_dir = os.environ[METRICS_DIR] = tempfile.mkdtemp(prefix="portal-metrics-")


def on_exit(server: Any) -> None:
    """Remove them."""
    for name in ("metrics_dir", "notices_dir"):
        if made := getattr(server, name, ""):
            shutil.rmtree(made, ignore_errors=True)


def child_exit(server: Any, worker: Any) -> None:
    """What the worker has counted stays; its gauges end with it."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def post_worker_init(worker: Any) -> None:
    """Start what runs beside the requests, now that Django has been set up in the worker."""
    import jsonschema  # noqa: F401 - commands do without, but a first request would wait for it
    from django.db import connections

    from cells import read_ahead
    from cells.notices import NoticeBoard
    from cloud.clients import prepare
    from cloud.config import ConfigError
    from portal import schema
    from portal.processes import start_workers

    try:
        prepare()
    except ConfigError as error:
        worker.log.error("%s", error)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    if schema.is_incomplete(look=True):  # the log says which
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    connections.close_all()  # threads have their own
    NoticeBoard(Path(os.environ[NOTICES_DIR])).start()
    read_ahead.start()
    start_workers()


def worker_exit(server: Any, worker: Any) -> None:
    """Stop it."""
    from portal.processes import stop_workers

    stop_workers()
