"""Services in the console."""

import shlex
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from audit.history import history_of
from cells.availability_zones import zones_of_hosts
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from portal.console.admin import AcrossCellsAdmin
from portal.console.columns import Column, ListedRow
from portal.console.filters import CellFacet, Facet, FlagsFacet, ValueFacet, ZoneFacet
from portal.console.html import DASH, NOTHING, ago, badge
from services.action_views import act, show_results
from services.actions import actions_for
from services.badges import state_badge, status_badge
from services.models import (
    API_BINARIES,
    NOVA_COMPUTE,
    Service,
    Zones,
    availability_zone,
    state_expression,
    status,
    status_expression,
)
from services.problems import service_flags

STATES = {"up": _("up"), "down": _("down")}
STATUSES = {"enabled": _("enabled"), "disabled": _("disabled")}

#: Services that are not compute are in the internal zone.
NOT_COMPUTE = ~Q(topic="compute") | Q(topic=None)


def _show_host(listed: ListedRow[Service]) -> str:
    return listed.row.host or DASH


def _show_uuid(listed: ListedRow[Service]) -> Any:
    if listed.row.uuid is None:
        return badge("warning", _("no uuid yet"))
    return format_html('<code class="uuid">{}</code>', listed.row.uuid)


COLUMNS = (
    Column(
        "host", _("Host"), _show_host, sort="host", text=True,
        export={"host": lambda listed: listed.row.host},
    ),
    Column(
        "binary", _("Binary"), lambda listed: listed.row.binary, sort="binary", text=True,
        export={"binary": lambda listed: listed.row.binary},
    ),
    Column(
        "cell", _("Cell"), lambda listed: listed.cell.name,
        sort_in=lambda cell: cell.name, text=True,
        export={
            "cell": lambda listed: listed.cell.name,
            "cell_uuid": lambda listed: listed.cell.uuid,
        },
    ),
    Column(
        "zone", _("Zone"), lambda listed: listed.zone,
        sort_in=lambda cell: ZoneFacet(NOT_COMPUTE).expression(cell), text=True,
        export={"zone": lambda listed: listed.zone},
    ),
    Column(
        "state", _("State"), lambda listed: state_badge(listed.row, timezone.now()),
        sort=lambda: state_expression(timezone.now()), text=True,
        export={
            "state": lambda listed: "up" if listed.row.is_up() else "down",
            "forced_down": lambda listed: bool(listed.row.forced_down),
        },
    ),
    Column(
        "seen", _("Last heartbeat"), lambda listed: ago(listed.row.last_seen_up),
        sort=lambda: Coalesce("last_seen_up", "created_at"), default=False,
        export={"last_seen_up": lambda listed: listed.row.last_seen_up},
    ),
    Column(
        "status", _("Status"), lambda listed: status_badge(listed.row),
        sort=status_expression, text=True,
        export={
            "status": lambda listed: status(listed.row.disabled),
            "disabled_reason": lambda listed: listed.row.disabled_reason,
        },
    ),
    Column(
        "updated", _("Updated"), lambda listed: ago(listed.row.updated_at), sort="updated_at",
        export={"updated_at": lambda listed: listed.row.updated_at},
    ),
    Column(
        "version", _("Version"),
        lambda listed: NOTHING if listed.row.version is None else listed.row.version,
        sort="version", numeric=True, default=False,
        export={"version": lambda listed: listed.row.version},
    ),
    Column(
        "uuid", _("UUID"), _show_uuid, sort="uuid", text=True, default=False,
        export={"uuid": lambda listed: listed.row.uuid, "id": lambda listed: listed.row.id},
    ),
)  # fmt: skip


@admin.register(Service)
class ServiceAdmin(AcrossCellsAdmin):
    """The services of all cells."""

    columns = COLUMNS
    default_order = ("host", "binary")
    search_fields = ("host", "binary", "uuid", "disabled_reason", "=id")
    search_help_text = _("Host, binary, uuid, reason or id")
    detail_template = "admin/services/service/detail.html"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Service, Service]":
        rows: QuerySet[Service, Service] = super().get_queryset(request)
        return rows.exclude(binary__in=API_BINARIES)

    def get_facets(self, request: HttpRequest) -> Sequence[Facet]:
        now = timezone.now()
        return [
            CellFacet(),
            ValueFacet("state", _("State"), state_expression(now), STATES),
            ValueFacet("status", _("Status"), status_expression(), STATUSES),
            ValueFacet("binary", _("Binary"), Coalesce("binary", Value(""))),
            ZoneFacet(NOT_COMPUTE),
            FlagsFacet(
                "problem",
                _("Problem"),
                service_flags(now),
                any_label=_("any problem"),
                none_label=_("no problem"),
            ),
        ]

    def listed(self, rows: Sequence[tuple[Cell, Service]]) -> list[ListedRow[Service]]:
        zones = Zones(zones_of_hosts({row.host for _cell, row in rows if row.host}))
        return [
            ListedRow(cell, row, availability_zone(row.topic, row.host, zones))
            for cell, row in rows
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        actions = actions_for(request.user)
        return super().changelist_view(
            request,
            {
                **(extra_context or {}),
                "row_actions": actions,
                "act_url": reverse("admin:services_service_act"),
            },
        )

    def more_urls(self, name: str) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("act/", view(partial(act, site=self.admin_site)), name=f"{name}_act"),
            path(
                "results/",
                view(partial(show_results, site=self.admin_site)),
                name=f"{name}_results",
            ),
        ]

    def detail(self, request: HttpRequest, cell: Cell, row: Service) -> dict[str, Any]:
        answers = ask_cells([cell], lambda cell: _around(cell, row))
        others, nodes = answers.by_cell.get(cell, ([], []))
        zones = Zones(zones_of_hosts([row.host] if row.host else []))
        return {
            "missing": answers.missing,
            "zone": availability_zone(row.topic, row.host, zones),
            "others": others,
            "nodes": nodes,
            "command": client_command(row),
            "service_actions": actions_for(request.user, row),
            **history_of(request.user, row.host, row.binary),
        }


def client_command(service: Service) -> str:
    """The OpenStack client's command that shows the service."""
    return shlex.join(
        ["openstack", "compute", "service", "list", "--long"]
        + (["--host", service.host] if service.host else [])
        + (["--service", service.binary] if service.binary else [])
    )


def _around(cell: Cell, service: Service) -> tuple[list[Service], list[Any]]:
    """The other services of the host, and the compute nodes on it."""
    rows = Service.objects.using(cell.alias).filter(host=service.host)
    others = list(rows.exclude(id=service.id).exclude(binary__in=API_BINARIES).order_by("binary"))
    is_compute = service.binary == NOVA_COMPUTE
    return others, list(service.compute_nodes.order_by("id")[:100]) if is_compute else []
