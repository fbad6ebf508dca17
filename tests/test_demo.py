"""The demo fleet: its rows, writing them, and their heartbeats."""

import datetime
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import Model
from django.utils import timezone
from pytest_django import Settings

from cells.databases import alias_of
from cells.models import Aggregate, AggregateHost, CellMapping, HostMapping, InstanceMapping
from cells.registry import Cell, all_cells, cells_named
from hypervisors.demo.builder import CellRows
from hypervisors.demo.databases import (
    CELL_MODELS,
    FleetExists,
    NovaOwns,
    create,
    create_embedded,
    urls_from,
)
from hypervisors.demo.fleet import Fleet
from hypervisors.models import ComputeNode, Instance
from services.models import NOVA_COMPUTE, Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.nova import made_by_nova
from tests.scratch import scratch_databases

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)


def values(rows: Model) -> dict[str, object]:
    return {field.attname: getattr(rows, field.attname) for field in rows._meta.concrete_fields}


def everything(fleet: Fleet) -> list[object]:
    return [
        [
            cell.name,
            cell.uuid,
            [[values(row) for row in table] for table in cell.tables],
            cell.mappings,
            cell.aggregates,
        ]
        for cell in fleet
    ]


# --- the rows -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_fleet() -> None:
    assert everything(Fleet(now=NOW)) == everything(Fleet(now=NOW))
    assert everything(Fleet(now=NOW)) != everything(Fleet(now=NOW, seed=2))


def test_a_cell_does_not_depend_on_how_many_there_are() -> None:
    small, other = Fleet(cells=3, now=NOW).cell(1), Fleet(cells=9, now=NOW).cell(1)
    assert [values(row) for row in small.nodes] == [values(row) for row in other.nodes]


def test_uuids_are_unique_and_ids_repeat() -> None:
    cells = list(Fleet())
    for table in range(4):
        uuids = Counter(row.uuid for cell in cells for row in cell.tables[table])
        assert not [uuid for uuid, count in uuids.items() if count > 1]
    ids = Counter(service.id for cell in cells[1:] for service in cell.services)
    assert ids[1] == 4
    assert ids[7001] == 1


def test_services_are_in_every_state() -> None:
    fleet = Fleet(now=NOW)
    since = NOW - datetime.timedelta(seconds=60)
    found = {
        (
            bool(service.last_seen_up and service.last_seen_up >= since),
            bool(service.disabled),
            bool(service.disabled_reason),
            bool(service.forced_down),
        )
        for cell in fleet
        for service in cell.services
        if service.binary == NOVA_COMPUTE and not service.deleted
    }
    assert found >= {
        (True, False, False, False),
        (False, False, False, False),
        (True, True, True, False),
        (True, True, False, False),
        (False, True, True, False),
        (False, False, False, True),
        (True, False, False, True),
    }
    binaries = {service.binary for service in fleet.cell(0).services}
    assert binaries == {
        "nova-conductor",
        "nova-scheduler",
        "nova-osapi_compute",
        "nova-metadata",
        "nova-consoleauth",
    }
    never = [s for cell in fleet for s in cell.services if s.last_seen_up is None]
    assert {service.binary for service in never} >= {NOVA_COMPUTE, "nova-metadata"}


def test_the_edge_cases_match_their_names() -> None:
    fleet = Fleet(now=NOW)
    cells = list(fleet)
    named = {name: (cell, row) for cell in cells for name, row in cell.named.items()}

    def live_services(name: str) -> list[Service]:
        cell, row = named[name]
        return [s for s in cell.services if s.host == row.host and not s.deleted]

    mapped = {host: number for cell in cells for host, number in cell.mappings}
    cell, service = named["ironic_service"]
    assert len([node for node in cell.nodes if node.host == service.host]) == 4
    assert live_services("gone") == [] == live_services("gone_unmapped")
    assert named["gone"][1].host in mapped
    for name in ("gone_unmapped", "unmapped"):
        assert named[name][1].host not in mapped
    wrong_cell, node = named["wrongcell"]
    assert mapped[str(node.host)] != wrong_cell.number
    assert named["twin"][1].host == named["twin_unmapped"][1].host
    assert named["legacy"][1].host is None
    nulls = {name for name, value in values(named["nulls"][1]).items() if value is None}
    nullable = {
        field.attname for field in ComputeNode._meta.concrete_fields if field.column and field.null
    }
    assert nullable - nulls == {"host", "uuid", "hypervisor_hostname", "deleted"}
    reason = str(values(named["long_service"][1])["disabled_reason"])
    assert len(reason) == 255
    assert not reason.isascii()
    assert values(named["evacuated_service"][1])["forced_down"]
    (_, evacuation), (_, moving) = (
        (cell, migration) for cell in cells for migration in cell.migrations
    )
    assert (evacuation.status, evacuation.source_compute) == ("done", named["evacuated"][1].host)
    assert (moving.status, moving.source_compute) == ("migrating", named["migrating"][1].host)


