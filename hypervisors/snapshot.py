"""What the checks of the fleet look at: every cell's compute nodes and services, read once."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, Q
from django.db.models.functions import Coalesce

from cells.executors import CellUnavailable
from cells.fields import flag
from cells.registry import Cell, all_cells, cell_ids_of_hosts
from cells.scatter_gather import CELLS_AT_ONCE, ask_cells
from hypervisors.models import ComputeNode, Migration
from hypervisors.placement_facts import Facts
from services.models import API_BINARIES, NOVA_COMPUTE, Service, state_expression, up_at
from services.problems import RowProblem


class NodeRow(NamedTuple):
    """What is read of a compute node, with the names of the problems it has."""

    id: int
    uuid: str | None
    host: str | None
    hostname: str | None
    mapped: int | None
    problems: frozenset[str]

    @property
    def subject(self) -> str:
        return str(self.hostname)


class ServiceRow(NamedTuple):
    """What is read of a service, with the names of the problems it has."""

    id: int
    uuid: str | None
    host: str | None
    binary: str | None
    version: int | None
    is_up: bool
    problems: frozenset[str]

    @property
    def subject(self) -> str:
        return f"{self.binary} on {self.host}"


class MigrationRow(NamedTuple):
    """What is read of a migration that got stuck or has failed; ``at`` is when it last changed."""

    kind: str | None
    server: str | None
    source: str | None
    dest: str | None
    status: str | None
    at: datetime.datetime

    @property
    def has_failed(self) -> bool:
        return self.status in Migration.FAILED


@dataclass
class Snapshot:
    """The live rows of every cell that answered, by cell in Nova's order, and who did not.

    ``servers_on_down_hosts`` counts them by host; ``migrations`` are stuck or have failed.
    ``mappings`` has for each mapped host the id of its cell.  ``is_complete`` is whether every cell
    there is was read; ``placement`` is what placement says of all hosts.
    """

    mappings: dict[str, int]
    now: datetime.datetime
    nodes: dict[Cell, list[NodeRow]] = field(default_factory=dict)
    services: dict[Cell, list[ServiceRow]] = field(default_factory=dict)
    servers_on_down_hosts: dict[Cell, dict[str, int]] = field(default_factory=dict)
    migrations: dict[Cell, list[MigrationRow]] = field(default_factory=dict)
    missing: list[CellUnavailable] = field(default_factory=list)
    is_complete: bool = True
    placement: Facts = field(default_factory=Facts)

    @cached_property
    def computes(self) -> list[tuple[Cell, ServiceRow]]:
        """Every nova-compute that names its host."""
        return [
            (cell, service)
            for cell, services in self.services.items()
            for service in services
            if service.binary == NOVA_COMPUTE and service.host
        ]

    @cached_property
    def hosts(self) -> dict[Cell, dict[str, NodeRow | ServiceRow]]:
        """The compute hosts of each cell: their nova-compute, or a node if there is none."""
        hosts: dict[Cell, dict[str, NodeRow | ServiceRow]] = {
            cell: {node.host: node for node in nodes if node.host}
            for cell, nodes in self.nodes.items()
        }
        for cell, service in self.computes:
            hosts[cell][str(service.host)] = service
        return hosts

    @cached_property
    def nodes_of_hosts(self) -> dict[Cell, dict[str | None, list[NodeRow]]]:
        """The compute nodes of each host of each cell."""
        found: dict[Cell, dict[str | None, list[NodeRow]]] = {}
        for cell, nodes in self.nodes.items():
            of_cell = found[cell] = defaultdict(list)
            for node in nodes:
                of_cell[node.host].append(node)
        return found


def take_snapshot(
    cells: Sequence[Cell],
    now: datetime.datetime,
    *,
    node_problems: Iterable[RowProblem],
    service_problems: Iterable[RowProblem],
    placement: Facts,
) -> Snapshot:
    """Read these cells, a few at a time: four queries each, whichever problems are looked for."""
    snapshot = Snapshot(cell_ids_of_hosts(), now, placement=placement)
    read = partial(
        _read,
        now=now,
        of_nodes={problem.name: problem.condition(now) for problem in node_problems},
        of_services={problem.name: problem.condition(now) for problem in service_problems},
    )
    answers = ask_cells(cells, read, at_once=CELLS_AT_ONCE)
    for cell, (nodes, services, servers, migrations) in answers.by_cell.items():
        snapshot.nodes[cell], snapshot.services[cell] = nodes, services
        snapshot.servers_on_down_hosts[cell], snapshot.migrations[cell] = servers, migrations
    snapshot.missing += answers.missing
    snapshot.is_complete = set(all_cells()) == set(answers.by_cell)
    return snapshot


def _read(
    cell: Cell, now: datetime.datetime, of_nodes: dict[str, Q], of_services: dict[str, Q]
) -> tuple[list[NodeRow], list[ServiceRow], dict[str, int], list[MigrationRow]]:
    nodes: Any = (
        ComputeNode.objects.using(cell.alias)
        .order_by("id")
        .values_list(
            "id", "uuid", "host", "hypervisor_hostname", "mapped", *map(flag, of_nodes.values())
        )
    )
    services: Any = (
        Service.objects.using(cell.alias)
        .exclude(binary__in=API_BINARIES)
        .order_by("id")
        .values_list(
            "id",
            "uuid",
            "host",
            "binary",
            "version",
            flag(up_at(now)),
            *map(flag, of_services.values()),
        )
    )
    return (
        [
            NodeRow(node_id, uuid, host, hostname, mapped, _names(of_nodes, flags))
            for node_id, uuid, host, hostname, mapped, *flags in nodes
        ],
        [
            ServiceRow(
                service_id, uuid, host, binary, version, bool(is_up), _names(of_services, flags)
            )
            for service_id, uuid, host, binary, version, is_up, *flags in services
        ],
        servers_on_down_hosts(cell, now),
        _troubled_migrations(cell, now),
    )


def servers_on_down_hosts(cell: Cell, now: datetime.datetime) -> dict[str, int]:
    """How many servers are on each host of the cell whose nova-compute is down."""
    down = (
        Service.objects.using(cell.alias)
        .filter(binary=NOVA_COMPUTE, host__isnull=False)
        .annotate(now=state_expression(now))
        .filter(now="down", instances__deleted=0)
    )
    counted: Any = down.order_by().values("host").annotate(servers=Count("instances"))
    return dict(counted.values_list("host", "servers"))


def _troubled_migrations(cell: Cell, now: datetime.datetime) -> list[MigrationRow]:
    """Those in progress that have not changed for long, and those that failed not long ago."""
    before = now - datetime.timedelta(hours=settings.MIGRATION_STUCK_HOURS)
    changed: Any = Migration.objects.db_manager(cell.alias).annotate(
        at=Coalesce("updated_at", "created_at")
    )
    stuck = Q(status__isnull=False, at__lt=before) & ~Q(status__in=Migration.FINISHED)
    failed = Q(status__in=Migration.FAILED, at__gte=before)
    rows = changed.filter(stuck | failed).order_by("id")
    columns = ("migration_type", "instance_uuid", "source_compute", "dest_compute", "status", "at")
    return [MigrationRow(*values) for values in rows.values_list(*columns)]


_NONE: frozenset[str] = frozenset()


def _names(names: Iterable[str], flags: Sequence[int]) -> frozenset[str]:
    if not any(flags):  # nearly always
        return _NONE
    return frozenset(name for name, is_set in zip(names, flags, strict=True) if is_set)
