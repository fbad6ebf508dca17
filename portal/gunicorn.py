"""How gunicorn serves the portal: ``gunicorn -c python:portal.gunicorn portal.wsgi``.

``WEB_CONCURRENCY`` sets the number of workers, ``GUNICORN_CMD_ARGS`` any other option.
"""

import os
import sys
from typing import Any

from gunicorn.arbiter import Arbiter

worker_class = "gthread"
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


def post_worker_init(worker: Any) -> None:
    """Start what runs beside the requests, now that Django has been set up in the worker."""
    from cloud.clients import prepare
    from cloud.config import ConfigError
    from portal.processes import start_workers

    try:
        prepare()
    except ConfigError as error:
        worker.log.error("%s", error)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)  # every worker would fail, so all of gunicorn ends
    start_workers()


def worker_exit(server: Any, worker: Any) -> None:
    """Stop it."""
    from portal.processes import stop_workers

    stop_workers()
