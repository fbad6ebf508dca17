"""os-services."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from cells.across import AcrossCells
from cells.lanes import CellUnavailable
from cells.locate import remember
from cells.mappings import Cell, all_cells
from cells.models import HostMapping
from cells.zones import zones_of_hosts
from portal.microversions import Versioned
from portal.responses import NovaResponse
from portal.schemas import query, repeatable
from portal.views import NovaViewSet, missing_cells_warnings, warning_header
from services.filters import ServiceFilterSet
from services.models import API_BINARIES, NOVA_COMPUTE, Service
from services.serializers import ServiceSerializer

HOST_AND_BINARY = {"host": repeatable({"type": "string"}), "binary": repeatable({"type": "string"})}
BACKFILL_WARNING = (
    "services without a uuid are listed with a null id; run: manage.py backfill_service_uuids"
)


class ServiceViewSet(NovaViewSet):
    """The services of all cells."""

    queryset = Service.objects.exclude(binary__in=API_BINARIES)
    serializer_class = ServiceSerializer
    filterset_class = ServiceFilterSet
    policy_base = "os_compute_api:os-services"
    policies = {"list": "list", "update": "update", "destroy": "delete"}
    query_schemas = {
        "list": Versioned(
            {
                "2.1": query(HOST_AND_BINARY, others=True),
                "2.75": query(HOST_AND_BINARY, others=False),
            }
        ),
    }
    #: Whether hosts of cells that do not answer are listed, as UNKNOWN.
    lists_unknown = Versioned({"2.1": False, "2.69": True})
    #: Whether services go by their uuid, which some may not have yet.
    by_uuid = Versioned({"2.1": False, "2.53": True})

    def list(self, request: Request, **kwargs: Any) -> Response:
        """All services, cell by cell, in each by id."""
        plan = ServiceSerializer.plan(self.version)
        rows = narrowed(self.get_queryset(), self.query).order_by("id")
        answers = AcrossCells(rows.values_list(*plan.columns, "uuid")).all()
        unknown = (
            unknown_services(answers.missing, self.query)
            if self.lists_unknown.at(self.version)
            else {}
        )
        context = {"now": timezone.now(), "zones": zones_of_hosts()}
        services: list[dict[str, Any]] = []
        without_uuid = False
        for cell in all_cells():
            found = answers.by_cell.get(cell, [])
            uuids = [row[-1] for row in found]
            without_uuid = without_uuid or None in uuids
            remember(cell, uuids)
            services += plan.render(found, context) if found else unknown.get(cell, [])
        warnings = missing_cells_warnings(answers.missing)
        if without_uuid and self.by_uuid.at(self.version):
            warnings.append(BACKFILL_WARNING)
        return NovaResponse({"services": services}, headers=warning_header(warnings))


def narrowed(services: QuerySet[Service], params: dict[str, str]) -> QuerySet[Service]:
    """The services that the query parameters ask for; none for a value no host can have."""
    filters = ServiceFilterSet(params, queryset=services)
    return filters.qs if filters.is_valid() else services.none()


def unknown_services(
    missing: list[CellUnavailable], params: dict[str, str]
) -> dict[Cell, list[dict[str, Any]]]:
    """For each cell that did not answer its mapped hosts, as services of unknown status."""
    if not missing or params.get("binary") not in (None, "", NOVA_COMPUTE):
        return {}
    mappings = HostMapping.objects.filter(cell_id__in=[one.cell.id for one in missing])
    if params.get("host"):
        mappings = mappings.filter(host__same_text=params["host"])
    hosts: dict[int, list[dict[str, Any]]] = {}
    for cell_id, host in mappings.order_by("id").values_list("cell_id", "host"):
        hosts.setdefault(cell_id, []).append(
            {"binary": NOVA_COMPUTE, "host": host, "status": "UNKNOWN"}
        )
    return {one.cell: hosts.get(one.cell.id, []) for one in missing}
