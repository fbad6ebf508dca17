"""The servers on the hosts of services: what is in the way of an action, or left to do after it."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from cells.executors import CellUnavailable
from cells.locate import by_keys
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from services.models import NOVA_COMPUTE, Service

#: How many servers of a host are listed.
MAX_LISTED = 200


@dataclass(frozen=True)
class HostServers:
    """The servers on the host of a nova-compute.

    ``uuids`` are at most ``MAX_LISTED`` of the ``total``; ``nodes`` are its compute nodes, whose
    pages list all of them.
    """

    cell: Cell
    total: int
    uuids: list[str]
    nodes: list[Any]

    @property
    def unlisted(self) -> int:
        return self.total - len(self.uuids)


def related_model(relation: str) -> Any:
    """The model behind a relation to ``Service``; the app that has it is built on this one."""
    return Service._meta.get_field(relation).related_model


def nodes_of_hosts(alias: str, hosts: Collection[str]) -> dict[str, list[Any]]:
    """The compute nodes of hosts in a cell's database, as far as links to them go."""
    nodes = related_model("compute_nodes").objects.using(alias).filter(host__in=hosts)
    of_host: dict[str, list[Any]] = defaultdict(list)
    for node in nodes.only("uuid", "host", "hypervisor_hostname").order_by("id"):
        of_host[node.host].append(node)
    return of_host


def servers_on_hosts(
    keys: Iterable[str],
) -> tuple[dict[str, HostServers], list[CellUnavailable]]:
    """The servers on the hosts of the nova-computes with these keys, where there are any, and the
    cells that did not answer.
    """
    found, missing = by_keys(Service.objects.filter(binary=NOVA_COMPUTE), keys)
    hosts: dict[Cell, dict[str, str]] = defaultdict(dict)
    for key, one in found.items():
        if one.row.host:
            hosts[one.cell][one.row.host] = key
    answers = ask_cells(hosts, lambda cell: _in_cell(cell, hosts[cell]))
    servers = {key: one for in_cell in answers.values() for key, one in in_cell.items()}
    return servers, [*missing, *answers.missing]


def _in_cell(cell: Cell, keys: dict[str, str]) -> dict[str, HostServers]:
    """The servers by the key of the service, given those of each host."""
    rows = related_model("instances").objects.using(cell.alias).filter(host__in=list(keys))
    uuids: dict[str, list[str]] = defaultdict(list)
    for host, uuid in rows.order_by("id").values_list("host", "uuid"):
        uuids[host].append(uuid)
    nodes = nodes_of_hosts(cell.alias, list(uuids)) if uuids else {}
    return {
        keys[host]: HostServers(cell, len(found), found[:MAX_LISTED], nodes.get(host, []))
        for host, found in uuids.items()
        if host in keys
    }
