"""The portal as uWSGI loads it in each process: with what runs beside the requests."""

import atexit
import sys

from cloud.clients import prepare
from portal import schema
from portal.processes import start_workers, stop_workers
from portal.wsgi import application

__all__ = ["application"]

prepare()
if schema.is_incomplete(look=True):  # the log says which migrations are missing
    sys.exit(1)
start_workers()
atexit.register(stop_workers)
