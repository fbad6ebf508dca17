"""Probing the database of each cell: does it answer, is its schema new enough, what is in it."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.utils.translation import gettext_noop

from cells.databases import NOVA_VERSION_TABLES, cause_of
from cells.models import CellModel
from cells.registry import Cell, all_cells
from cells.scatter_gather import CELLS_AT_ONCE, ask_cells

logger = logging.getLogger(__name__)

#: The table whose rows may have no uuid yet; ``backfill_service_uuids`` fills them in.
SERVICES = "services"


@dataclass
class CellProbe:
    """What was found in the database of a cell.

    ``latency`` is one round trip in seconds.  ``schema`` is the newest migration: Nova's revision
    or the name of the portal's own.  ``rows`` counts the live rows of each table, and
    ``without_uuid`` those that have no uuid yet, for tables that have any.  ``problem`` says in
    one line why the cell cannot be read, and ``advice`` what to do about it.
    """

    cell: Cell
    reachable: bool = False
    latency: float | None = None
    schema: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    without_uuid: dict[str, int] = field(default_factory=dict)
    problem: str = ""
    advice: str = ""

    @property
    def healthy(self) -> bool:
        """Whether the cell can be read."""
        return not self.problem


def probe_cells(cells: Iterable[Cell] | None = None) -> list[CellProbe]:
    """Probe every cell (or these), a few at a time; one that hangs costs one deadline."""
    cells = all_cells() if cells is None else tuple(cells)
    answers = ask_cells(cells, _round_trip, at_once=CELLS_AT_ONCE)
    contents = ask_cells(answers.by_cell, _contents, at_once=CELLS_AT_ONCE)
    probes = {cell: CellProbe(cell, True, latency) for cell, latency in answers.by_cell.items()}
    for unavailable in answers.missing:
        probes[unavailable.cell] = CellProbe(unavailable.cell, problem=unavailable.cause)
    for unavailable in contents.missing:
        words = gettext_noop("reading its tables: %(cause)s")
        probes[unavailable.cell].problem = words % {"cause": unavailable.cause}
    for cell, found in contents.by_cell.items():
        probe = probes[cell]
        probe.rows, probe.without_uuid, probe.schema = found.rows, found.without_uuid, found.version
        if missing := found.layout.missing():
            ours = settings.EMBEDDED and not found.layout.is_novas
            probe.problem = _too_old(missing)
            probe.advice = (
                gettext_noop("run: manage.py migrate")
                if ours
                else gettext_noop("run: nova-manage db sync")
            )
        elif found.without_uuid.get(SERVICES):
            probe.advice = gettext_noop("run: manage.py backfill_service_uuids")
    return [probes[cell] for cell in cells]


def _round_trip(cell: Cell) -> float:
    """How long one takes, in seconds."""
    with connections[cell.alias].cursor() as cursor:  # connects
        started = time.monotonic()
        cursor.execute("SELECT 1")
        cursor.fetchone()
        return time.monotonic() - started


def _too_old(missing: list[str]) -> str:
    if f"{SERVICES}.uuid" in missing:
        return gettext_noop("services.uuid is missing: schema from before Pike")
    words = gettext_noop("%(names)s missing: not a schema of Nova's, or too old")
    return words % {"names": ", ".join(missing[:3])}


# --- schemas ----------------------------------------------------------------------------------


def _models() -> list[type[CellModel]]:
    """The models of tables that every cell has."""
    return [model for model in apps.get_models() if issubclass(model, CellModel)]


def _wanted() -> dict[str, list[str]]:
    """The columns that the portal reads, by table."""
    return {
        model._meta.db_table: [one.column for one in model._meta.concrete_fields if one.column]
        for model in _models()
    }


#: Where the version of a schema is recorded, and what it is called there.
VERSIONS = {
    "alembic_version": "version_num",
    "migrate_version": "version",
    MigrationRecorder.Migration._meta.db_table: "name",
}


@dataclass(frozen=True)
class _Layout:
    """The columns of a cell's tables that the portal reads, and the table with its version."""

    columns: Mapping[str, Sequence[str]]
    version_table: str

    @property
    def is_novas(self) -> bool:
        return self.version_table in NOVA_VERSION_TABLES

    def missing(self) -> list[str]:
        """The tables and ``table.column``s that the portal reads and the cell lacks."""
        missing: list[str] = []
        for table, wanted in _wanted().items():
            if table not in self.columns:
                missing.append(table)
            else:
                there = set(self.columns[table])
                missing += [f"{table}.{column}" for column in wanted if column not in there]
        return missing

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """The layout as it is, which takes a query per table."""
        introspection, wanted = connections[cell.alias].introspection, _wanted()
        with connections[cell.alias].cursor() as cursor:
            tables = set(introspection.table_names(cursor))
            columns = {
                table: [
                    column.name for column in introspection.get_table_description(cursor, table)
                ]
                for table in wanted
                if table in tables
            }
        return cls(columns, next((table for table in VERSIONS if table in tables), ""))


