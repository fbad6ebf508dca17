"""Availability zones, which Nova keeps as metadata of aggregates."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from cells.host_values import HostValues
from cells.models import AggregateMetadata
from cells.statements import Statement


def _read_zones_of_hosts(hosts: Collection[str] | None) -> dict[str, str]:
    # In one call of filter(): a second one would join the hosts again.
    with_host: dict[str, Any] = (
        {"aggregate__hosts__host__isnull": False}
        if hosts is None
        else {"aggregate__hosts__host__among": frozenset(hosts)}
    )
    rows = AggregateMetadata.objects.filter(key="availability_zone", **with_host)
    # As a statement, since Django would fetch them by the hundred: there can be 100,000.
    statement = Statement(rows.values_list("aggregate__hosts__host", "value"))
    pairs = statement.rows(AggregateMetadata.objects.db)
    zones: dict[str, str] = dict(pairs)
    if len(zones) < len(pairs):
        names_of: dict[str, set[str]] = defaultdict(set)
        for host, zone in pairs:
            names_of[str(host)].add(zone)
        zones = {host: ",".join(sorted(names)) for host, names in names_of.items()}
    return zones


#: The zone of each host that is in one.  For a host in several zones, which Nova forbids, it is
#: all their names, sorted and joined by commas.
host_zones = HostValues(_read_zones_of_hosts)
zones_of_hosts = host_zones.of
zones_in = host_zones.in_cell
