"""os-services."""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from django.urls import reverse
from django.utils import timezone
from oslo_utils.uuidutils import is_uuid_like
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from audit import journal
from audit.journal import Actor, actor_of
from audit.models import Channel, Entry
from cells.availability_zones import zones_of_hosts
from cells.fields import as_stored, utc_now
from cells.locate import remember
from cells.registry import all_cells
from cells.scatter_gather import AcrossCells, Answers
from portal.api.endpoints import endpoint
from portal.api.faults import (
    BadRequest,
    ConflictFault,
    Fault,
    Forbidden,
    ItemNotFound,
    ServiceUnavailable,
)
from portal.api.responses import JSONList, NoContent, NovaResponse
from portal.api.schemas import as_integer, check_uuid
from portal.api.serializers import Plan, Row
from portal.api.views import NovaViewSet
from portal.microversions import Versioned
from services import actions, schemas
from services.changes import Applied, Change
from services.down_cells import compute_hosts_in
from services.exceptions import Conflict, Invalid, Missing, Refused, Unavailable
from services.filters import ServiceFilterSet
from services.locate import ServiceRef
from services.models import API_BINARIES, NOVA_COMPUTE, Service, Zones, up_window
from services.serializers import BACKFILL_WARNING, ServiceSerializer

FAULTS: dict[type[Refused], type[Fault]] = {
    Invalid: BadRequest,
    Missing: ItemNotFound,
    Conflict: ConflictFault,
    Unavailable: ServiceUnavailable,
}


@dataclass(frozen=True)
class Rendered:
    """A cell's services as they are listed, and whether one of them still has no uuid."""

    json: bytes
    lacks_uuid: bool


