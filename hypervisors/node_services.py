"""The services of hypervisors, which are what is acted on."""

from collections.abc import Iterable
from dataclasses import dataclass

from cells.executors import CellUnavailable
from cells.locate import by_keys, key_of
from hypervisors.models import ComputeNode


@dataclass(frozen=True)
class NodeServices:
    """The keys of the nova-computes of some compute nodes, and what there is none for.

    ``without`` are the names of nodes without a service, ``not_found`` the keys of no node.
    """

    keys: list[str]
    without: list[str]
    not_found: list[str]
    missing: list[CellUnavailable]


def services_of_nodes(keys: Iterable[str]) -> NodeServices:
    """The services of the compute nodes with these keys; nodes of one host share theirs."""
    wanted = list(dict.fromkeys(keys))
    found, missing = by_keys(ComputeNode.objects.select_related("service"), wanted)
    services: dict[str, None] = {}
    without: list[str] = []
    for node in found.values():
        if node.row.service is None:
            without.append(str(node.row))
        else:
            services[key_of(node.cell, node.row.service)] = None
    return NodeServices(
        list(services), without, [key for key in wanted if key not in found], missing
    )