#: The version table of each cell that has another than most.
_version_tables: dict[str, str] = {}


def _expected(cell: Cell) -> _Layout:
    *_, ours = VERSIONS
    usual = ours if settings.EMBEDDED else "alembic_version"
    return _Layout(_wanted(), _version_tables.get(cell.uuid, usual))


# --- contents ---------------------------------------------------------------------------------


@dataclass
class _Contents:
    """What is in the tables, all of which have the columns of ``layout``."""

    layout: _Layout
    rows: dict[str, int] = field(default_factory=dict)
    without_uuid: dict[str, int] = field(default_factory=dict)
    version: str = ""


def _contents(cell: Cell) -> _Contents:
    """What is in the cell: one query, if its schema is as expected."""
    try:
        return _read(cell, _expected(cell))
    except DatabaseError as error:
        if not connections[cell.alias].is_usable():
            raise
        layout = _Layout.of(cell)
        if layout == _expected(cell):  # so it was not that
            raise
        logger.debug("cell %s has another schema: %s", cell.name, cause_of(error))
    contents = _read(cell, layout)
    _version_tables[cell.uuid] = layout.version_table
    return contents


def _read(cell: Cell, layout: _Layout) -> _Contents:
    contents = _Contents(layout)
    statement, params = _statement(connections[cell.alias], layout)
    if not statement:
        return contents
    with connections[cell.alias].cursor() as cursor:
        cursor.execute(statement, params)
        rows = cursor.fetchall()
    for table, live, without_uuid, app, version in rows:
        if table == layout.version_table:
            contents.version = f"{app}.{version}" if app else version
        else:
            contents.rows[table] = live
            if without_uuid:
                contents.without_uuid[table] = without_uuid
    return contents


def _statement(connection: Any, layout: _Layout) -> tuple[str, list[Any]]:
    """The rows of each table, and the version; it fails if a column of the layout is missing."""
    quote = connection.ops.quote_name
    selects: list[str] = []
    params: list[Any] = []
    for model in _models():
        table, there = model._meta.db_table, layout.columns.get(model._meta.db_table, ())
        if "deleted" not in there:
            continue
        can_lack_uuid = "uuid" in there and any(
            one.name == "uuid" and one.null for one in model._meta.concrete_fields
        )
        without_uuid = f"COUNT(*) - COUNT({quote('uuid')})" if can_lack_uuid else "0"
        # Qualified: SQLite takes the quoted name of a column that is missing for a text.
        columns = ", ".join(f"{quote(table)}.{quote(column)}" for column in there)
        selects.append(
            f"SELECT %s, COUNT(*), {without_uuid}, '', '' FROM {quote(table)} WHERE deleted = 0"  # noqa: S608
            f" AND NOT EXISTS (SELECT {columns} FROM {quote(table)} WHERE 1 = 0)"
        )
        params.append(table)
    if table := layout.version_table:
        text = "char" if connection.vendor == "mysql" else "varchar"
        version = f"SELECT %s, 0, 0, {{}}, CAST({VERSIONS[table]} AS {text}) FROM {table}"  # noqa: S608
        params.append(table)
        if layout.is_novas:
            selects.append(version.format("''"))
        else:
            labels = sorted({model._meta.app_label for model in _models()})
            among = ", ".join(["%s"] * len(labels))
            newest = f"SELECT MAX(id) FROM {table} WHERE app IN ({among})"  # noqa: S608
            selects.append(f"{version.format('app')} WHERE id = ({newest})")
            params += labels
    return " UNION ALL ".join(selects), params
