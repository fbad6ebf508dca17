"""What placement has of the hosts of compute services, and removing it with a service.

Deleting a nova-compute deletes the resource providers of its compute nodes, as Nova does
(``delete`` of ``nova/api/openstack/compute/services.py``, ``delete_resource_provider`` with
``cascade`` of ``nova/scheduler/client/report.py``).  What Nova answers with 500, in part after it
has changed aggregates, is found out here before anything is changed (``HostInPlacement.blockers``).

The removal is written down with the action's intent, as a message of the outbox.  It is carried
out when the cell has committed; if placement does not answer then, or the process dies, the
outbox does it later.  It can be repeated, so doing it twice is no harm.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db.models import Value
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext
from oslo_utils.uuidutils import is_uuid_like

from audit import outbox
from audit.journal import Attempt, Refused
from audit.models import OutboxMessage
from audit.outbox import Message, Send, Transport
from cells.locate import Found
from cells.models import AggregateHost
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from cloud import clients
from cloud.deadlines import CloudError
from cloud.providers import GenerationConflict, PlacementUnavailable, Provider
from services.exceptions import Conflict, Unavailable
from services.models import NOVA_COMPUTE, Service

if TYPE_CHECKING:  # takes a while to import, and not every cloud has it
    from cloud.placement import Placement

logger = logging.getLogger(__name__)
T = TypeVar("T")

TRANSPORT = "placement"

#: How often a removal is tried while others change the same provider or consumer; as Nova's.
TRIES = 4


@dataclass(frozen=True)
class Node:
    """A compute node; its resource provider has the same uuid and is called ``name``."""

    uuid: str
    name: str


@dataclass(frozen=True)
class HostInPlacement:
    """What placement has of a host.

    ``evacuated`` are the uuids of servers whose evacuation from the host is done, ``aggregates``
    those of the aggregates that the host is in.  ``trees`` has the providers of each node, by the
    node's uuid; ``in_use`` how many others still have allocations of them, if that was asked.
    ``failure`` is why placement could not be asked.
    """

    nodes: tuple[Node, ...] = ()
    evacuated: tuple[str, ...] = ()
    aggregates: tuple[str, ...] = ()
    trees: Mapping[str, Sequence[Provider]] = field(default_factory=dict)
    in_use: int = 0
    failure: CloudError | None = None

    def blockers(self) -> list[Refused]:
        """What Nova would fail at, and how that can be mended."""
        if isinstance(self.failure, PlacementUnavailable) and not self.aggregates:
            return []  # Nova deletes the service and leaves the providers
        if self.failure is not None:
            words = gettext_noop("Nothing was changed, as placement is needed: %(cause)s")
            return [Unavailable(words % {"cause": self.failure})]
        return [
            Conflict(
                gettext_noop(
                    "Unable to delete compute service: compute node %(name)s has no resource "
                    "provider %(uuid)s in placement. Start its nova-compute, which creates it, or "
                    "create it with openstack resource provider create."
                )
                % {"name": node.name, "uuid": node.uuid},
                _("hypervisor %(name)s has no resource provider in placement")
                % {"name": node.name},
            )
            for node in self.nodes
            if not self.trees.get(node.uuid)
        ]

    def warnings(self) -> list[str]:
        """What of it will stay."""
        if self.failure is not None:
            cause = {"cause": self.failure}
            return [_("%(cause)s: what it has of the host is removed once it answers") % cause]
        if self.in_use:
            words = ngettext(
                "%(n)d server or migration still has allocations in placement: their resource "
                "provider is left there",
                "%(n)d servers or migrations still have allocations in placement: their resource "
                "providers are left there",
                self.in_use,
            )
            return [words % {"n": self.in_use}]
        return []

    def effects(self) -> list[str]:
        """What placement will lose."""
        names = [provider.name for tree in self.trees.values() for provider in tree]
        if not names:
            return []
        words = ngettext(
            "in placement the resource provider %(names)s",
            "in placement %(n)d resource providers: %(names)s",
            len(names),
        )
        effects = [words % {"n": len(names), "names": _some(names)}]
        if self.evacuated:
            words = ngettext(
                "what %(n)d evacuated server still has allocated there",
                "what %(n)d evacuated servers still have allocated there",
                len(self.evacuated),
            )
            effects.append(words % {"n": len(self.evacuated)})
        return effects

    def payload(self) -> dict[str, Any]:
        """What has to be removed, for the outbox."""
        return {
            "nodes": [[node.uuid, node.name] for node in self.nodes],
            "evacuated": list(self.evacuated),
            "aggregates": list(self.aggregates),
        }


def _some(names: Sequence[str], shown: int = 5) -> str:
    text = ", ".join(names[:shown])
    return text if len(names) <= shown else f"{text}, …"


# --- looking --------------------------------------------------------------------------------------


def look_up(
    services: Mapping[Cell, Collection[Service]], *, usage: bool = False
) -> dict[tuple[Cell, int], HostInPlacement]:
    """What placement has of the hosts of these nova-computes, by cell and id of the service.

    Takes one query per cell, one of the API database and one round of placement; with ``usage``
    another, for who has allocations.  Services of cells that do not answer are left out, as are
    all when there is no placement.
    """
    placement = clients.placement()
    computes = {
        cell: {one.id: one.host for one in of_cell if one.binary == NOVA_COMPUTE and one.host}
        for cell, of_cell in services.items()
    }
    if placement is None or not any(computes.values()):
        return {}
    answers = ask_cells(computes, lambda cell: _read(cell.alias, computes[cell]))
    aggregates = _aggregates_of({host for hosts in computes.values() for host in hosts.values()})
    hosts = {
        (cell, service_id): HostInPlacement(
            tuple(nodes), tuple(evacuated), aggregates.get(computes[cell][service_id], ())
        )
        for cell, rows in answers.by_cell.items()
        for service_id, (nodes, evacuated) in rows.items()
    }
    return _asked(placement, hosts, usage)


def in_placement(found: Found[Service]) -> HostInPlacement | None:
    """``look_up`` of one service; ``None`` where there is no placement to ask.

    Raises ``Unavailable`` when its cell does not answer.
    """
    service = found.row
    if clients.placement() is None or service.binary != NOVA_COMPUTE or not service.host:
        return None
    looked_up = look_up({found.cell: [service]})
    if not looked_up:
        words = gettext_noop("cell %(name)s does not answer")
        raise Unavailable(words % {"name": found.cell.name})
    return looked_up[found.cell, service.id]


def _read(alias: str, computes: Mapping[int, str]) -> dict[int, tuple[list[Node], list[str]]]:
    """Nodes, and servers evacuated, by id of the service; in one query."""
    services = Service.objects.using(alias).filter(id__in=list(computes)).order_by()
    nodes = services.filter(compute_nodes__deleted=0).values_list(
        "id",
        Value(0),
        "compute_nodes__id",
        "compute_nodes__uuid",
        "compute_nodes__hypervisor_hostname",
    )
    evacuated = services.filter(
        migrations_from__deleted=0,
        migrations_from__status="done",
        migrations_from__migration_type="evacuation",
    ).values_list(
        "id",
        Value(1),
        "migrations_from__id",
        "migrations_from__instance_uuid",
        "migrations_from__source_node",
    )
    found: dict[int, tuple[list[Node], list[str]]] = {id: ([], []) for id in computes}
    for service_id, is_evacuation, _number, row_uuid, name in sorted(
        nodes.union(evacuated, all=True), key=lambda row: row[:3]
    ):
        if not is_uuid_like(row_uuid):
            continue
        of_nodes, of_servers = found[service_id]
        if is_evacuation:
            of_servers.append(row_uuid)
        else:
            of_nodes.append(Node(row_uuid, name or ""))
    return {id: (nodes, list(dict.fromkeys(servers))) for id, (nodes, servers) in found.items()}


def _aggregates_of(hosts: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Uuids of the aggregates that hosts are in."""
    found: dict[str, list[str]] = defaultdict(list)
    rows = AggregateHost.objects.filter(host__in=hosts).order_by("aggregate_id")
    for host, aggregate in rows.values_list("host", "aggregate__uuid"):
        if host and aggregate and is_uuid_like(aggregate):
            found[host].append(aggregate)
    return {host: tuple(aggregates) for host, aggregates in found.items()}


