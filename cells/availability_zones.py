"""Availability zones, which Nova keeps as metadata of aggregates."""

import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from cells.models import AggregateMetadata
from cells.registry import Cell, cell_ids_of_hosts


def zones_of_hosts(hosts: Collection[str] | None = None) -> dict[str, str]:
    """The zone of each host that is in one (only of ``hosts``, if given).

    A host in several zones, which Nova forbids, has all their names, sorted and joined by commas.
    """
    # In one call of filter(): in a second one the hosts would be joined once more.
    wanted: dict[str, Any] = (
        {"aggregate__hosts__host__isnull": False}
        if hosts is None
        else {"aggregate__hosts__host__among": frozenset(hosts)}
    )
    rows = AggregateMetadata.objects.filter(key="availability_zone", **wanted)
    placed = list(rows.values_list("aggregate__hosts__host", "value"))
    zones: dict[str, str] = dict(placed)  # type: ignore[arg-type]  # the filter leaves no null
    if len(zones) < len(placed):
        names: dict[str, set[str]] = defaultdict(set)
        for host, zone in placed:
            names[str(host)].add(zone)
        zones = {host: ",".join(sorted(several)) for host, several in names.items()}
    return zones


@dataclass
class _ByCell:
    """The zones of hosts as last read; one per process."""

    mapped: dict[int, dict[str, str]] = field(default_factory=dict)
    unmapped: dict[str, str] = field(default_factory=dict)
    read_at: float = float("-inf")

    def read(self) -> None:
        mapped: dict[int, dict[str, str]] = defaultdict(dict)
        unmapped: dict[str, str] = {}
        zones = zones_of_hosts()
        cells = cell_ids_of_hosts(list(zones))
        for host, zone in zones.items():
            (mapped[cells[host]] if host in cells else unmapped)[host] = zone
        self.mapped, self.unmapped = dict(mapped), unmapped
        self.read_at = time.monotonic()


_by_cell = _ByCell()


def read_zones() -> None:
    """Bring what ``zones_in`` knows up to date, if it is older than ``CELL_MAPPINGS_TTL``."""
    if time.monotonic() - _by_cell.read_at > settings.CELL_MAPPINGS_TTL:
        _by_cell.read()


def zones_in(cell: Cell) -> dict[str, str]:
    """The zone of each host of the cell that is in one, as of the last ``read_zones``.

    For lists, where the zones of all hosts would have to be read for every page.  A host that
    is mapped to no cell counts as being in all of them.
    """
    return _by_cell.unmapped | _by_cell.mapped.get(cell.id, {})


def forget_zones() -> None:
    """Read the zones again at the next ``read_zones``."""
    _by_cell.read_at = float("-inf")
