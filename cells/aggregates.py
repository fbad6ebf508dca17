"""Aggregates of hosts, which are in Nova's API database."""

from collections import defaultdict
from collections.abc import Collection

from cells.models import AggregateHost


def aggregates_of_hosts(hosts: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
    """The names of the aggregates that each host is in, sorted; of ``hosts`` only, if given.

    Hosts that are in none are left out.
    """
    rows = AggregateHost.objects.filter(host__isnull=False, aggregate__name__isnull=False)
    if hosts is not None:
        rows = rows.filter(host__among=frozenset(hosts))
    names: dict[str, set[str]] = defaultdict(set)
    for host, name in rows.values_list("host", "aggregate__name"):
        names[str(host)].add(str(name))
    return {host: tuple(sorted(found)) for host, found in names.items()}
