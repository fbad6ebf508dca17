"""Reading Nova's API database when a process begins to serve.

While that database is away, what was last read of it serves reads.  A process that has just begun
has read nothing, and would have to refuse what others answer.
"""

import logging
import threading

from django.db import DatabaseError, connections

from cells.aggregates import host_aggregates
from cells.availability_zones import host_zones
from cells.databases import cause_of
from cells.registry import all_cells, cell_ids_of_hosts

logger = logging.getLogger(__name__)


def read_ahead() -> None:
    """Read what is remembered: the cells, and of all hosts their cells, zones and aggregates."""
    all_cells()
    cell_ids_of_hosts()
    host_zones.of()
    host_aggregates.of()


def start() -> None:
    """Do so beside the first requests, which need not wait for all hosts of a large fleet."""
    threading.Thread(target=_read, name="read-ahead", daemon=True).start()


def _read() -> None:
    try:
        read_ahead()
    except DatabaseError as error:
        logger.info("Nova's API database was not read ahead: %s", cause_of(error))
    finally:
        connections.close_all()
