"""Databases as left by Nova's migrations, as far as the portal can detect."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connections

#: Columns of Nova's tables that the portal's models omit, with their types.
MORE_COLUMNS = {
    "instances": {"hidden": "boolean", "locked": "boolean", "cleaned": "integer"},
    "migrations": {"hidden": "boolean", "cross_cell_move": "boolean"},
}
OURS, ASIDE = "django_migrations", "set_aside"


def schema_of(alias: str) -> dict[str, list[str]]:
    """The tables of a database with their columns, and their indexes and constraints."""
    connection = connections[alias]
    introspection = connection.introspection
    with connection.cursor() as cursor:
        return {
            table: sorted(
                [
                    *(str(column) for column in introspection.get_table_description(cursor, table)),
                    *(
                        f"{name} {constraint['columns']}"
                        for name, constraint in introspection.get_constraints(cursor, table).items()
                    ),
                ]
            )
            for table in introspection.table_names(cursor)
        }


@contextmanager
def made_by_nova(aliases: Iterable[str]) -> Iterator[None]:
    """Temporarily give these databases Nova's version table instead of Django's."""
    aliases = list(aliases)
    for alias in aliases:
        with connections[alias].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {OURS} RENAME TO {ASIDE}")
            cursor.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
            cursor.execute("INSERT INTO alembic_version VALUES ('ab450ba04102')")
    try:
        yield
    finally:
        for alias in aliases:
            with connections[alias].cursor() as cursor:
                cursor.execute("DROP TABLE alembic_version")
                cursor.execute(f"DROP TABLE IF EXISTS {OURS}")
                cursor.execute(f"ALTER TABLE {ASIDE} RENAME TO {OURS}")


@contextmanager
def more_columns(alias: str) -> Iterator[None]:
    """Temporarily add columns of Nova to a cell's tables that the portal does not know."""
    columns = [(t, c, kind) for t, added in MORE_COLUMNS.items() for c, kind in added.items()]
    with connections[alias].cursor() as cursor:
        for table, column, kind in columns:
            cursor.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    try:
        yield
    finally:
        with connections[alias].cursor() as cursor:
            for table, column, _ in columns:
                cursor.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
