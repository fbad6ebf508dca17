"""Databases that appear at run time: an alias per cell in Django's ``connections``."""

import logging
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.utils import DatabaseError

logger = logging.getLogger(__name__)

CELL_ALIAS_PREFIX = "cell-"

#: Nova's migrations leave one of these behind (Alembic since Xena, sqlalchemy-migrate before).
NOVA_VERSION_TABLES = frozenset({"alembic_version", "migrate_version"})


def alias_of(cell_uuid: str) -> str:
    """The database alias of a cell; it stays the same when its name or URL changes."""
    return CELL_ALIAS_PREFIX + cell_uuid


def is_cell_alias(alias: str) -> bool:
    return alias.startswith(CELL_ALIAS_PREFIX)


def register(alias: str, database: dict[str, Any]) -> None:
    """Make ``alias`` known to Django, or point it at its new database.

    Connections that are open keep what they have; the lanes of a changed cell are replaced
    (see ``cells.executors``), and other threads close theirs with each request.
    """
    connections.settings.setdefault(alias, {})
    current = connections.settings[alias]
    if current != database:
        current.clear()
        current.update(database)


def managed_by_nova(alias: str) -> bool:
    """Whether the schema behind ``alias`` is Nova's, so that it must be left alone."""
    connection = connections[alias]
    tables = set(connection.introspection.table_names())
    return bool(tables & NOVA_VERSION_TABLES)


def bound_statements(sender: object, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Give a new PostgreSQL connection an end to every statement and lock it waits for.

    MariaDB/MySQL gets the same from its driver's timeouts (see
    ``cells.database_urls``).  The API database and the cells only:
    the portal's own has long migrations to run.
    """
    if connection.vendor != "postgresql" or connection.alias == "default":
        return
    milliseconds = int(5000 * settings.CELL_DEADLINE)
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds}")


connection_created.connect(bound_statements, dispatch_uid="cells.bound_statements")


def cause_of(error: BaseException) -> str:
    """One line saying why a database did not answer, without any password."""
    from cells.database_urls import without_password

    has_text = isinstance(error, DatabaseError) and error.args
    text = str(error.args[-1] if has_text else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return without_password(lines[0]) if lines else type(error).__name__
