"""The fleet of the recorded answers, as rows, and the databases that hold it."""

import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db import connections, models

from cells.databases import alias_of
from cells.models import (
    Aggregate,
    AggregateHost,
    AggregateMetadata,
    CellMapping,
    CellModel,
    HostMapping,
)
from cells.registry import all_cells, forget_cells
from hypervisors.demo.fleet import Fleet as DemoFleet
from hypervisors.models import ComputeNode, Instance, Migration
from services.models import Service
from tests.engines import CELLS

#: When the services that are up were last seen.
NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
#: Services seen this long before are up.  The others were last seen in a year so long ago that
#: they are down whenever the suite runs (``nova.SERVICE_DOWN_TIME``).
STILL_UP = datetime.timedelta(minutes=1)
LONG_AGO = 2001
#: ``services.version`` of Nova 34.
NEWEST = 74
PATH = Path(__file__).resolve().parent / "recorded" / "fleet.json"

API_MODELS: tuple[type[models.Model], ...] = (
    HostMapping,
    Aggregate,
    AggregateHost,
    AggregateMetadata,
)
CELL_MODELS: tuple[type[CellModel], ...] = (Service, ComputeNode, Instance, Migration)

Row = dict[str, Any]
#: Rows by database (``api`` or a cell's name) and table.
Rows = dict[str, dict[str, list[Row]]]

#: Columns for which only the fact that they were written is compared.
TIMES = frozenset({"created_at", "updated_at", "deleted_at", "last_seen_up"})
#: Columns that Nova writes when it merely reads a node without allocation ratios.
WRITTEN_BY_READS = {
    "compute_nodes": frozenset(
        {
            "cpu_allocation_ratio",
            "disk_allocation_ratio",
            "ram_allocation_ratio",
            "updated_at",
        }
    )
}


def build() -> Rows:
    """A new fleet: a small demo fleet, with fixed heartbeats, in whole seconds.

    Answers are recorded for the saved fleet: the demo may change, the saved fleet may not.
    """
    demo = DemoFleet(cells=len(CELLS) - 1, hosts_per_cell=8, instances_per_host=1, now=NOW)
    rows: Rows = {"api": {model._meta.db_table: [] for model in API_MODELS}}
    api = rows["api"]
    for number, cell in enumerate(demo):
        rows[cell.name] = {
            # By id: where Nova specifies no order, PostgreSQL returns rows in the order of writing.
            model._meta.db_table: [_row(row) for row in sorted(table, key=lambda row: row.id)]
            for model, table in zip(CELL_MODELS, cell.tables, strict=True)
        }
        for host, at in cell.mappings:
            # Cells are numbered from 0, their mappings from 1.
            _add(api["host_mappings"], host=host, cell_id=at + 1)
        for aggregate in cell.aggregates:
            key = _add(api["aggregates"], name=aggregate.name, uuid=aggregate.uuid)
            for host in aggregate.hosts:
                _add(api["aggregate_hosts"], host=host, aggregate_id=key)
            for name, value in aggregate.metadata.items():
                _add(api["aggregate_metadata"], key=name, value=value, aggregate_id=key)
        assert cell.name == list(CELLS)[number]
    return rows


def _add(rows: list[Row], **columns: Any) -> int:
    stamp = NOW.replace(tzinfo=None).isoformat()
    rows.append({"id": len(rows) + 1, "created_at": stamp, "updated_at": None, **columns})
    return len(rows)


def _row(instance: models.Model) -> Row:
    row = {
        field.attname: _plain(getattr(instance, field.attname))
        for field in instance._meta.concrete_fields
    }
    if "version" in row:
        row["version"] = NEWEST  # Nova does not start beside older ones
    seen = getattr(instance, "last_seen_up", None)
    if seen is not None and seen < NOW - STILL_UP:
        row["last_seen_up"] = _plain(seen.replace(year=LONG_AGO))
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None, microsecond=0).isoformat()
    return value


def save(rows: Rows, path: Path = PATH) -> None:
    """Write the rows, one per line, so that diffs are readable."""
    places = []
    for place, tables in rows.items():
        parts = []
        for table, some in tables.items():
            lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in some)
            parts.append(f"{json.dumps(table)}: [\n{lines}\n]")
        places.append(f"{json.dumps(place)}: {{\n" + ",\n".join(parts) + "\n}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + ",\n".join(places) + "\n}\n")


