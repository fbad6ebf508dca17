"""What the checks of the fleet look at: every cell's compute nodes and services, read once."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

from django.db.models import Q

from cells.executors import CellUnavailable
from cells.fields import flag
from cells.registry import Cell, all_cells, cell_ids_of_hosts
from cells.scatter_gather import CELLS_AT_ONCE, ask_cells
from hypervisors.models import ComputeNode
from hypervisors.placement_facts import Facts
from services.models import API_BINARIES, NOVA_COMPUTE, Service
from services.problems import RowProblem


class NodeRow(NamedTuple):
    """What is read of a compute node, with the names of the problems it has."""

    id: int
    uuid: str | None
    host: str | None
    hostname: str | None
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
    problems: frozenset[str]

    @property
    def subject(self) -> str:
        return f"{self.binary} on {self.host}"


@dataclass
class Snapshot:
    """The live rows of every cell that answered, by cell in Nova's order, and who did not.

    ``mappings`` has for each mapped host the id of its cell.  ``is_complete`` is whether every cell
    there is was read; ``placement`` is what placement says of all hosts.
    """

    mappings: dict[str, int]
    nodes: dict[Cell, list[NodeRow]] = field(default_factory=dict)
    services: dict[Cell, list[ServiceRow]] = field(default_factory=dict)
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


def take_snapshot(
    cells: Sequence[Cell],
    now: datetime.datetime,
    *,
    node_problems: Iterable[RowProblem],
    service_problems: Iterable[RowProblem],
    placement: Facts,
) -> Snapshot:
    """Read these cells, a few at a time: two queries each, whichever problems are looked for."""
    snapshot = Snapshot(cell_ids_of_hosts(), placement=placement)
    read = partial(
        _read,
        of_nodes={problem.name: problem.condition(now) for problem in node_problems},
        of_services={problem.name: problem.condition(now) for problem in service_problems},
    )
    answers = ask_cells(cells, read, at_once=CELLS_AT_ONCE)
    for cell, (nodes, services) in answers.by_cell.items():
        snapshot.nodes[cell], snapshot.services[cell] = nodes, services
    snapshot.missing += answers.missing
    snapshot.is_complete = set(all_cells()) == set(answers.by_cell)
    return snapshot


def _read(
    cell: Cell, of_nodes: dict[str, Q], of_services: dict[str, Q]
) -> tuple[list[NodeRow], list[ServiceRow]]:
    nodes: Any = (
        ComputeNode.objects.using(cell.alias)
        .order_by("id")
        .values_list("id", "uuid", "host", "hypervisor_hostname", *map(flag, of_nodes.values()))
    )
    services: Any = (
        Service.objects.using(cell.alias)
        .exclude(binary__in=API_BINARIES)
        .order_by("id")
        .values_list("id", "uuid", "host", "binary", *map(flag, of_services.values()))
    )
    return (
        [
            NodeRow(node_id, uuid, host, hostname, _names(of_nodes, flags))
            for node_id, uuid, host, hostname, *flags in nodes
        ],
        [
            ServiceRow(service_id, uuid, host, binary, _names(of_services, flags))
            for service_id, uuid, host, binary, *flags in services
        ],
    )


_NONE: frozenset[str] = frozenset()


def _names(names: Iterable[str], flags: Sequence[int]) -> frozenset[str]:
    if not any(flags):  # nearly always
        return _NONE
    return frozenset(name for name, is_set in zip(names, flags, strict=True) if is_set)
