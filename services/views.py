"""os-services."""

from operator import attrgetter
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from oslo_utils.uuidutils import is_uuid_like
from rest_framework.request import Request
from rest_framework.response import Response

from audit import journal
from audit.models import Entry
from cells.availability_zones import zones_of_hosts
from cells.executors import CellUnavailable
from cells.fields import as_stored, utc_now
from cells.locate import remember
from cells.models import HostMapping
from cells.registry import Cell, all_cells
from cells.scatter_gather import AcrossCells
from portal.api.faults import Forbidden, ItemNotFound
from portal.api.responses import NoContent, NovaResponse
from portal.api.schemas import as_bool, query, repeatable
from portal.api.views import NovaViewSet, missing_cells_warnings, warning_header
from portal.microversions import Versioned
from services import actions, schemas
from services.actions import Change, ServiceRef
from services.filters import ServiceFilterSet
from services.models import API_BINARIES, NOVA_COMPUTE, Service, Zones, up_window
from services.requests import (
    NAMED_CHANGES,
    actor_of,
    as_asked,
    check_uuid,
    force_down,
    ref_by_integer,
    ref_by_uuid,
    refusals_as_faults,
)
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
    body_schemas = {"update": schemas.UPDATE}
    early_id_checks = {"update": Versioned({"2.1": None, "2.53": check_uuid})}
    #: What PUT does by the name in its URL; from 2.53 that is a uuid instead.
    named_changes = Versioned(
        {
            "2.1": NAMED_CHANGES,
            "2.11": {**NAMED_CHANGES, "force-down": force_down},
            "2.53": None,
        }
    )
    #: Whether hosts of cells that do not answer are listed, as UNKNOWN.
    lists_unknown = Versioned({"2.1": False, "2.69": True})
    #: Whether services go by their uuid, which some may not have yet.
    by_uuid = Versioned({"2.1": False, "2.53": True})

    def list(self, request: Request, **kwargs: Any) -> Response:
        """All services, cell by cell, in each by id."""
        plan = ServiceSerializer.plan(self.version)
        rows = narrowed(self.get_queryset(), self.query).order_by("id")
        answers = AcrossCells(rows.values_list(*as_stored(Service, plan.columns), "uuid")).all()
        unknown = (
            unknown_services(answers.missing, self.query)
            if self.lists_unknown.at(self.version)
            else {}
        )
        context = {"up_window": up_window(utc_now()), "zones": Zones(zones_of_hosts())}
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

    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Enable, disable or force down a nova-compute."""
        named = self.named_changes.at(self.version)
        if named is None:
            return self._update_by_uuid(id)
        if id not in named:
            raise ItemNotFound("Unknown action")
        change = named[id](self.body)
        ref = ServiceRef(host=self.body["host"], binary=self.body["binary"])
        with refusals_as_faults():
            actions.update(ref, change, actor_of(request))
        return NovaResponse({"service": as_asked(ref, change)})

    def _update_by_uuid(self, uuid: str) -> Response:
        forced_down = self.body.get("forced_down")
        change = Change(
            status=self.body.get("status"),
            reason=self.body.get("disabled_reason"),
            forced_down=None if forced_down is None else as_bool(forced_down),
        )
        with refusals_as_faults():
            found = actions.update(ServiceRef(uuid=uuid), change, actor_of(self.request))
        plan = ServiceSerializer.plan(self.version)
        context = {
            "up_window": up_window(timezone.now()),
            "zones": Zones(zones_of_hosts([found.row.host or ""])),
        }
        service = attrgetter(*plan.columns)(found.row)
        return NovaResponse({"service": plan.render([service], context)[0]})

    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Delete a service."""
        ref = ref_by_uuid(id) if self.by_uuid.at(self.version) else ref_by_integer(id)
        try:
            with refusals_as_faults():
                actions.delete(ref, actor_of(request))
        except ItemNotFound:
            raise ItemNotFound(f"Service {id} not found.") from None
        return NoContent()

    def check_permissions(self, request: Request) -> None:
        """Refuse by policy; refused changes are put on record."""
        try:
            super().check_permissions(request)
        except Forbidden as fault:
            if self.action != "list":
                journal.refuse(self._draft(request), fault.message)
            raise

    def _draft(self, request: Request) -> Entry:
        """What the audit can say of a change before anything was looked up."""
        id = self.kwargs["id"]
        return journal.draft(
            actor_of(request),
            "delete" if self.action == "destroy" else "update",
            service_uuid=id if is_uuid_like(id) else "",
            host=(self.body or {}).get("host", ""),
        )


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
