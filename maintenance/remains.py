"""What is left of a host after its service has been deleted."""

import datetime
from collections.abc import Callable
from typing import TypeVar

from django.utils.translation import gettext_noop, ngettext

from audit.models import OutboxMessage
from cells.models import AggregateHost, HostMapping
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from cloud.clients import placement
from hypervisors.models import ComputeNode
from services.host_removal import TRANSPORT
from services.models import NOVA_COMPUTE, Service

T = TypeVar("T")


def is_being_removed(cell: Cell, host: str) -> bool:
    """Whether placement still has to be told of a deleted service of the host."""
    ids = _in_cell(cell, lambda alias: _deleted_services(alias, host))
    subjects = [f"{cell.uuid}:{service_id}" for service_id in ids]
    return OutboxMessage.objects.filter(transport=TRANSPORT, subject__in=subjects).exists()


def _deleted_services(alias: str, host: str) -> list[int]:
    rows = Service.with_deleted.using(alias).filter(host=host, binary=NOVA_COMPUTE)
    return list(rows.exclude(deleted=0).values_list("id", flat=True))


def remains_of(cell: Cell, host: str, since: datetime.datetime) -> list[str]:
    """What Nova and placement still have of a host whose service was deleted after ``since``.

    Raises ``CellUnavailable``, and ``PlacementUnavailable`` where there is a placement.
    """
    services, nodes, deleted = _in_cell(cell, lambda alias: _rows(alias, host, since))
    remains = [gettext_noop("service %s") % (service.uuid or service.id) for service in services]
    remains += [gettext_noop("compute node %s") % (node.uuid or node.id) for node in nodes]
    if HostMapping.objects.filter(host=host).exists():
        remains.append(gettext_noop("host mapping"))
    memberships = AggregateHost.objects.filter(host=host).select_related("aggregate")
    remains += [gettext_noop("aggregate %s") % membership.aggregate for membership in memberships]
    return remains + _in_placement(deleted)


def _rows(
    alias: str, host: str, since: datetime.datetime
) -> tuple[list[Service], list[ComputeNode], list[str]]:
    services = Service.objects.using(alias).filter(host=host, binary=NOVA_COMPUTE)
    nodes = ComputeNode.objects.using(alias).filter(host=host)
    deleted = ComputeNode.with_deleted.using(alias).filter(host=host, deleted_at__gte=since)
    uuids = deleted.exclude(uuid=None).values_list("uuid", flat=True)
    return list(services), list(nodes), list(uuids)


def _in_placement(nodes: list[str]) -> list[str]:
    """The providers of these nodes, with the servers that have allocations of each."""
    client = placement()
    if client is None:
        return []
    remains = []
    for node in nodes:
        for provider in client.providers_in_tree(node):
            consumers = len(client.allocations(provider.uuid))
            words = ngettext(
                "resource provider %(uuid)s with %(n)d allocation",
                "resource provider %(uuid)s with %(n)d allocations",
                consumers,
            )
            if not consumers:
                words = gettext_noop("resource provider %(uuid)s")
            remains.append(words % {"uuid": provider.uuid, "n": consumers})
    return remains


def _in_cell(cell: Cell, read: Callable[[str], T]) -> T:
    answers = ask_cells([cell], lambda cell: read(cell.alias))
    for missing in answers.missing:
        raise missing
    return answers.by_cell[cell]