def load(path: Path = PATH) -> Rows:
    """The rows of the recorded answers."""
    rows: Rows = json.loads(path.read_text())
    return rows


class World:
    """Databases that hold the fleet, the portal's or Nova's own, by Django's aliases."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.before: dict[tuple[str, str], dict[int, Row]] = {}

    def tables(self) -> Iterator[tuple[str, str, type[models.Model]]]:
        """The tables of all databases: database, alias and model."""
        for model in API_MODELS:
            yield "api", "api", model
        for name, uuid in CELLS.items():
            for cell_model in CELL_MODELS:
                yield name, alias_of(uuid), cell_model

    def map_cells(self, urls: Mapping[str, str]) -> None:
        """Write the cell mappings: the databases of the cells by name."""
        HostMapping.objects.all().delete()
        CellMapping.objects.all().delete()
        for number, (name, uuid) in enumerate(CELLS.items(), 1):
            CellMapping.objects.create(
                id=number,
                uuid=uuid,
                name=name,
                transport_url=f"fake://{name}/",
                database_connection=urls[name],
                disabled=False,
            )
        forget_cells()
        all_cells()  # registers their databases

    def fill(self) -> None:
        """Replace all rows by those of the fleet."""
        tables = list(self.tables())
        for _, alias, model in reversed(tables):
            self._clear(alias, model)
        for place, alias, model in tables:
            self._insert(place, alias, model)
        self.before = self.snapshot()

    def restore(self, effect: list[list[Any]]) -> None:
        """Undo an effect: rewrite the tables that it names."""
        changed = {tuple(where.partition("#")[0].split(".")) for where, *_ in effect}
        if ("api", "aggregates") in changed:  # which these refer to
            changed |= {("api", "aggregate_hosts"), ("api", "aggregate_metadata")}
        tables = [
            table for table in self.tables() if (table[0], table[2]._meta.db_table) in changed
        ]
        for _, alias, model in reversed(tables):
            self._clear(alias, model)
        for place, alias, model in tables:
            self._insert(place, alias, model)

    def snapshot(self) -> dict[tuple[str, str], dict[int, Row]]:
        """Every row of every table by id."""
        return {
            (place, model._meta.db_table): {
                row["id"]: row for row in model._base_manager.using(alias).values()
            }
            for place, alias, model in self.tables()
        }

    def effect(self) -> list[list[Any]]:
        """What has changed since the fleet was written, a line for each row."""
        changes: list[list[Any]] = []
        for key, rows in self.snapshot().items():
            before = self.before[key]
            place, table = key
            ignored = WRITTEN_BY_READS.get(table, frozenset())
            for row_id in sorted(before.keys() | rows.keys()):
                where = f"{place}.{table}#{row_id}"
                old, new = before.get(row_id), rows.get(row_id)
                if new is None:
                    changes.append([where, "delete"])
                elif old is None:
                    changes.append([where, "insert"])
                elif old != new:
                    columns = {
                        name: _change(name, old[name], new[name])
                        for name in old
                        if old[name] != new[name] and name not in ignored
                    }
                    if columns:
                        changes.append([where, "update", columns])
        return changes

    def _clear(self, alias: str, model: type[models.Model]) -> None:
        # On PostgreSQL Nova lists services in the physical order of the table, which
        # only TRUNCATE resets to that of the ids.
        connection = connections[alias]
        table = connection.ops.quote_name(model._meta.db_table)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql" and model is Service:
                cursor.execute(f"TRUNCATE {table}")
            else:
                cursor.execute(f"DELETE FROM {table}")

    def _insert(self, place: str, alias: str, model: type[models.Model]) -> None:
        rows = self.rows[place][model._meta.db_table]
        model._base_manager.using(alias).bulk_create(
            [model(**{name: _value(name, value) for name, value in row.items()}) for row in rows],
            # One by one: in bulk Django casts values to types that Nova's own enumerations refuse.
            batch_size=1 if model is Migration else None,
        )


def _value(name: str, value: Any) -> Any:
    if value is not None and (name in TIMES or name == "launched_at"):
        return datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.UTC)
    return value


def _change(name: str, old: Any, new: Any) -> list[Any]:
    if name in TIMES:
        return ["*", None if new is None else "written"]
    return [old, new]
