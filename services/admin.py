"""Services in the console."""

import shlex
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from audit.notes import open_notes
from cells.aggregates import aggregates_of_hosts
from cells.availability_zones import zones_in, zones_of_hosts
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from portal.console.admin import AcrossCellsAdmin
from portal.console.columns import column
from portal.console.filters import CellFilter, ListFilter, filterset_filters
from portal.console.html import ago, badge
from services.action_views import FORM_FIELDS, act, show_results
from services.actions import ServiceAction, actions_for
from services.backfill_views import URL_NAME, backfill
from services.badges import STATE_FIELDS, STATUS_FIELDS, state_badge, status_badge
from services.disablings import disablings_of
from services.filters import ServiceFilterSet
from services.list_filters import (
    ForcedDownFilter,
    ServiceAggregateFilter,
    ServiceProblemFilter,
    ServiceZoneFilter,
    StateFilter,
    StatusFilter,
)
from services.models import (
    API_BINARIES,
    COMPUTE_TOPIC,
    NOVA_COMPUTE,
    Service,
    Zones,
    availability_zone,
    availability_zone_expression,
    state_expression,
    status_expression,
)


def _zone_in(cell: Cell) -> Combinable:
    return availability_zone_expression(Zones(zones_in(cell)))


def _set_zones(services: Sequence[Any]) -> None:
    zones = Zones(zones_of_hosts({service.host for service in services if service.host}))
    for service in services:
        service.zone = availability_zone(service.topic, service.host, zones)


def _set_aggregates(services: Sequence[Any]) -> None:
    hosts = {service.host for service in services if service.topic == COMPUTE_TOPIC}
    aggregates = aggregates_of_hosts(hosts - {None})
    for service in services:
        is_compute = service.topic == COMPUTE_TOPIC
        service.aggregates = aggregates.get(service.host, ()) if is_compute else ()


def _set_disablings(services: Sequence[Any]) -> None:
    disablings = disablings_of(services)
    notes = open_notes((service.cell, service.host) for service in services)
    for service in services:
        service.disabling = disablings.get(service.uuid)
        service.note = notes.get((service.cell.uuid, service.host))


