"""What placement says of one hypervisor, beside what Nova says of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from oslo_utils.uuidutils import is_uuid_like

from cells.models import Aggregate
from cloud import clients
from cloud.deadlines import CloudError
from cloud.providers import Provider, ProviderDetail
from hypervisors.models import ComputeNode


@dataclass(frozen=True)
class ShownProvider:
    """A resource provider on the page of a hypervisor.

    ``aggregates`` have their names where Nova has aggregates with these uuids.
    """

    detail: ProviderDetail
    aggregates: Sequence[str]

    @property
    def provider(self) -> Provider:
        return self.detail.provider


@dataclass(frozen=True)
class PlacementDetail:
    """The providers of a node, the node's own first; ``remark`` is why there are none."""

    providers: Sequence[ShownProvider] = ()
    remark: str = ""


def read_placement(node: ComputeNode) -> PlacementDetail:
    """Ask placement, for one deadline at most."""
    placement = clients.placement()
    if placement is None:
        return PlacementDetail(remark=_("placement was not asked"))
    if node.uuid is None or not is_uuid_like(node.uuid):
        return PlacementDetail(remark=_("a compute node without a uuid has no provider"))
    try:
        found = placement.detail(node.uuid)
    except CloudError as error:
        return PlacementDetail(remark=str(error))
    if not found:
        return PlacementDetail(remark=_("placement has no resource provider of this compute node"))
    uuids = {aggregate for detail in found for aggregate in detail.aggregates}
    names = dict(Aggregate.objects.filter(uuid__in=uuids).values_list("uuid", "name"))
    return PlacementDetail(
        [
            ShownProvider(detail, [names.get(uuid) or uuid for uuid in detail.aggregates])
            for detail in found
        ]
    )
