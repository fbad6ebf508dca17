"""Availability zones, which Nova keeps as metadata of aggregates."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from cells.cache import CachedValue
from cells.models import AggregateMetadata
from cells.registry import Cell, cell_ids_of_hosts
from cells.remembered import Remembered


def zones_of_hosts(hosts: Collection[str] | None = None) -> dict[str, str]:
    """The zone of each host that is in one; of ``hosts`` only, if given.

    For a host in several zones, which Nova forbids, it is all their names, sorted and joined by
    commas.  As they were last read while the API database does not answer.
    """
    return _remembered.read(hosts, lambda: _read_zones_of_hosts(hosts))


_remembered: Remembered[str, str] = Remembered()


def _read_zones_of_hosts(hosts: Collection[str] | None) -> dict[str, str]:
    # In one call of filter(): a second one would join the hosts again.
    with_host: dict[str, Any] = (
        {"aggregate__hosts__host__isnull": False}
        if hosts is None
        else {"aggregate__hosts__host__among": frozenset(hosts)}
    )
    rows = AggregateMetadata.objects.filter(key="availability_zone", **with_host)
    pairs = list(rows.values_list("aggregate__hosts__host", "value"))
    zones: dict[str, str] = dict(pairs)  # type: ignore[arg-type]  # the filter leaves no null
    if len(zones) < len(pairs):
        names_of: dict[str, set[str]] = defaultdict(set)
        for host, zone in pairs:
            names_of[str(host)].add(zone)
        zones = {host: ",".join(sorted(names)) for host, names in names_of.items()}
    return zones


def _read_zones_by_cell() -> dict[int | None, dict[str, str]]:
    """The zones of hosts by the id of the cell that they are mapped to; ``None`` for no cell."""
    zones = zones_of_hosts()
    cell_ids = cell_ids_of_hosts(list(zones))
    by_cell: dict[int | None, dict[str, str]] = defaultdict(dict)
    for host, zone in zones.items():
        by_cell[cell_ids.get(host)][host] = zone
    return dict(by_cell)


zones_by_cell = CachedValue(
    _read_zones_by_cell, lambda: settings.CELL_MAPPINGS_TTL, (DatabaseError,)
)


def read_zones() -> None:
    """Bring what ``zones_in`` knows up to date, if it is older than ``CELL_MAPPINGS_TTL``.

    That takes a second for 100,000 hosts, so it is done in the background.
    """
    zones_by_cell.latest()


def zones_in(cell: Cell) -> dict[str, str]:
    """The zone of each of the cell's hosts that is in one, as of the last ``read_zones``.

    For lists, where the zones of all hosts would have to be read for every page.  A host that
    is mapped to no cell counts as being in all of them.
    """
    by_cell = zones_by_cell.last or {}
    return by_cell.get(None, {}) | by_cell.get(cell.id, {})