@admin.register(Service)
class ServiceAdmin(AcrossCellsAdmin):
    """The services of all cells."""

    list_display = (
        "host",
        "binary",
        "cell",
        "zone",
        "aggregates",
        "state",
        "seen",
        "status",
        "updated",
        "version",
        "uuid",
    )
    list_filter: ClassVar[Sequence[type[ListFilter]]] = (
        CellFilter,
        StateFilter,
        StatusFilter,
        ForcedDownFilter,
        *filterset_filters(ServiceFilterSet, exclude=["host"]),
        ServiceZoneFilter,
        ServiceAggregateFilter,
        ServiceProblemFilter,
    )
    ordering = ("host", "binary")
    search_fields = ("host", "binary", "uuid", "disabled_reason", "=id")
    search_help_text = _("Host, binary, uuid, reason or id")
    row_reads = ("uuid", "host", "binary", "topic")
    detail_template = "admin/services/service/detail.html"

    @column(description=_("Host"), ordering="host", export=["host"])
    def host(self, service: Service) -> str | None:
        return service.host

    @column(description=_("Binary"), ordering="binary", export=["binary"])
    def binary(self, service: Service) -> str | None:
        return service.binary

    @column(
        description=_("Zone"), ordering_in=_zone_in, prepare=_set_zones, export={"zone": "zone"}
    )
    def zone(self, service: Any) -> str:
        zone: str = service.zone
        return zone

    @column(
        description=_("Aggregates"),
        reads=["host", "topic"],
        prepare=_set_aggregates,
        export={"aggregates": lambda service: ", ".join(service.aggregates)},
        default=False,
    )
    def aggregates(self, service: Any) -> str:
        return ", ".join(service.aggregates)

    @column(
        description=_("State"),
        ordering=lambda: state_expression(timezone.now()),
        reads=STATE_FIELDS,
        export={"state": "state", "forced_down": lambda service: bool(service.forced_down)},
    )
    def state(self, service: Service) -> SafeString:
        return state_badge(service, timezone.now())

    @column(
        description=_("Last heartbeat"),
        ordering=Coalesce("last_seen_up", "created_at"),
        export=["last_seen_up"],
        default=False,
    )
    def seen(self, service: Service) -> SafeString:
        return ago(service.last_seen_up)

    @column(
        description=_("Status"),
        ordering=status_expression(),
        reads=STATUS_FIELDS,
        prepare=_set_disablings,
        export={
            "status": "status",
            "disabled_reason": "disabled_reason",
            "disabled_at": "disabling__at",
            "disabled_by": "disabling__username",
        },
    )
    def status(self, service: Any) -> SafeString:
        return status_badge(service, service.disabling, service.note)

    @column(description=_("Updated"), ordering="updated_at", export=["updated_at"])
    def updated(self, service: Service) -> SafeString:
        return ago(service.updated_at)

    @column(
        description=_("Version"),
        ordering="version",
        export=["version"],
        numeric=True,
        default=False,
    )
    def version(self, service: Service) -> int | None:
        return service.version

    @column(description=_("UUID"), ordering="uuid", export=["uuid", "id"], default=False)
    def uuid(self, service: Service) -> SafeString:
        if service.uuid is None:
            return badge("warning", _("no uuid yet"))
        return format_html('<code class="uuid">{}</code>', service.uuid)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Service, Service]":
        rows: QuerySet[Service, Service] = super().get_queryset(request)
        return rows.exclude(binary__in=API_BINARIES)

    def get_row_actions(self, request: HttpRequest) -> list[ServiceAction]:
        return actions_for(request.user)

    def get_urls(self) -> list[URLPattern]:
        view, site = self.admin_site.admin_view, self.admin_site
        form = self._console.form_view(partial(act, site=site), *FORM_FIELDS)
        return [
            path("act/", form, name="services_service_act"),
            path("backfill/", view(partial(backfill, model_admin=self)), name=URL_NAME),
            path(
                "results/",
                view(partial(show_results, site=self._console)),
                name="services_service_results",
            ),
            *super().get_urls(),
        ]

    def get_detail_context(self, request: HttpRequest, cell: Cell, row: Service) -> dict[str, Any]:
        answers = ask_cells([cell], lambda cell: _on_same_host(cell, row))
        others, nodes = answers.by_cell.get(cell, ([], []))
        zones = Zones(zones_of_hosts([row.host] if row.host else []))
        return {
            "missing": answers.missing,
            "zone": availability_zone(row.topic, row.host, zones),
            "aggregates": _aggregates_of(row),
            "disabling": disablings_of([row]).get(row.uuid or ""),
            "note": open_notes([(cell, row.host)]).get((cell.uuid, row.host or "")),
            "others": others,
            "nodes": nodes,
            "command": client_command(row),
            "service_actions": actions_for(request.user, row),
        }


def _aggregates_of(service: Service) -> tuple[str, ...]:
    """The aggregates that a compute service's host is in."""
    if service.topic != COMPUTE_TOPIC or not service.host:
        return ()
    return aggregates_of_hosts([service.host]).get(service.host, ())


def client_command(service: Service) -> str:
    """The OpenStack client's command that shows the service."""
    return shlex.join(
        ["openstack", "compute", "service", "list", "--long"]
        + (["--host", service.host] if service.host else [])
        + (["--service", service.binary] if service.binary else [])
    )


def _on_same_host(cell: Cell, service: Service) -> tuple[list[Service], list[Any]]:
    """The other services of the host, and the compute nodes on it."""
    rows = Service.objects.using(cell.alias).filter(host=service.host)
    others = list(rows.exclude(id=service.id).exclude(binary__in=API_BINARIES).order_by("binary"))
    is_compute = service.binary == NOVA_COMPUTE
    return others, list(service.compute_nodes.order_by("id")[:100]) if is_compute else []
