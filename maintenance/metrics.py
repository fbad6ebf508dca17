"""How many hosts are in maintenance, and what has become of servers, for Prometheus."""

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from maintenance.models import ENDED, LEFT, STAYED, UNDER_WAY, Maintenance, Server


class MaintenanceCollector(Collector):
    """Hosts by plan and state, servers under way, and moves by method and outcome."""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        labels = ["plan", "state", "cell"]
        hosts = GaugeMetricFamily(
            "nova_portal_maintenance_hosts",
            "Hosts whose maintenance is under way, or has failed or was stopped and not returned.",
            labels=labels,
        )
        ended = CounterMetricFamily(
            "nova_portal_maintenance_ended", "Maintenances that have ended.", labels=labels
        )
        for family, rows in (
            (hosts, Maintenance.objects.open()),
            (ended, Maintenance.objects.filter(state__in=ENDED)),
        ):
            counts = rows.order_by().values_list("plan", "state", "cell_name")
            for plan, state, cell, count in counts.annotate(count=Count("pk")):
                family.add_metric([plan, state, cell], count)
        under_way = GaugeMetricFamily(
            "nova_portal_maintenance_moves", "Moves that are under way.", labels=["method", "cell"]
        )
        moves = CounterMetricFamily(
            "nova_portal_maintenance_servers",
            "Servers of hosts in maintenance, by what became of them.",
            labels=["method", "outcome", "cell"],
        )
        servers = Server.objects.order_by().values_list("method", "fate", "maintenance__cell_name")
        counted: dict[tuple[str, str], int] = {}
        for method, fate, cell, count in servers.annotate(count=Count("pk")):
            if fate in UNDER_WAY:
                counted[method, cell] = counted.get((method, cell), 0) + count
            elif fate in (*LEFT, *STAYED):
                moves.add_metric([method or "none", fate, cell], count)
        for (method, cell), count in counted.items():
            under_way.add_metric([method, cell], count)
        yield from (hosts, ended, under_way, moves)
