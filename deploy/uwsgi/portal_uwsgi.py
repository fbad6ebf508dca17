"""The portal as uWSGI loads it in each process: with what runs beside the requests."""

import atexit

from cloud.clients import prepare
from portal.processes import start_workers, stop_workers
from portal.wsgi import application

__all__ = ["application"]

prepare()
start_workers()
atexit.register(stop_workers)
