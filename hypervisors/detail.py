"""What the console's page of one hypervisor shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import F, Q
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from cells.executors import CellUnavailable
from cells.merge import CodePoints
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from hypervisors.models import ComputeNode, Instance, cpu_info, uptime
from services.models import NOVA_COMPUTE, Service

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: What libvirt counts in a host's topology; it calls NUMA nodes cells.
TOPOLOGY = {
    "cells": _("NUMA nodes"),
    "sockets": _("Sockets per NUMA node"),
    "dies": _("Dies per socket"),
    "clusters": _("Clusters per die"),
    "cores": _("Cores per socket"),
    "threads": _("Threads per core"),
}
SERVERS_PER_PAGE = 50
MAX_SIBLINGS = 50


@dataclass(frozen=True)
class Cpu:
    """A host's processors; whatever the hypervisor did not report is empty."""

    arch: str
    vendor: str
    model: str
    topology: "tuple[tuple[StrOrPromise, int], ...]"
    features: tuple[str, ...]
    #: The column as it is, when it is not what libvirt reports.
    raw: str = ""


@dataclass(frozen=True)
class NodeDetail:
    """What the page has to ask the node's cell for.

    ``before`` and ``after`` are its neighbours by name, ``siblings`` the other nodes of its host.
    """

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
            (TOPOLOGY.get(name, capfirst(str(name))), value)
            for name, value in topology.items()
            if isinstance(value, int)
        )
        if isinstance(topology, Mapping)
        else (),
        features=tuple(sorted(map(str, features))) if isinstance(features, list) else (),
        raw="" if not info or known & set(info) else node.cpu_info,
    )


def uptime_of(node: ComputeNode) -> str:
    """The host's ``uptime``, if nova-compute reported it with the node."""
    return (uptime(node.stats) or "").strip()


def read_detail(
    cell: Cell, node: ComputeNode, servers_page: int, server: str = ""
) -> tuple[NodeDetail | None, list[CellUnavailable]]:
    """The node's detail with that page of its servers; ``None`` if the cell does not answer.

    With the uuid of a ``server`` it is the page that has that.
    """
    answers = ask_cells([cell], lambda cell: _read(cell, node, servers_page, server))
    return answers.by_cell.get(cell), answers.missing


def _read(cell: Cell, node: ComputeNode, servers_page: int, server: str) -> NodeDetail:
    service, siblings, servers = None, [], Instance.objects.none()
    if node.host:
        nodes_of_host = ComputeNode.objects.using(cell.alias).filter(host=node.host)
        siblings = list(
            nodes_of_host.exclude(id=node.id)
            .only("uuid", "hypervisor_hostname")
            .order_by("hypervisor_hostname", "id")[:MAX_SIBLINGS]
        )
        services = Service.objects.using(cell.alias)
        service = services.filter(host=node.host, binary=NOVA_COMPUTE).first()
        servers = Instance.objects.using(cell.alias).filter(host=node.host)
        if siblings:  # as with ironic, where each node has its own servers
            servers = servers.filter(Q(node=node.hypervisor_hostname) | Q(node=None))
    servers = servers.order_by("display_name", "id")
    pages = Paginator(servers, SERVERS_PER_PAGE)
    if server:
        uuids = list(servers.values_list("uuid", flat=True))
        servers_page = 1 + (uuids.index(server) // SERVERS_PER_PAGE if server in uuids else 0)
    page = pages.get_page(servers_page)
    before, after = _neighbours(cell, node)
    return NodeDetail(
        service=service,
        servers=list(page.object_list),
        servers_pages=pages,
        servers_page=page.number,
        before=before,
        after=after,
        siblings=siblings,
    )


def _neighbours(cell: Cell, node: ComputeNode) -> tuple[ComputeNode | None, ComputeNode | None]:
    """The nodes before and after by name, in the order of the console's lists."""
    name = node.hypervisor_hostname
    if name is None:
        return None, None
    named: Any = (
        ComputeNode.objects.using(cell.alias)
        .only("uuid", "hypervisor_hostname")
        .annotate(sorted_by=CodePoints(F("hypervisor_hostname")))
    )
    return (
        named.filter(sorted_by__lt=name).order_by("-sorted_by").first(),
        named.filter(sorted_by__gt=name).order_by("sorted_by").first(),
    )
