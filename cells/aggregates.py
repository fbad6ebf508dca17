"""Aggregates of hosts, which are in Nova's API database."""

from collections import defaultdict
from collections.abc import Collection

from django.conf import settings
from django.db import DatabaseError
from django.db.models import QuerySet

from cells.cache import CachedValue
from cells.models import Aggregate, AggregateHost, AggregateMetadata
from cells.registry import Cell, cell_ids_of_hosts
from cells.remembered import Remembered


def aggregates_of_hosts(hosts: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
    """The names of the aggregates that each host is in, sorted; of ``hosts`` only, if given.

    Hosts that are in none are left out.  As they were last read while the API database does not
    answer.
    """
    return _remembered.read(hosts, lambda: _read_aggregates_of_hosts(hosts))


_remembered: Remembered[str, tuple[str, ...]] = Remembered()


def _read_aggregates_of_hosts(hosts: Collection[str] | None) -> dict[str, tuple[str, ...]]:
    rows = AggregateHost.objects.filter(host__isnull=False, aggregate__name__isnull=False)
    if hosts is not None:
        rows = rows.filter(host__among=frozenset(hosts))
    names: dict[str, set[str]] = defaultdict(set)
    for host, name in rows.values_list("host", "aggregate__name"):
        names[str(host)].add(str(name))
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # most hosts are in the same as others
    of_hosts: dict[str, tuple[str, ...]] = {}
    for host, found in names.items():
        sorted_names = tuple(sorted(found))
        of_hosts[host] = shared.setdefault(sorted_names, sorted_names)
    return of_hosts


def _read_by_cell() -> dict[int | None, dict[str, tuple[str, ...]]]:
    """The aggregates of hosts by the id of the cell they are mapped to; ``None`` for no cell."""
    of_hosts = aggregates_of_hosts()
    cell_ids = cell_ids_of_hosts(list(of_hosts))
    by_cell: dict[int | None, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for host, names in of_hosts.items():
        by_cell[cell_ids.get(host)][host] = names
    return dict(by_cell)


aggregates_by_cell = CachedValue(
    _read_by_cell, lambda: settings.CELL_MAPPINGS_TTL, (DatabaseError,)
)


def read_aggregates() -> None:
    """Bring what ``aggregates_in`` knows up to date, if it is older than ``CELL_MAPPINGS_TTL``.

    That takes a second for 100,000 hosts, so it is done in the background.
    """
    aggregates_by_cell.latest()


def aggregates_in(cell: Cell) -> dict[str, tuple[str, ...]]:
    """The names of the aggregates of the cell's hosts, as of the last ``read_aggregates``.

    For lists, as ``availability_zones.zones_in``; a host that is mapped to no cell counts as being
    in all of them.
    """
    by_cell = aggregates_by_cell.last or {}
    return by_cell.get(None, {}) | by_cell.get(cell.id, {})


def hosts_by_aggregate(aggregates: QuerySet[Aggregate]) -> dict[int, list[str]]:
    """The hosts in each of the aggregates, by its id, in the order in which they were added.

    Aggregates without hosts are left out.
    """
    rows = AggregateHost.objects.filter(host__isnull=False, aggregate__in=aggregates)
    hosts: dict[int, list[str]] = defaultdict(list)
    for aggregate_id, host in rows.order_by("id").values_list("aggregate_id", "host"):
        hosts[aggregate_id].append(str(host))
    return dict(hosts)


def metadata_by_aggregate(aggregates: QuerySet[Aggregate]) -> dict[int, dict[str, str]]:
    """The metadata of each of the aggregates, sorted, by its id.  Those without are left out."""
    rows = AggregateMetadata.objects.filter(aggregate__in=aggregates)
    metadata: dict[int, dict[str, str]] = defaultdict(dict)
    for aggregate_id, key, value in sorted(rows.values_list("aggregate_id", "key", "value")):
        metadata[aggregate_id][key] = value
    return dict(metadata)