def test_one_cell_has_no_uuids_yet() -> None:
    fleet = Fleet(uuidless_cell=4)
    assert {service.uuid for service in fleet.cell(4).services} == {None}
    assert None not in {service.uuid for service in fleet.cell(3).services}


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_fleets_of_few_cells_have_the_edge_cases(cells: int) -> None:
    names = set[str]()
    for cell in Fleet(cells=cells, hosts_per_cell=0):
        names |= set(cell.named)
        hosts = Counter((s.host, s.binary, s.deleted) for s in cell.services)
        assert max(hosts.values()) == 1
    assert names >= {"ironic_service", "nulls", "wrongcell"}


# --- writing it -----------------------------------------------------------------------------------


@pytest.fixture
def template(cloud: Cloud, tmp_path: Path) -> Iterator[str]:
    """Where a fleet can be made; what was made there is removed."""
    with scratch_databases(cloud, tmp_path) as scratch:
        yield scratch.template


def small(seed: int = 1) -> Fleet:
    return Fleet(cells=2, hosts_per_cell=3, seed=seed, now=NOW)


def test_databases_are_made_and_hold_the_rows(template: str, api: ApiClient) -> None:
    fleet = small()
    create(fleet, urls_from(template, fleet))
    assert [(cell.name, cell.uuid) for cell in all_cells()] == [
        (rows.name, rows.uuid) for rows in fleet
    ]
    for cell, rows in zip(all_cells(), fleet, strict=True):
        for model, table in zip(CELL_MODELS, rows.tables, strict=True):
            stored = model._default_manager.using(cell.alias)
            if hasattr(model, "with_deleted"):
                stored = model.with_deleted.using(cell.alias)
            assert [values(row) for row in stored.order_by("id")] == [
                values(row) for row in sorted(table, key=lambda row: row.id)
            ]
    hosts = {host: fleet.uuid_of(number) for rows in fleet for host, number in rows.mappings}
    assert dict(HostMapping.objects.values_list("host", "cell__uuid")) == hosts
    aggregates = [aggregate for rows in fleet for aggregate in rows.aggregates]
    assert Aggregate.objects.count() == len(aggregates)
    assert AggregateHost.objects.count() == sum(len(aggregate.hosts) for aggregate in aggregates)
    assert len(api.get("/os-services", version="2.53")["services"]) > 20


def test_sequences_continue_after_the_rows(template: str) -> None:
    fleet = small()
    create(fleet, urls_from(template, fleet))
    for cell, rows in zip(all_cells(), fleet, strict=True):
        service = Service.objects.using(cell.alias).create(host="new", binary="nova-x")
        assert service.id > max(row.id for row in rows.services)
    assert HostMapping.objects.create(host="new", cell_id=1).id > 1


def test_a_fleet_is_only_replaced_on_request(template: str) -> None:
    first, second = small(), small(seed=2)
    create(first, urls_from(template, first))
    with pytest.raises(FleetExists, match="3 cells"):
        create(second, urls_from(template, second))
    assert all_cells()[1].uuid == first.uuid_of(1)
    create(second, urls_from(template, second), replace=True)
    assert [cell.uuid for cell in all_cells()] == [second.uuid_of(number) for number in range(3)]
    uuids = set(Service.with_deleted.using(all_cells()[1].alias).values_list("uuid", flat=True))
    assert uuids == {service.uuid for service in second.cell(1).services}


def test_a_cell_with_rows_is_only_replaced_on_request(template: str) -> None:
    fleet = small()
    create(fleet, urls_from(template, fleet))
    HostMapping.objects.all().delete()
    InstanceMapping.objects.all().delete()
    AggregateHost.objects.all().delete()
    CellMapping.objects.all().delete()
    with pytest.raises(FleetExists, match="has services already"):
        create(fleet, urls_from(template, fleet))


