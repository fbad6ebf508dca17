"""What can be wrong between compute nodes and their resource providers in placement."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from cells.registry import Cell
from cells.scatter_gather import CELLS_AT_ONCE, ask_cells
from hypervisors.findings import Finding, FleetProblem
from hypervisors.models import Instance, Migration
from hypervisors.snapshot import NodeRow, Snapshot


def find_providers_without_node(snapshot: Snapshot) -> Iterator[Finding]:
    facts = snapshot.placement
    if not snapshot.is_complete:
        return  # the node may be in a cell that was not read
    known = {node.uuid for nodes in snapshot.nodes.values() for node in nodes}
    for provider in facts.providers.values():
        if provider.parent is None and provider.uuid not in known | facts.sharing:
            yield Finding(f"{provider.name} ({provider.uuid})")


def find_nodes_without_provider(snapshot: Snapshot) -> Iterator[Finding]:
    if not snapshot.placement.was_asked:
        return
    for cell, nodes in snapshot.nodes.items():
        for node in nodes:
            if node.uuid not in snapshot.placement.providers:
                yield Finding.of((cell, node))


# --- allocations ----------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a cell says that a server is; both are null while it has no host."""

    host: str | None
    node: str | None


@dataclass
class Servers:
    """What a cell knows of consumers: where each server is, and where it may be besides."""

    places: dict[str, Place] = field(default_factory=dict)
    #: Names of the nodes that a migration is between, by its uuid and that of the server.
    moving: dict[str, set[str | None]] = field(default_factory=lambda: defaultdict(set))


def find_allocations_elsewhere(snapshot: Snapshot) -> Iterator[Finding]:
    """Consumers of a node's providers that are not on that node by what the cells say.

    Those with a migration that is in progress, or an evacuation that the old host has not noticed
    yet, may be on both of its nodes.  Placement was asked before the cells; what looks wrong is
    asked for again, since servers come and go.
    """
    facts = snapshot.placement
    nodes = {
        node.uuid: (cell, node)
        for cell, of_cell in snapshot.nodes.items()
        for node in of_cell
        if node.uuid
    }
    held: dict[str, set[str]] = defaultdict(set)
    for provider, consumers in facts.consumers.items():
        if facts.root_of(provider) in nodes:
            for consumer in consumers:
                held[consumer].add(provider)
    if not held:
        return
    answers = ask_cells(
        tuple(snapshot.nodes), lambda cell: _read(cell, held), at_once=CELLS_AT_ONCE
    )
    snapshot.missing += answers.missing
    if answers.missing:
        return
    wrong = [
        (provider, consumer)
        for consumer, providers in held.items()
        for provider in sorted(providers)
        if not _belongs(consumer, *nodes[facts.root_of(provider)], answers.by_cell)
        and (snapshot.is_complete or _is_known(consumer, answers.by_cell))
    ]
    still = facts.still_has(wrong)
    for provider, consumer in wrong:
        if (provider, consumer) in still:
            cell, node = nodes[facts.root_of(provider)]
            words = gettext("%(consumer)s on host %(name)s")
            subject = words % {"consumer": consumer, "name": node.hostname}
            yield Finding.of((cell, node), subject=subject)


def _read(cell: Cell, held: Mapping[str, object]) -> Servers:
    found = Servers()
    rows = Instance.objects.using(cell.alias).order_by().values_list("uuid", "host", "node")
    for uuid, host, node in rows.iterator(chunk_size=5000):
        if uuid in held:
            found.places[uuid] = Place(host, node)
    migrations = Migration.objects.db_manager(cell.alias)
    for of_kind in (migrations.in_progress(), migrations.evacuations_to_complete()):
        for uuid, server, *names in of_kind.values_list(
            "uuid", "instance_uuid", "source_node", "dest_node"
        ):
            for consumer in (uuid, server):
                if consumer is not None and consumer in held:
                    found.moving[consumer].update(names)
    return found


def _belongs(consumer: str, cell: Cell, node: NodeRow, servers: Mapping[Cell, Servers]) -> bool:
    """Whether the consumer is on the node, is moving to or from it, or is only being built."""
    if node.hostname in servers[cell].moving.get(consumer, ()):
        return True
    here = servers[cell].places.get(consumer)
    if here is not None and (here.host, here.node or node.hostname) == (node.host, node.hostname):
        return True
    # The scheduler claims before the server has a host.
    return any(
        place.host is None
        for of_cell in servers.values()
        if (place := of_cell.places.get(consumer)) is not None
    )


def _is_known(consumer: str, servers: Mapping[Cell, Servers]) -> bool:
    """Whether one of these cells has it; another may know more of one that none of them has."""
    return any(
        consumer in of_cell.places or consumer in of_cell.moving for of_cell in servers.values()
    )


PLACEMENT_PROBLEMS = (
    FleetProblem(
        name="node-without-provider",
        severity="warning",
        title=_("Compute nodes without a resource provider"),
        why=_(
            "The scheduler only knows hosts that placement knows: no server will be placed there. "
            "The service cannot be deleted either."
        ),
        fix=_(
            "Look for errors of the resource tracker in the log of its nova-compute, and restart "
            "it: it creates the provider. If another one has the node's name, delete that first."
        ),
        find=find_nodes_without_provider,
    ),
    FleetProblem(
        name="provider-without-node",
        severity="warning",
        title=_("Resource providers without a compute node"),
        why=_(
            "The scheduler counts on a host that is gone, and a new host of that name cannot be "
            "registered."
        ),
        fix=_(
            "Check that it is not a provider of another service and that nothing is allocated "
            "(openstack resource provider show --allocations UUID), then delete it (openstack "
            "resource provider delete UUID)."
        ),
        find=find_providers_without_node,
    ),
    FleetProblem(
        name="allocation-elsewhere",
        severity="warning",
        title=_("Allocations of servers that are not on the host"),
        why=_("The host counts as fuller than it is, and its service leaves its provider behind."),
        fix=_(
            "Once no migration of the server is going on, run nova-manage placement "
            "heal_allocations for it; for one that is gone, nova-manage placement audit."
        ),
        find=find_allocations_elsewhere,
    ),
)
