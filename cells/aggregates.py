"""Aggregates of hosts, which are in Nova's API database."""

from collections import defaultdict
from collections.abc import Collection

from django.db.models import QuerySet

from cells.host_values import HostValues
from cells.models import Aggregate, AggregateHost, AggregateMetadata
from cells.statements import Statement


def _read_aggregates_of_hosts(hosts: Collection[str] | None) -> dict[str, tuple[str, ...]]:
    rows = AggregateHost.objects.filter(host__isnull=False, aggregate__name__isnull=False)
    if hosts is not None:
        rows = rows.filter(host__among=frozenset(hosts))
    # As a statement, since Django would fetch them by the hundred: there can be 200,000.
    statement = Statement(rows.values_list("host", "aggregate__name"))
    names: dict[str, tuple[str, ...]] = {}
    for host, name in statement.rows(AggregateHost.objects.db):
        names[host] = (*names.get(host, ()), name)
    # Most hosts are in the same aggregates as others.
    shared = {found: tuple(sorted(set(found))) for found in set(names.values())}
    return {host: shared[found] for host, found in names.items()}


#: The names of the aggregates that each host is in, sorted; hosts that are in none are left out.
host_aggregates = HostValues(_read_aggregates_of_hosts)
aggregates_of_hosts = host_aggregates.of
aggregates_in = host_aggregates.in_cell


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