def _asked(
    placement: "Placement", hosts: dict[tuple[Cell, int], HostInPlacement], usage: bool
) -> dict[tuple[Cell, int], HostInPlacement]:
    """The hosts with what placement says of them."""
    try:
        trees = placement.trees(node.uuid for host in hosts.values() for node in host.nodes)
    except CloudError as error:
        return {key: replace(host, failure=error) for key, host in hosts.items()}
    consumers: Mapping[str, Collection[str]] = {}
    if usage:
        members = {provider.uuid for tree in trees.values() for provider in tree}
        consumers, _missing = placement.allocations_by_provider(
            members, deadline=settings.PLACEMENT_DEADLINE
        )
    asked = {}
    for key, host in hosts.items():
        mine = {node.uuid: trees[node.uuid] for node in host.nodes}
        users = {
            consumer
            for tree in mine.values()
            for provider in tree
            for consumer in consumers.get(provider.uuid, ())
        }
        asked[key] = replace(host, trees=mine, in_use=len(users - set(host.evacuated)))
    return asked


# --- removing -------------------------------------------------------------------------------------


def messages(host: HostInPlacement | None) -> list[Message]:
    """The removal, to be written down with the action's intent; none if nothing is to be done."""
    return [Message(TRANSPORT, host.payload())] if host is not None and host.nodes else []


