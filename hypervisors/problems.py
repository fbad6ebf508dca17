"""What can be wrong with compute nodes, and with the fleet as a whole.

A new check is one declaration more in ``NODE_PROBLEMS`` (a condition on a row) or
``FLEET_PROBLEMS`` (a function that looks at all cells side by side): the lists' filter by problem,
``check_fleet`` and the problems page take it from there.  Checks of services are in
``services.problems``, those that compare with placement in ``hypervisors.placement_problems``.
"""

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from cells.cache import CachedValue
from cells.models import CellMapping
from cells.registry import Cell, cell_ids_of_hosts, compute_cells
from cells.scatter_gather import AcrossCells
from hypervisors.cloud_problems import CLOUD_PROBLEMS, DOWN_WITH_SERVERS
from hypervisors.findings import Finding, FleetProblem, HostProblem
from hypervisors.models import ComputeNode
from hypervisors.placement_problems import PLACEMENT_PROBLEMS
from hypervisors.snapshot import NodeRow, Snapshot
from services.models import NOVA_COMPUTE, up_at
from services.problems import SERVICE_PROBLEMS, Problem, RowProblem

# --- problems of a compute node -------------------------------------------------------------------


def has_no_service(now: datetime.datetime, prefix: str = "") -> Q:
    return Q(**{f"{prefix}service__id": None})


def is_stale(now: datetime.datetime, prefix: str = "") -> Q:
    """Not written for ``NODE_STALE_HOURS`` by a nova-compute that is up."""
    before = now - datetime.timedelta(hours=settings.NODE_STALE_HOURS)
    return up_at(now, f"{prefix}service__") & Q(**{f"{prefix}updated_at__lt": before})


NODE_PROBLEMS = (
    RowProblem(
        name="no-service",
        severity="warning",
        title=_("Compute nodes without a service"),
        label=_("compute node without a service"),
        why=_(
            "Nova hides them, while their capacity may still be counted in statistics and their "
            "resource provider may still be in placement."
        ),
        fix=_(
            "If the host is gone for good, remove what is left of it: its servers, its resource "
            "provider, and the compute node. Otherwise start its nova-compute."
        ),
        condition=has_no_service,
    ),
    RowProblem(
        name="stale",
        severity="warning",
        title=_("Stale compute nodes of services that are up"),
        label=_("service up but node stale"),
        why=_(
            "nova-compute reports but has not updated its compute node for a long time: its "
            "resource tracker may hang, so the free resources it claims may be wrong. An idle "
            "host, whose resources do not change, may be healthy all the same."
        ),
        fix=_("Look for errors of the resource tracker in its log; restart nova-compute."),
        condition=is_stale,
    ),
)


# --- problems of the fleet ------------------------------------------------------------------------


def find_unmapped(snapshot: Snapshot) -> Iterator[Finding]:
    for cell, hosts in snapshot.hosts.items():
        for host in hosts:
            if host not in snapshot.mappings:
                yield Finding.of_host(snapshot, cell, host, discover(snapshot, cell, host))


def discover(snapshot: Snapshot, cell: Cell, host: str) -> str:
    """The command that maps the host.

    By default it looks only at compute nodes that were never mapped.
    """
    nodes = snapshot.nodes_of_hosts[cell].get(host, [])
    by_node = bool(nodes) and not any(node.mapped for node in nodes)
    command = f"nova-manage cell_v2 discover_hosts --cell_uuid {cell.uuid}"
    return command if by_node else f"{command} --by-service"


def read_unmapped_hosts() -> Mapping[Cell, Iterable[str]]:
    """The hosts of each cell's compute nodes that no mapping names, sorted."""
    hosts = ComputeNode.objects.filter(host__isnull=False).order_by()
    names = AcrossCells(hosts.values_list("host", flat=True).distinct(), compute_cells()).all()
    mapped = cell_ids_of_hosts()
    return {
        cell: sorted(host for host in found if host not in mapped)
        for cell, found in names.by_cell.items()
    }


unmapped_hosts = CachedValue(read_unmapped_hosts, ttl=60)


def hosts_not_where_mapped(snapshot: Snapshot) -> Iterator[tuple[str, Cell, tuple[Cell, ...]]]:
    """Each mapped host that its cell does not have, that cell, and the cells that have it."""
    by_id = {cell.id: cell for cell in snapshot.hosts}
    for host, cell_id in sorted(snapshot.mappings.items()):
        mapped_to = by_id.get(cell_id)
        if mapped_to is not None and host not in snapshot.hosts[mapped_to]:
            elsewhere = tuple(cell for cell, hosts in snapshot.hosts.items() if host in hosts)
            yield host, mapped_to, elsewhere


def find_in_wrong_cell(snapshot: Snapshot) -> Iterator[Finding]:
    for host, mapped_to, elsewhere in hosts_not_where_mapped(snapshot):
        if elsewhere:
            found = Finding.of_host(snapshot, elsewhere[0], host)
            yield found._replace(cells=(mapped_to, *elsewhere))


