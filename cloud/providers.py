"""What placement knows: resource providers, their inventories and what is used of them; and how it
fails.  Without the client (``cloud.placement``), which takes a while to import.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloud.deadlines import CloudError, ServiceUnavailable

#: The trait of every provider of a disabled compute service.  nova-compute sets and removes it;
#: the scheduler's request filter ``compute_status_filter`` forbids it.
COMPUTE_STATUS_DISABLED: Final = "COMPUTE_STATUS_DISABLED"
#: The trait of providers that share what they have, such as disk, with others.
SHARES_VIA_AGGREGATE: Final = "MISC_SHARES_VIA_AGGREGATE"


# --- failures -------------------------------------------------------------------------------------


class PlacementUnavailable(ServiceUnavailable):
    """Placement cannot be reached, does not answer in time, or answers with a 5xx or a 401."""


class PlacementRefused(CloudError):
    """Placement answered, and did not do it.  ``status`` is that of its answer."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class ProviderNotFound(PlacementRefused):
    """There is no such resource provider."""


class ProviderInUse(PlacementRefused):
    """The provider still has allocations, or providers below it."""


class GenerationConflict(PlacementRefused):
    """Someone else changed the provider or consumer since it was read."""


# --- what there is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Provider:
    """A resource provider.  A compute node's has the node's uuid, and its name is the hostname."""

    uuid: str
    name: str
    generation: int
    parent: str | None = None
    root: str | None = None


@dataclass(frozen=True)
class Inventory:
    """How much a provider has of a resource class.

    ``capacity`` of it can be given away: ``(total - reserved) * allocation_ratio``.
    """

    resource_class: str
    total: int
    reserved: int
    allocation_ratio: float
    min_unit: int
    max_unit: int
    step_size: int
    used: int = 0

    @property
    def capacity(self) -> int:
        return int(self.physical * self.allocation_ratio)

    @property
    def physical(self) -> int:
        """What there physically is for servers."""
        return self.total - self.reserved


@dataclass(frozen=True)
class ProviderDetail:
    """All that a hypervisor's page says of its provider."""

    provider: Provider
    inventories: tuple[Inventory, ...]
    traits: tuple[str, ...]
    aggregates: tuple[str, ...]
    allocations: Mapping[str, Mapping[str, int]]

    @property
    def is_disabled(self) -> bool:
        """Whether placement keeps new servers away from it."""
        return COMPUTE_STATUS_DISABLED in self.traits


def top_down(providers: Iterable[Provider]) -> list[Provider]:
    """A tree's providers, each before those below it.  Raises ``ValueError`` for an orphan."""
    waiting = {provider.uuid: provider for provider in providers}
    parents: set[str | None] = {None}
    ordered: list[Provider] = []
    while waiting:
        level = [provider for provider in waiting.values() if provider.parent in parents]
        if not level:
            raise ValueError(f"providers without their parents: {', '.join(sorted(waiting))}")
        ordered.extend(sorted(level, key=lambda provider: provider.name))
        parents = {provider.uuid for provider in level}
        for provider in level:
            del waiting[provider.uuid]
    return ordered


def provider_from(data: Mapping[str, Any]) -> Provider:
    """A provider from placement's JSON."""
    return Provider(
        uuid=data["uuid"],
        name=data["name"],
        generation=data["generation"],
        parent=data["parent_provider_uuid"],
        root=data["root_provider_uuid"],
    )


def inventory_from(resource_class: str, data: Mapping[str, Any], used: int) -> Inventory:
    """An inventory from placement's JSON, with what is used of it."""
    return Inventory(
        resource_class=resource_class,
        total=data["total"],
        reserved=data["reserved"],
        allocation_ratio=data["allocation_ratio"],
        min_unit=data["min_unit"],
        max_unit=data["max_unit"],
        step_size=data["step_size"],
        used=used,
    )