def remove_now(host: HostInPlacement | None, attempt: Attempt) -> str:
    """Do what ``messages`` has written down, within a deadline; what it does not get done stays
    there for the outbox.  Returns what is to be said of it, if anything.
    """
    if host is None or not host.nodes:
        return ""
    try:
        if host.failure is not None:
            raise host.failure
        left = remove(host.payload(), within=settings.PLACEMENT_DEADLINE)
    except CloudError as error:
        logger.warning("resource providers are removed later: %s", error)
        words = gettext_noop("%(cause)s; the host's resource providers are removed once it answers")
        return words % {"cause": error}
    attempt.delivered(TRANSPORT)
    return "; ".join(left)


def remove(payload: Mapping[str, Any], *, within: float | None = None) -> list[str]:
    """Remove the providers of a deleted service's nodes; returns what had to be left, and why.

    Raises a ``CloudError``, also when it is not done ``within`` these seconds.
    """
    placement = clients.placement()
    if placement is None:
        raise PlacementUnavailable("placement: not configured any more")
    until = None if within is None else time.monotonic() + within
    left: list[str] = []
    for node, _name in payload["nodes"]:
        if until is not None and time.monotonic() > until:
            raise PlacementUnavailable(f"placement: not done within {within:g} s")
        delete = partial(placement.delete_resource_provider, node, evacuated=payload["evacuated"])
        left += map(str, _retried(delete))
    if left:  # the others have left their aggregates with their providers
        _node, name = payload["nodes"][0]
        for aggregate in payload["aggregates"]:
            _retried(partial(placement.remove_from_aggregate, name, aggregate))
    for text in left:
        logger.warning("left in place: %s", text)
    return left


def _retried(change: Callable[[], T]) -> T:
    """Try again while someone else changes the same provider or consumer."""
    for _again in range(TRIES - 1):
        with suppress(GenerationConflict):
            return change()
    return change()


@contextmanager
def _connect() -> Iterator[Send]:
    def send(message: OutboxMessage) -> None:
        remove(message.payload)

    yield send


outbox.register(
    Transport(TRANSPORT, lambda: clients.placement() is not None, _connect, notifies=False)
)