def find_mappings_without_host(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.missing:
        return  # the host may be in a cell that does not answer
    for host, mapped_to, elsewhere in hosts_not_where_mapped(snapshot):
        if not elsewhere:
            yield Finding(host, (mapped_to,))


def find_in_several_cells(snapshot: Snapshot) -> Iterator[Finding]:
    services = defaultdict(list)
    for cell, service in snapshot.computes:
        services[str(service.host)].append((cell, service))
    for host, found in services.items():
        if len({cell for cell, _service in found}) > 1:
            yield Finding.of(*found, subject=host)


def find_computes_in_cell0(snapshot: Snapshot) -> Iterator[Finding]:
    for cell, services in snapshot.services.items():
        for service in services if cell.is_cell0 else ():
            if service.binary == NOVA_COMPUTE:
                yield Finding.of((cell, service))


def find_names_used_twice(snapshot: Snapshot) -> Iterator[Finding]:
    nodes: dict[str, list[tuple[Cell, NodeRow]]] = defaultdict(list)
    for cell, rows in snapshot.nodes.items():
        for node in rows:
            if node.hostname:
                nodes[node.hostname].append((cell, node))
    for found in nodes.values():
        if len(found) > 1:
            yield Finding.of(*found)


def find_ambiguous_ids(ids: Iterable[int]) -> Iterator[Finding]:
    for number, count in Counter(ids).items():
        if count > 1:
            yield Finding(str(number))


def find_ambiguous_service_ids(snapshot: Snapshot) -> Iterator[Finding]:
    return find_ambiguous_ids(row.id for rows in snapshot.services.values() for row in rows)


def find_ambiguous_hypervisor_ids(snapshot: Snapshot) -> Iterator[Finding]:
    return find_ambiguous_ids(row.id for rows in snapshot.nodes.values() for row in rows)


HOST_PROBLEMS = (
    DOWN_WITH_SERVERS,
    HostProblem(
        name="unmapped",
        severity="warning",
        title=_("Hosts without a mapping"),
        label=_("host without a mapping"),
        why=_(
            "Nova does not know which cell the host is in: it is not listed and gets no servers."
        ),
        fix=_(
            "Run the command beside it. Without --by-service it skips compute nodes that were "
            "mapped before."
        ),
        find=find_unmapped,
        hosts=unmapped_hosts,
    ),
)

FLEET_PROBLEMS = (
    *HOST_PROBLEMS,
    FleetProblem(
        name="duplicate-host",
        severity="bad",
        title=_("The same compute host in several cells"),
        why=_(
            "A host belongs to one cell only. Requests go to the cell it is mapped to; what the "
            "other cells have of it cannot be reached, and its servers may be in either."
        ),
        fix=_(
            "Find out which message queue its nova-compute is connected to, and delete the "
            "service in the other cell once no server is left there."
        ),
        find=find_in_several_cells,
    ),
    FleetProblem(
        name="wrong-cell",
        severity="bad",
        title=_("Hosts mapped to another cell than they are in"),
        why=_("Nova looks for the host in the cell it is mapped to and does not find it there."),
        fix=_(
            "Delete the mapping with nova-manage cell_v2 delete_host, and let "
            "nova-manage cell_v2 discover_hosts --by-service create it anew."
        ),
        find=find_in_wrong_cell,
    ),
    FleetProblem(
        name="cell0-compute",
        severity="bad",
        title=_("nova-compute in cell0"),
        why=_("cell0 is for servers that could not be scheduled; hosts in it are never used."),
        fix=_("Correct the message queue or database in the host's nova.conf and restart it."),
        find=find_computes_in_cell0,
        services_query=f"cell={CellMapping.CELL0_UUID}&binary={NOVA_COMPUTE}",
    ),
    FleetProblem(
        name="mapping-without-host",
        severity="warning",
        title=_("Mappings without a host"),
        why=_(
            "The host is gone but its name is still taken: a new host of that name is not mapped."
        ),
        fix=_("Run nova-manage cell_v2 delete_host for it."),
        find=find_mappings_without_host,
    ),
    FleetProblem(
        name="duplicate-name",
        severity="warning",
        title=_("Hypervisor names used more than once"),
        why=_("Clients that look a hypervisor up by name find the wrong one, or several."),
        fix=_("Give the hosts different names, or delete the service that is no longer in use."),
        find=find_names_used_twice,
    ),
    FleetProblem(
        name="ambiguous-services",
        severity="info",
        title=_("Integer ids shared by several services"),
        why=_(
            "Every cell numbers its own rows. Requests that use such an id, before microversion "
            "2.53, are refused."
        ),
        fix=_("Nothing is wrong: use uuids (microversion 2.53 or later)."),
        find=find_ambiguous_service_ids,
        only_count=True,
    ),
    FleetProblem(
        name="ambiguous-hypervisors",
        severity="info",
        title=_("Integer ids shared by several hypervisors"),
        why=_(
            "Every cell numbers its own rows. Requests that use such an id, before microversion "
            "2.53, are refused."
        ),
        fix=_("Nothing is wrong: use uuids (microversion 2.53 or later)."),
        find=find_ambiguous_hypervisor_ids,
        only_count=True,
    ),
    *PLACEMENT_PROBLEMS,
    *CLOUD_PROBLEMS,
)


# --- all of them ----------------------------------------------------------------------------------


def worst_first(*problems: Problem) -> tuple[Problem, ...]:
    """Problems by severity, otherwise in the order given.

    Raises ``ValueError`` when two have the same name.
    """
    for name, count in Counter(problem.name for problem in problems).items():
        if count > 1:
            raise ValueError(f"two problems are called {name}")
    severities = ("bad", "warning", "info")
    return tuple(sorted(problems, key=lambda problem: severities.index(problem.severity)))


PROBLEMS = worst_first(
    *HOST_PROBLEMS,
    *SERVICE_PROBLEMS,
    *NODE_PROBLEMS,
    *(problem for problem in FLEET_PROBLEMS if problem not in HOST_PROBLEMS),
)
