"""A WSGI application for tests of the worker that serves it: it waits until it is let go on.

``/wait`` is answered when the file ``GO_ON`` exists, everything else at once.  The answer is the
request's body, or the id of the process if it has none.  ``/large`` needs much memory for a
moment, and keeps a little of it, here and there.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from portal.wsgi import application as portal  # sets Django up, so it comes first

from portal import schema, worker  # isort: skip

__all__ = ["application", "portal"]
worker.ARRIVAL = 2.0
schema.unapplied = list  # it has no database

#: Bytes that ``/large`` needs, and of each block of them.
MUCH, BLOCK = 64 * 2**20, 2000
kept: list[bytes] = []


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/wait":
        while not Path(os.environ["GO_ON"]).exists():
            time.sleep(0.01)
    if environ["PATH_INFO"] == "/large":
        blocks = [bytes(BLOCK) for _ in range(MUCH // BLOCK)]
        kept.extend(blocks[::5000])
        time.sleep(1.5)  # longer than the worker waits until it looks again
        del blocks
    body = environ["wsgi.input"].read() or str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