class ServiceViewSet(NovaViewSet):
    """The services of all cells."""

    queryset = Service.objects.exclude(binary__in=API_BINARIES).order_by("id")
    serializer_class = ServiceSerializer
    filterset_class = ServiceFilterSet
    policy_base = "os_compute_api:os-services"
    collection_name, member_name = "services", "service"
    #: Whether hosts of cells that do not answer are listed, as UNKNOWN.
    lists_unknown = Versioned({"2.1": False, "2.69": True})

    @classmethod
    def console_url(cls, id: str) -> str:
        """The service in the console; for an integer id, those that have it."""
        if id.isdigit():
            return reverse("admin:services_service_changelist", query={"q": id})
        return reverse("admin:services_service_change", args=[id])

    @endpoint("list", query=schemas.LIST, response=schemas.LISTED, samples=("list", "list-unknown"))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """All services, cell by cell, in each by id."""
        answers = self._rendered()
        unknown = (
            compute_hosts_in(answers.missing, self.query)
            if self.lists_unknown.at(self.version)
            else {}
        )
        parts: list[bytes] = []
        for cell in all_cells():
            if cell in answers.by_cell:
                parts.append(answers.by_cell[cell].json)
            elif cell in unknown:
                parts.append(JSONList.part([_unknown(host) for host in unknown[cell]]))
        self.warn_of(answers.missing)
        lacks_uuid = any(rendered.lacks_uuid for rendered in answers.values())
        if lacks_uuid and self.lookup_field == "uuid":
            self.warnings.append(BACKFILL_WARNING)
        return NovaResponse(JSONList(self.collection_name, parts))

    def _rendered(self) -> Answers[Rendered]:
        """What each cell has of the services that the request is about.

        All services, and all of nova-compute, are rendered by the threads that have read them, with
        the zones of all hosts.  For others it is enough to read the zones of the hosts they are on.
        """
        plan = self.get_plan()
        columns = (*as_stored(Service, plan.columns), "uuid")
        rows = AcrossCells(self.filter_queryset(self.get_queryset()).values_list(*columns))
        if not self.query.get("host") and self.query.get("binary") in (None, "", NOVA_COMPUTE):
            return rows.map_rows(partial(_render, plan, self._context(utc_now())))
        answers = rows.all()
        host = plan.columns.index("host")
        hosts = {row[host] for found in answers.values() for row in found} - {None}
        render = partial(_render, plan, self._context(utc_now(), hosts))
        for cell, found in answers.by_cell.items():
            remember(cell, (row[-1] for row in found))
        by_cell = {cell: render(found) for cell, found in answers.by_cell.items()}
        return Answers(by_cell, answers.missing)

    @endpoint(
        "update",
        body=schemas.UPDATE,
        early_id_check=Versioned({"2.53": check_uuid}),
        id_schema=schemas.ACTION_NAMES,
        response=schemas.UPDATED,
        samples=("enable", "disable", "disable-log-reason", "force-down", "update"),
    )
    def update(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Enable, disable or force down a nova-compute: by uuid; before 2.53 by host, and ``id`` is
        the name of the action.
        """
        by_name = schemas.ACTIONS.at(self.version)
        if by_name is None:
            found = actions.update(self.get_ref(), schemas.change(self.body), self.actor)
            self._remark(found)
            return NovaResponse({"service": self._shown(found.row)})
        if id not in by_name:
            raise ItemNotFound("Unknown action")
        change = by_name[id](self.body)
        ref = ServiceRef(host=self.body["host"], binary=self.body["binary"])
        self._remark(actions.update(ref, change, self.actor))
        return NovaResponse({"service": as_asked(ref, change)})

    @endpoint("delete")
    def destroy(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Delete a service: by uuid, before 2.53 by integer id."""
        try:
            self._remark(actions.delete(self.get_ref(), self.actor))
        except Missing:
            raise ItemNotFound(f"Service {id} not found.") from None
        return NoContent()

    def _remark(self, applied: Applied) -> None:
        """Let the answer say what another service of the cloud did not do."""
        if applied.remark:
            self.warnings.append(applied.remark)

    @property
    def actor(self) -> Actor:
        return actor_of(self.request, Channel.API)

    def get_ref(self) -> ServiceRef:
        """The service that the URL names.  Actions look it up, so that a miss is on record too."""
        id = self.kwargs[self.lookup_url_kwarg]
        if self.lookup_field == "uuid":
            check_uuid(id)
            return ServiceRef(uuid=id)
        number = as_integer(id)
        if number is None:
            raise BadRequest("Invalid input received: id must be an integer")
        return ServiceRef(id=number, text=id)

    def check_permissions(self, request: Request) -> None:
        """Refuse by policy; refused changes are put on record."""
        try:
            super().check_permissions(request)
        except Forbidden as fault:
            if request.method not in SAFE_METHODS:
                journal.refuse(self._draft(), fault.message)
            raise

    def handle_exception(self, exc: Exception) -> Response:
        """Answer an action's refusal with the fault that says so."""
        if isinstance(exc, Refused):
            exc = FAULTS[type(exc)](exc.message)
        return super().handle_exception(exc)

    def _draft(self) -> Entry:
        """What the audit can say of a change before anything was looked up."""
        id = self.kwargs[self.lookup_url_kwarg]
        return journal.draft(
            self.actor,
            "delete" if self.action == "destroy" else "update",
            service_uuid=id if is_uuid_like(id) else "",
            host=(self.body or {}).get("host", ""),
        )

    def _context(
        self, now: datetime.datetime, hosts: Collection[str] | None = None
    ) -> dict[str, Any]:
        """What the serializer needs beside the rows of these hosts, or of all; ``now`` is aware or
        naive as their times are.
        """
        return {"up_window": up_window(now), "zones": Zones(zones_of_hosts(hosts))}

    def _shown(self, service: Service) -> dict[str, Any]:
        plan = self.get_plan()
        row = attrgetter(*plan.columns)(service)
        context = self._context(timezone.now(), [service.host or ""])
        [shown] = plan.render([row], context)
        return shown


def _render(plan: Plan, context: dict[str, Any], rows: Sequence[Row]) -> Rendered:
    """A cell's services; the last column of their rows is their uuid."""
    lacks_uuid = any(row[-1] is None for row in rows)
    return Rendered(JSONList.part(plan.render(rows, context)), lacks_uuid)


def _unknown(host: str) -> dict[str, Any]:
    """What is listed of the nova-compute of a host whose cell does not answer."""
    return {"binary": NOVA_COMPUTE, "host": host, "status": "UNKNOWN"}


def as_asked(ref: ServiceRef, change: Change) -> dict[str, Any]:
    """Nova's answer before 2.53: what was asked for, not the service."""
    answer: dict[str, Any] = {"host": ref.host, "binary": ref.binary}
    if change.status is not None:
        answer["status"] = change.status
    if change.reason is not None:
        answer["disabled_reason"] = change.reason
    if change.forced_down is not None:
        answer["forced_down"] = change.forced_down
    return answer
