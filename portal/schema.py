"""Whether the portal's own database has all of the portal's migrations.

A change is put on record last, so without a table of its record it would be done and then fail.
So nothing is served without migrations that are needed.
"""

import logging
import threading
import time

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext_noop

from cells.databases import cause_of

logger = logging.getLogger(__name__)

INCOMPLETE = gettext_noop("The portal's own database lacks migrations: run manage.py migrate.")
#: Seconds between two looks.
LOOK_AGAIN_AFTER = 10.0

_lock = threading.Lock()
_is_incomplete = False
_looked_at = float("-inf")  # of time.monotonic()
_is_known = True  # as long as nobody has asked


def unapplied() -> list[str]:
    """The migrations that the database lacks, by app and name.  Raises ``DatabaseError``."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def is_incomplete(*, look: bool = False) -> bool:
    """Whether the database lacks migrations, as far as is known.

    It is looked at now and then while it does, or could not be asked, and with ``look``.
    """
    if look or _is_incomplete or not _is_known:
        _look()
    return _is_incomplete


def forget() -> None:
    """Know nothing, and look only when somebody asks for it."""
    global _is_incomplete, _is_known, _looked_at
    _is_incomplete, _is_known, _looked_at = False, True, float("-inf")


def _look() -> None:
    global _is_incomplete, _is_known, _looked_at  # noqa: PLW0603 - there is one database
    if time.monotonic() - _looked_at < LOOK_AGAIN_AFTER:
        return
    if not _lock.acquire(blocking=False):  # somebody else is looking
        return
    try:
        _looked_at = time.monotonic()
        lacking = unapplied()
    except DatabaseError as error:
        logger.warning("whether migrations are missing is not known: %s", cause_of(error))
        _is_known = False
    else:
        if lacking:
            logger.error("%s Missing: %s", INCOMPLETE, ", ".join(lacking))
        _is_incomplete, _is_known = bool(lacking), True
    finally:
        _lock.release()
