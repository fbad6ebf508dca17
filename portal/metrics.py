"""Metrics of the cells for Prometheus, collected at each scrape."""

from collections.abc import Iterator

from django.http import HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from cells.probes import CellProbe, probe_cells
from portal.api.renderers import JSONRenderer
from portal.roles import LIST_SERVICES, may


class MayRead(BasePermission):
    """For those who may see the cells in the console, or list services in the API."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("cells.view_cellmapping") or may(request.user, LIST_SERVICES)


class CellCollector(Collector):
    """One sample of each gauge per cell; a cell that does not answer has only ``up``, 0."""

    def __init__(self, probes: list[CellProbe]) -> None:
        self.probes = probes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        labels = ["cell", "cell_uuid"]
        up = GaugeMetricFamily("nova_cell_up", "Whether the cell can be read.", labels=labels)
        latency = GaugeMetricFamily(
            "nova_cell_latency_seconds", "One round trip to the cell's database.", labels=labels
        )
        rows = GaugeMetricFamily(
            "nova_cell_rows", "Live rows of a table.", labels=[*labels, "table"]
        )
        without_uuid = GaugeMetricFamily(
            "nova_cell_rows_without_uuid",
            "Live rows of a table that have no uuid yet.",
            labels=[*labels, "table"],
        )
        for probe in self.probes:
            cell = [probe.cell.name, probe.cell.uuid]
            up.add_metric(cell, float(probe.healthy))
            if probe.latency is not None:
                latency.add_metric(cell, probe.latency)
            for table, count in probe.rows.items():
                rows.add_metric([*cell, table], count)
                if probe.healthy:
                    without_uuid.add_metric([*cell, table], probe.without_uuid.get(table, 0))
        yield from (up, latency, rows, without_uuid)


class MetricsView(APIView):
    """``/metrics``, by token or HTTP Basic."""

    permission_classes = (MayRead,)
    renderer_classes = (JSONRenderer,)  # for refusals
    versioning_class = None

    def get(self, request: Request) -> HttpResponse:
        """The gauges in Prometheus's text format."""
        registry = CollectorRegistry()
        registry.register(CellCollector(probe_cells()))
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
