"""Databases that become known at run time: an alias for each cell in Django's ``connections``."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import (
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from django.utils.connection import ConnectionDoesNotExist

from cells.database_urls import without_password

CELL_ALIAS_PREFIX = "cell-"

#: How much of what a driver says is repeated, in characters.
MAX_CAUSE = 300

#: What MariaDB and SQLite say of a column, and SQLite of a table, that is not there; they call that
#: an operational error.
_NOT_THERE = re.compile("Unknown column|no such (column|table)|has no column named")

#: Where Nova's migrations record their version: Alembic's since Xena, sqlalchemy-migrate's before.
NOVA_VERSION_TABLES = frozenset({"alembic_version", "migrate_version"})


def alias_of(cell_uuid: str) -> str:
    """The database alias of a cell; it stays the same when its name or URL changes."""
    return CELL_ALIAS_PREFIX + cell_uuid


def is_cell_alias(alias: str) -> bool:
    return alias.startswith(CELL_ALIAS_PREFIX)


def register(alias: str, database: dict[str, Any]) -> None:
    """Make ``alias`` known to Django, or point it to another database.

    Open connections stay as they are: the executor of a changed cell is replaced (see
    ``cells.executors``), and other threads replace theirs before the next request
    (``cells.backends.limits``).
    """
    connections.settings.setdefault(alias, {})
    current = connections.settings[alias]
    if current != database:
        current.clear()
        current.update(database)


class _Opened(threading.local):
    """The aliases that this thread has connected to."""

    def __init__(self) -> None:
        self.aliases: set[str] = set()


_opened = _Opened()


def note_opened(sender: object, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Remember a new connection for ``close_old_connections``."""
    _opened.aliases.add(connection.alias)


def close_old_connections(**kwargs: object) -> None:
    """What Django's function of this name does before and after each request, and its result.

    Django's looks for a connection under every alias, which with a hundred cells takes longer
    than a small request; this one knows which connections the thread has opened.
    """
    for alias in tuple(_opened.aliases):
        try:
            connection = connections[alias]
        except ConnectionDoesNotExist:  # a cell that has been removed
            _opened.aliases.discard(alias)
            continue
        connection.close_if_unusable_or_obsolete()
        if connection.connection is None:
            _opened.aliases.discard(alias)


def managed_by_nova(alias: str) -> bool:
    """Whether the schema of the database is Nova's and must not be touched."""
    connection = connections[alias]
    tables = set(connection.introspection.table_names())
    return bool(tables & NOVA_VERSION_TABLES)


def cause_of(error: BaseException) -> str:
    """Why a database did not answer, in one line and without a password."""
    has_text = isinstance(error, DatabaseError) and error.args
    text = str(error.args[-1] if has_text else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return without_password(lines[0])[:MAX_CAUSE] if lines else type(error).__name__


def lacks_schema(error: BaseException | None) -> bool:
    """Whether a table or column that a statement names is not there, or the statement is wrong."""
    return isinstance(error, ProgrammingError) or (
        isinstance(error, OperationalError) and bool(_NOT_THERE.search(str(error)))
    )


def is_in_trouble(error: BaseException | None) -> bool:
    """Whether an error is the database's own: it is away, full or read-only, or has a row locked.

    Any other is a defect of the statement, or of the schema.
    """
    troubles = (OperationalError, InterfaceError, InternalError)
    return isinstance(error, troubles) and not lacks_schema(error)


@contextmanager
def blaming(database: str) -> Iterator[None]:
    """Let the database errors of the block say whose they are, unless they do already."""
    try:
        yield
    except DatabaseError as error:
        if not blamed(error):
            error.blamed = database  # type: ignore[attr-defined]
        raise


def blamed(error: DatabaseError) -> str:
    """Which database an error is from, in words; empty if nobody has said so."""
    return str(getattr(error, "blamed", ""))
