"""What can be said of each cell's database: does it answer, is it new enough, what is in it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Q

from cells.databases import managed_by_nova
from cells.models import CellModel
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells

#: The table that Nova's uuid migration, and so the backfill, is about.
SERVICES = "services"

#: How many cells are looked at at once: more would wait for each other in this process, and seem
#: slow themselves.
AT_ONCE = 20


@dataclass
class CellProbe:
    """A cell and how it is.

    ``latency`` is one round trip to the database in seconds.  ``rows`` counts the live rows of
    each table, ``without_uuid`` those among them that have no uuid yet (tables without any are
    left out).  ``schema`` is the newest migration: Nova's revision, or Django's name of it.
    ``problem`` says in one line why the cell cannot be read, ``advice`` what to do about what
    was found.
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
    """Look at every cell (or at these), a few at a time; one that hangs costs one deadline."""
    cells = all_cells() if cells is None else tuple(cells)
    checks: list[CellProbe] = []
    for start in range(0, len(cells), AT_ONCE):
        checks += _check(cells[start : start + AT_ONCE])
    return checks


def _check(cells: Iterable[Cell]) -> list[CellProbe]:
    looked = ask_cells(cells, _look)
    counted = ask_cells(looked.by_cell, _count)
    checks = dict(looked.by_cell)
    for one in looked.missing:
        checks[one.cell] = CellProbe(one.cell, problem=one.cause)
    for one in counted.missing:
        checks[one.cell].problem = f"counting its rows: {one.cause}"
    for cell, (rows, without_uuid) in counted.by_cell.items():
        check = checks[cell]
        check.rows, check.without_uuid = rows, without_uuid
        if without_uuid.get(SERVICES) and check.healthy:
            check.advice = "run: manage.py backfill_service_uuids"
    return [checks[cell] for cell in cells]


def cell_models() -> list[type[CellModel]]:
    """The models of tables that every cell has."""
    return [model for model in apps.get_models() if issubclass(model, CellModel)]


def _look(cell: Cell) -> CellProbe:
    """Whether the cell answers, and whether its schema has what the portal reads."""
    check = CellProbe(cell, reachable=True)
    connection = connections[cell.alias]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # connects
        began = time.monotonic()
        cursor.execute("SELECT 1")
        cursor.fetchone()
        check.latency = time.monotonic() - began
    missing = _missing(cell)
    check.schema = schema_version(cell.alias)
    if missing:
        ours = settings.EMBEDDED and not managed_by_nova(cell.alias)
        check.problem = _too_old(missing)
        check.advice = f"run: {'manage.py migrate' if ours else 'nova-manage db sync'}"
    return check


def _missing(cell: Cell) -> list[str]:
    """The tables and ``table.column``s that the portal reads and the cell does not have."""
    try:
        for model in cell_models():
            model.with_deleted.using(cell.alias).filter(pk=0).first()
    except DatabaseError:
        columns = _columns(cell)
        missing: list[str] = []
        for model in cell_models():
            table = model._meta.db_table
            if table not in columns:
                missing.append(table)
                continue
            wanted = (one.column for one in model._meta.concrete_fields if one.column)
            missing += [f"{table}.{column}" for column in wanted if column not in columns[table]]
        if not missing:
            raise
        return missing
    return []


def _columns(cell: Cell) -> dict[str, set[str]]:
    """The columns of those of our tables that the cell has."""
    introspection = connections[cell.alias].introspection
    ours = {model._meta.db_table for model in cell_models()}
    with connections[cell.alias].cursor() as cursor:
        return {
            table: {one.name for one in introspection.get_table_description(cursor, table)}
            for table in ours & set(introspection.table_names(cursor))
        }


def _too_old(missing: list[str]) -> str:
    if f"{SERVICES}.uuid" in missing:
        return f"{SERVICES}.uuid is missing: schema from before Pike"
    return f"{', '.join(missing[:3])} missing: not a schema of Nova's, or too old"


def schema_version(alias: str) -> str:
    """The newest migration of a cell's database: Nova's revision, or the name of the portal's."""
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
    labels = {model._meta.app_label for model in cell_models()}
    applied = MigrationRecorder(connection).migration_qs.filter(app__in=labels)
    newest = applied.order_by("-applied", "-id").values_list("app", "name").first()
    return ".".join(newest) if newest else ""


def _count(cell: Cell) -> tuple[dict[str, int], dict[str, int]]:
    """The live rows of each table, and how many of them have no uuid, as far as the schema goes."""
    rows: dict[str, int] = {}
    without_uuid: dict[str, int] = {}
    for model in cell_models():
        live, table = model.objects.using(cell.alias), model._meta.db_table
        questions = {"rows": Count("pk")}
        if any(field.name == "uuid" and field.null for field in model._meta.concrete_fields):
            questions["without_uuid"] = Count("pk", filter=Q(uuid=None))
        try:
            counts = live.aggregate(**questions)
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
