"""How gunicorn serves the portal: ``gunicorn -c python:portal.gunicorn portal.wsgi``.

``WEB_CONCURRENCY`` sets the number of workers, ``GUNICORN_CMD_ARGS`` anything.
"""

import os

worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
keepalive = 5
limit_request_line = 8190  # searches can be long, and Nova takes them
graceful_timeout = 10
loglevel = "warning"
control_socket_disable = True
