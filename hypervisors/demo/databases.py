"""Writing a fleet into databases: the embedded portal's files, or databases on a server."""

import datetime
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import OperationalError, connections, transaction
from django.db.models import Model

from cells.database_urls import database_settings
from cells.databases import alias_of, managed_by_nova, register
from cells.models import (
    Aggregate,
    AggregateHost,
    AggregateMetadata,
    CellMapping,
    HostMapping,
    InstanceMapping,
)
from cells.registry import forget_cells
from hypervisors.demo.builder import AggregateRow, CellRows
from hypervisors.demo.fleet import Fleet
from hypervisors.models import ComputeNode, Instance, Migration
from services.models import Service

API = "api"
API_MODELS: tuple[type[Model], ...] = (
    AggregateMetadata, AggregateHost, Aggregate, InstanceMapping, HostMapping, CellMapping,
)  # fmt: skip
CELL_MODELS: tuple[type[Model], ...] = (Service, ComputeNode, Instance, Migration)
BATCH = 2000

#: What is called with each cell that is done.
Progress = Callable[[CellRows], None]


class FleetExists(Exception):
    """The databases hold a fleet already; the message says where."""


class NovaOwns(Exception):
    """A database is managed by Nova's migrations, so nothing may be made there."""


def urls_from(template: str, fleet: Fleet) -> dict[str, str]:
    """The database URLs of ``api``, ``cell0``, ``cell1`` ...: ``{name}`` in the template."""
    names = [API, *(fleet.name_of(number) for number in range(len(fleet)))]
    return {name: template.replace("{name}", name) for name in names}


def create_embedded(
    fleet: Fleet, *, replace: bool = False, progress: Progress = lambda rows: None
) -> None:
    """Create the embedded portal's fleet, in SQLite files under ``VAR_DIR``; see ``create``.

    Files there that no mapping names are left over from a fleet that was never finished, or was
    larger, so they are overwritten or removed even without ``replace``.
    """
    folder = settings.VAR_DIR.resolve() / "cells"
    urls = urls_from(f"sqlite:///{folder}/{{name}}.sqlite3", fleet)
    del urls[API]
    create(fleet, urls, replace=replace, replace_cells=True, progress=progress)
    files = {database_path(url) for url in urls.values()}
    for file in folder.glob("*.sqlite3*"):
        if not any(str(file).startswith(str(kept)) for kept in files):
            file.unlink()


def create(
    fleet: Fleet,
    urls: Mapping[str, str],
    *,
    replace: bool = False,
    replace_cells: bool = False,
    progress: Progress = lambda rows: None,
) -> None:
    """Create the databases that do not exist, migrate them and write the fleet.

    ``urls`` has the database of each cell, and of ``api`` unless the portal's own is meant.  The
    cells are mapped at the end, in one transaction, so that there is a whole fleet or none.

    Raises ``NovaOwns``, ``FleetExists`` (unless ``replace``; ``replace_cells`` is for cells that
    no mapping names), ``DatabaseURLError`` or ``DatabaseError``.
    """
    if API in urls:
        _create_database(API, urls[API])
    _refuse_nova(API)
    call_command("migrate", database=API, verbosity=0)
    if CellMapping.objects.exists() and not replace:
        raise FleetExists(f"there already is a fleet of {CellMapping.objects.count()} cells")
    empty(API, API_MODELS)
    forget_cells()
    mappings: list[tuple[str, int]] = []
    instances: list[tuple[str, str, int]] = []
    aggregates: list[AggregateRow] = []
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "cell.sqlite3"
        for rows in fleet:
            alias = alias_of(rows.uuid)
            _prepare(alias, urls[rows.name], template, replace=replace or replace_cells)
            write_cell(rows, alias)
            connections[alias].close()
            mappings += rows.mappings
            instances += rows.instance_mappings
            aggregates += rows.aggregates
            progress(rows)
    with transaction.atomic(using=API):
        CellMapping.objects.bulk_create(
            CellMapping(
                id=number + 1,
                uuid=fleet.uuid_of(number),
                name=fleet.name_of(number),
                transport_url=f"rabbit://{fleet.name_of(number)}/" if number else "none:///",
                database_connection=urls[fleet.name_of(number)],
                created_at=fleet.now,
            )
            for number in range(len(fleet))
        )
        cell_ids = {number: number + 1 for number in range(len(fleet))}
        write_api(mappings, instances, aggregates, cell_ids, created_at=fleet.now)
    reset_sequences(API, API_MODELS)
    forget_cells()


def write_cell(rows: CellRows, alias: str) -> None:
    """Insert the rows of one cell into its database, whose tables must exist and be empty."""
    with transaction.atomic(using=alias):
        for model, table in zip(CELL_MODELS, rows.tables, strict=True):
            # Rows inserted together are cast to the types that the model declares, which
            # PostgreSQL refuses for the enum in Nova's migrations.  There are few of them.
            batch = 1 if model is Migration else BATCH
            model._default_manager.using(alias).bulk_create(table, batch_size=batch)
    reset_sequences(alias, CELL_MODELS)
    if connections[alias].vendor == "postgresql":
        with connections[alias].cursor() as cursor:
            cursor.execute("ANALYZE")


