"""What the console's page of one hypervisor shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Paginator
from django.db.models import F, Q

from cells.executors import CellUnavailable
from cells.merge import CodePoints
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from hypervisors.models import ComputeNode, Instance, cpu_info, uptime
from services.models import Service

SERVERS_A_PAGE = 50


@dataclass(frozen=True)
class Cpu:
    """A host's processors; what the hypervisor did not report is empty."""

    arch: str
    vendor: str
    model: str
    topology: tuple[tuple[str, int], ...]
    features: tuple[str, ...]
    #: The column as it is, when it is not what libvirt reports.
    raw: str = ""


@dataclass(frozen=True)
class Around:
    """What the node's cell said about it and its neighbourhood."""

    service: Service | None
    servers: list[Instance]
    servers_pages: Paginator  # type: ignore[type-arg]
    servers_page: int
    before: ComputeNode | None
    after: ComputeNode | None
    siblings: list[ComputeNode]

    @property
    def servers_count(self) -> int:
        return self.servers_pages.count

    def page_numbers(self) -> list[int | str]:
        return list(self.servers_pages.get_elided_page_range(self.servers_page))


def cpu_of(node: ComputeNode) -> Cpu:
    """The node's ``cpu_info``, readable."""
    info = cpu_info(node.cpu_info)
    if not isinstance(info, Mapping):
        return Cpu("", "", "", (), (), raw=node.cpu_info)
    topology, features = info.get("topology"), info.get("features")
    known = {"arch", "vendor", "model", "topology", "features"}
    return Cpu(
        arch=str(info.get("arch") or ""),
        vendor=str(info.get("vendor") or ""),
        model=str(info.get("model") or ""),
        topology=tuple(
            (str(name), value) for name, value in topology.items() if isinstance(value, int)
        )
        if isinstance(topology, Mapping)
        else (),
        features=tuple(sorted(map(str, features))) if isinstance(features, list) else (),
        raw="" if not info or known & set(info) else node.cpu_info,
    )


def uptime_of(node: ComputeNode) -> str:
    """The host's ``uptime``, if nova-compute reported it with the node."""
    return (uptime(node.stats) or "").strip()


def around(cell: Cell, node: ComputeNode, page: int) -> tuple[Around | None, list[CellUnavailable]]:
    """What the cell says around ``node``, with that page of its servers; in one go."""
    answers = ask_cells([cell], lambda cell: _ask(cell, node, page))
    return answers.by_cell.get(cell), answers.missing


def _ask(cell: Cell, node: ComputeNode, page: int) -> Around:
    nodes = ComputeNode.objects.using(cell.alias)
    names: Any = nodes.only("uuid", "hypervisor_hostname").annotate(
        sorted_by=CodePoints(F("hypervisor_hostname"))
    )
    siblings = (
        nodes.filter(host=node.host).exclude(id=node.id).only("uuid", "hypervisor_hostname")
        if node.host
        else nodes.none()
    )
    others = list(siblings.order_by("hypervisor_hostname", "id")[:50])
    servers = Instance.objects.using(cell.alias).filter(host=node.host)
    if others:  # several nodes on the host, as with ironic: each has its own servers
        servers = servers.filter(Q(node=node.hypervisor_hostname) | Q(node=None))
    pages = Paginator(servers.order_by("display_name", "id"), SERVERS_A_PAGE)
    shown = pages.get_page(page)
    name = node.hypervisor_hostname
    before = after = None
    if name is not None:
        before = names.filter(sorted_by__lt=name).order_by("-sorted_by").first()
        after = names.filter(sorted_by__gt=name).order_by("sorted_by").first()
    service = Service.objects.using(cell.alias).filter(host=node.host, binary="nova-compute")
    return Around(
        service=service.first() if node.host else None,
        servers=list(shown.object_list),
        servers_pages=pages,
        servers_page=shown.number,
        before=before,
        after=after,
        siblings=others,
    )
