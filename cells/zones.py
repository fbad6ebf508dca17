"""Availability zones, which Nova keeps as metadata of aggregates."""

from collections.abc import Collection

from cells.models import AggregateMetadata


def zones_of_hosts(hosts: Collection[str] | None = None) -> dict[str, str]:
    """The zone of each host that is in one (only of ``hosts``, if given).

    A host in several zones, which Nova forbids, has all their names, sorted and joined by commas.
    """
    rows = AggregateMetadata.objects.filter(
        key="availability_zone", aggregate__hosts__host__isnull=False
    )
    if hosts is not None:
        rows = rows.filter(aggregate__hosts__host__in=hosts)
    zones: dict[str, str] = {}
    for host, zone in rows.order_by("value").values_list("aggregate__hosts__host", "value"):
        zones[host] = f"{zones[host]},{zone}" if host in zones and zones[host] != zone else zone
    return zones