@pytest.mark.parametrize("number", [None, 0])
def test_a_database_of_nova_is_not_written(cloud: Cloud, number: int | None) -> None:
    fleet = small()
    urls = {cell.name: cloud.url(cell.name) for cell in cloud.cells}
    alias = "api" if number is None else alias_of(CellMapping.CELL0_UUID)
    if number is not None:
        CellMapping.objects.all().delete()
    with made_by_nova([alias]):
        before = set(connections[alias].introspection.table_names())
        with pytest.raises(NovaOwns, match="managed by Nova"):
            create(fleet, urls, replace=True)
        assert set(connections[alias].introspection.table_names()) == before


def test_an_interrupted_embedded_fleet_is_created_again(
    cloud: Cloud, settings: Settings, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path
    CellMapping.objects.all().delete()
    fleet = small()

    def interrupt(rows: CellRows) -> None:
        if rows.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_embedded(fleet, progress=interrupt)
    assert not CellMapping.objects.exists()
    create_embedded(fleet)
    assert len(all_cells()) == 3
    smaller = Fleet(cells=1, hosts_per_cell=1)
    create_embedded(smaller, replace=True)
    files = sorted(file.name for file in (tmp_path / "cells").glob("*.sqlite3"))
    assert files == ["cell0.sqlite3", "cell1.sqlite3"]


# --- heartbeats -----------------------------------------------------------------------------------


def state_of(cell: Cell) -> dict[str, bool]:
    return {str(s.host): s.is_up() for s in Service.objects.using(cell.alias).exclude(topic=None)}


def test_heartbeats_keep_services_up(cloud: Cloud) -> None:
    cell = cloud.cell("cell1")
    cloud.add_service(cell, "well")
    cloud.add_service(cell, "dead", last_seen_up=timezone.now() - datetime.timedelta(hours=1))
    cloud.add_service(cell, "never", last_seen_up=None, created_at=NOW)
    cloud.add_service(cell, "api", binary="nova-metadata", topic=None, last_seen_up=None)
    cloud.add_service(cell, "fenced", forced_down=True, disabled=True, disabled_reason="fire")
    # Nobody reported for a night: the demo was not running.
    night = timezone.now() - datetime.timedelta(hours=8)
    reporting = Service.objects.using(cell.alias).filter(host__in=["well", "fenced"])
    reporting.update(last_seen_up=night)
    Service.objects.using(cell.alias).filter(host="dead").update(
        last_seen_up=night - datetime.timedelta(hours=1)
    )
    before = {s.host: values(s) for s in Service.objects.using(cell.alias)}
    call_command("heartbeat", once=True)
    assert state_of(cell) == {"well": True, "dead": False, "never": False, "fenced": False}
    for service in Service.objects.using(cell.alias):
        after = values(service)
        changed = {name for name in after if after[name] != before[service.host][name]}
        beaten = {"last_seen_up", "updated_at", "report_count"}
        assert changed == (beaten if service.host in ("well", "fenced") else set())


def test_heartbeats_update_the_nodes_that_are_updated(cloud: Cloud) -> None:
    cell = cloud.cell("cell1")
    minutes = datetime.timedelta(minutes=1)
    cloud.host("cell1", "well", node={"updated_at": timezone.now() - 5 * minutes})
    cloud.host("cell1", "stale", node={"updated_at": timezone.now() - 500 * minutes})
    call_command("heartbeat", once=True)
    nodes = ComputeNode.objects.using(cell.alias)
    assert nodes.get(host="well").updated_at > timezone.now() - minutes
    assert nodes.get(host="stale").updated_at < timezone.now() - 100 * minutes


def test_no_heartbeats_for_a_real_nova(cloud: Cloud) -> None:
    cell = cloud.cell("cell1")
    cloud.host("cell1", "real")
    before = values(Service.objects.using(cell.alias).get())
    with (
        made_by_nova([cell.alias]),
        pytest.raises(CommandError, match="report themselves"),
    ):
        call_command("heartbeat", once=True)
    assert values(Service.objects.using(cell.alias).get()) == before


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cells", "0"], "must be from 1 to 1000"),
        (["--database-url-template", "sqlite:////tmp/x"], "must contain {name}"),
        (["--database-url-template", "oracle://x/{name}"], "oracle scheme"),
    ],
)
def test_bad_options_are_refused(cloud: Cloud, options: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("demo", *options)


def test_an_attached_portal_creates_no_fleet(cloud: Cloud, settings: Settings) -> None:
    settings.EMBEDDED = False
    with pytest.raises(CommandError, match="attached"):
        call_command("demo")
    assert len(cells_named(["cell1", "cell2"])) == 2
    assert not Instance.objects.using(cloud.cell("cell1").alias).exists()
