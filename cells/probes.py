"""Probing the database of each cell: does it answer, is its schema new enough, what is in it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Q
from django.utils.translation import gettext_noop

from cells.databases import managed_by_nova
from cells.models import CellModel
from cells.registry import Cell, all_cells
from cells.scatter_gather import CELLS_AT_ONCE, ask_cells

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
    answers = ask_cells(cells, _connect, at_once=CELLS_AT_ONCE)
    counts = ask_cells(answers.by_cell, _count_rows, at_once=CELLS_AT_ONCE)
    probes = dict(answers.by_cell)
    for unavailable in answers.missing:
        probes[unavailable.cell] = CellProbe(unavailable.cell, problem=unavailable.cause)
    for unavailable in counts.missing:
        probes[unavailable.cell].problem = gettext_noop("counting its rows: %(cause)s") % {
            "cause": unavailable.cause
        }
    for cell, (rows, without_uuid) in counts.by_cell.items():
        probe = probes[cell]
        probe.rows, probe.without_uuid = rows, without_uuid
        if without_uuid.get(SERVICES) and probe.healthy:
            probe.advice = gettext_noop("run: manage.py backfill_service_uuids")
    return [probes[cell] for cell in cells]


def _connect(cell: Cell) -> CellProbe:
    """Whether the cell answers, and whether its schema has all that the portal reads."""
    probe = CellProbe(cell, reachable=True)
    connection = connections[cell.alias]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # connects
        started = time.monotonic()
        cursor.execute("SELECT 1")
        cursor.fetchone()
        probe.latency = time.monotonic() - started
    missing = _missing(cell)
    probe.schema = _schema_version(cell.alias)
    if missing:
        ours = settings.EMBEDDED and not managed_by_nova(cell.alias)
        probe.problem = _too_old(missing)
        probe.advice = (
            gettext_noop("run: manage.py migrate")
            if ours
            else gettext_noop("run: nova-manage db sync")
        )
    return probe


def _cell_models() -> list[type[CellModel]]:
    """The models of tables that every cell has."""
    return [model for model in apps.get_models() if issubclass(model, CellModel)]


def _missing(cell: Cell) -> list[str]:
    """The tables and ``table.column``s that the portal reads and the cell lacks."""
    try:
        for model in _cell_models():
            model.with_deleted.using(cell.alias).filter(pk=0).first()
    except DatabaseError:
        columns = _columns(cell)
        missing: list[str] = []
        for model in _cell_models():
            table = model._meta.db_table
            if table not in columns:
                missing.append(table)
                continue
            wanted = (field.column for field in model._meta.concrete_fields if field.column)
            missing += [f"{table}.{column}" for column in wanted if column not in columns[table]]
        if not missing:
            raise
        return missing
    return []


def _columns(cell: Cell) -> dict[str, set[str]]:
    """The columns in the cell of each table that the portal reads."""
    introspection = connections[cell.alias].introspection
    ours = {model._meta.db_table for model in _cell_models()}
    with connections[cell.alias].cursor() as cursor:
        return {
            table: {column.name for column in introspection.get_table_description(cursor, table)}
            for table in ours & set(introspection.table_names(cursor))
        }


def _too_old(missing: list[str]) -> str:
    if f"{SERVICES}.uuid" in missing:
        return f"{SERVICES}.uuid is missing: schema from before Pike"
    return f"{', '.join(missing[:3])} missing: not a schema of Nova's, or too old"


def _schema_version(alias: str) -> str:
    """The newest migration of a database: Nova's revision or the name of the portal's own."""
    connection = connections[alias]
    tables = connection.introspection.table_names()
    for table, column in (("alembic_version", "version_num"), ("migrate_version", "version")):
        if table in tables:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {column} FROM {table}")  # noqa: S608
                row = cursor.fetchone()
            return str(row[0]) if row else ""
    if MigrationRecorder.Migration._meta.db_table not in tables:
        return ""
    labels = {model._meta.app_label for model in _cell_models()}
    applied = MigrationRecorder(connection).migration_qs.filter(app__in=labels)
    newest = applied.order_by("-applied", "-id").values_list("app", "name").first()
    return ".".join(newest) if newest else ""


def _count_rows(cell: Cell) -> tuple[dict[str, int], dict[str, int]]:
    """How many live rows each table has, and how many of them no uuid, if its schema has both."""
    rows: dict[str, int] = {}
    without_uuid: dict[str, int] = {}
    for model in _cell_models():
        live, table = model.objects.using(cell.alias), model._meta.db_table
        aggregates = {"rows": Count("pk")}
        if any(field.name == "uuid" and field.null for field in model._meta.concrete_fields):
            aggregates["without_uuid"] = Count("pk", filter=Q(uuid=None))
        try:
            counts = live.aggregate(**aggregates)
        except DatabaseError:
            columns = _columns(cell).get(table, set())
            if "uuid" in columns:
                raise
            if "deleted" in columns:
                rows[table] = live.count()
            continue
        rows[table] = counts["rows"]
        if counts.get("without_uuid"):
            without_uuid[table] = counts["without_uuid"]
    return rows, without_uuid