def write_api(
    mappings: Iterable[tuple[str, int]],
    instances: Iterable[tuple[str, str, int]],
    aggregates: Iterable[AggregateRow],
    cell_ids: Mapping[int, int],
    *,
    created_at: datetime.datetime,
) -> None:
    """Insert host mappings, mappings of instances (uuid, project, cell number), and aggregates;
    ``cell_ids`` are the cell mappings' ids by cell number.
    """
    with transaction.atomic(using=API):
        HostMapping.objects.bulk_create(
            (
                HostMapping(id=row_id, host=host, cell_id=cell_ids[number], created_at=created_at)
                for row_id, (host, number) in enumerate(mappings, 1)
            ),
            batch_size=BATCH,
        )
        InstanceMapping.objects.bulk_create(
            (
                InstanceMapping(
                    id=row_id,
                    instance_uuid=uuid,
                    project_id=project,
                    cell_id=cell_ids[number],
                    created_at=created_at,
                )
                for row_id, (uuid, project, number) in enumerate(instances, 1)
            ),
            batch_size=BATCH,
        )
        hosts: list[AggregateHost] = []
        metadata: list[AggregateMetadata] = []
        for row_id, row in enumerate(aggregates, 1):
            Aggregate(id=row_id, uuid=row.uuid, name=row.name, created_at=created_at).save(
                using=API, force_insert=True
            )
            hosts += [
                AggregateHost(host=host, aggregate_id=row_id, created_at=created_at)
                for host in row.hosts
            ]
            metadata += [
                AggregateMetadata(key=key, value=value, aggregate_id=row_id, created_at=created_at)
                for key, value in row.metadata.items()
            ]
        AggregateHost.objects.bulk_create(hosts, batch_size=BATCH)
        AggregateMetadata.objects.bulk_create(metadata, batch_size=BATCH)


def empty(alias: str, models: Iterable[type[Model]]) -> None:
    """Delete every row of these tables, and of those with foreign keys to them."""
    connection = connections[alias]
    tables = [model._meta.db_table for model in models]
    connection.ops.execute_sql_flush(
        connection.ops.sql_flush(no_style(), tables, reset_sequences=True, allow_cascade=True)
    )


def reset_sequences(alias: str, models: Iterable[type[Model]]) -> None:
    """Let the database continue numbering after the ids that the rows came with."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(models)):
            cursor.execute(statement)


def _prepare(alias: str, url: str, template: Path, *, replace: bool) -> None:
    """Create the database of a cell, with its tables and without rows."""
    path = database_path(url)
    if path is not None and template.exists() and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(template, path)
        _point(alias, url)
        return
    _create_database(alias, url)
    _refuse_nova(alias)
    call_command("migrate", database=alias, verbosity=0)
    if Service.with_deleted.using(alias).exists() and not replace:
        raise FleetExists(f"{_named(alias)} has services already")
    empty(alias, CELL_MODELS)
    if path is not None and not template.exists():
        connections[alias].close()
        shutil.copyfile(path, template)


def _point(alias: str, url: str) -> None:
    """Point ``alias`` at the database at ``url``, whatever this thread used it for before."""
    if alias in connections.settings:
        connections[alias].close()
        del connections[alias]
    register(alias, _settings(url))


def _create_database(alias: str, url: str) -> None:
    """Point ``alias`` at the database, which is created if it does not exist."""
    _point(alias, url)
    connection = connections[alias]
    name = connection.settings_dict["NAME"]
    quoted = connection.ops.quote_name(name)
    if connection.vendor == "sqlite":
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
        return
    try:
        connection.ensure_connection()
    except OperationalError as error:
        if not _says_no_database(error):
            raise
        with connection._nodb_cursor() as cursor:
            encoding = (
                "ENCODING 'UTF8' TEMPLATE template0"
                if connection.vendor == "postgresql"
                else "CHARACTER SET utf8mb4"
            )
            cursor.execute(f"CREATE DATABASE {quoted} {encoding}")


def _says_no_database(error: OperationalError) -> bool:
    """Whether a server refused a connection because it has no such database."""
    unknown_database = 1049  # MySQL's error number
    return unknown_database in error.args[:1] or "does not exist" in str(error)


def _refuse_nova(alias: str) -> None:
    if managed_by_nova(alias):
        raise NovaOwns(f"{_named(alias)} is managed by Nova's migrations, so it is left alone")


def _settings(url: str) -> dict[str, Any]:
    return database_settings(url, connect_timeout=settings.CELL_DEADLINE)


def _named(alias: str) -> str:
    return f"database {connections[alias].settings_dict['NAME']}"


def database_path(url: str) -> Path | None:
    """The file of an SQLite URL; ``None`` for a server's."""
    database = _settings(url)
    return Path(database["NAME"]) if database["ENGINE"].endswith("sqlite3") else None
