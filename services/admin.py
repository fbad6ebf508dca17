"""Services in the console."""

import datetime
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from cells.admin import AcrossCellsAdmin, Column, ListedRow
from cells.facets import CellFacet, Facet, FlagsFacet, ValueFacet, ZoneFacet
from cells.html import NOTHING, ago, badge
from cells.mappings import Cell
from cells.zones import zones_of_hosts
from services.models import API_BINARIES, Service, up_at
from services.problems import service_flags
from services.serializers import Zones, status, zone

STATES = {"up": _("up"), "down": _("down")}
STATUSES = {"enabled": _("enabled"), "disabled": _("disabled")}

#: Services that are not compute are in the internal zone.
NOT_COMPUTE = ~Q(topic="compute") | Q(topic=None)


def state_badge(service: Service, now: datetime.datetime) -> SafeString:
    """Up, down or forced down, with the age of the last heartbeat."""
    if service.forced_down:
        shown = badge("off", _("forced down"))
    elif service.is_up(now):
        shown = badge("good", _("up"))
    else:
        shown = badge("bad", _("down"))
    heartbeat = ago(service.last_seen_up, now) if service.last_seen_up else _("never heard of")
    return format_html('{} <span class="since quiet">{}</span>', shown, heartbeat)


def status_badge(service: Service) -> SafeString:
    """Enabled, or disabled with the reason."""
    if not service.disabled:
        return badge("good", _("enabled"))
    shown = badge("off", _("disabled"))
    if not service.disabled_reason:
        return shown
    return format_html('{} <span class="reason">{}</span>', shown, service.disabled_reason)


def state_case(now: datetime.datetime, prefix: str = "") -> Case:
    """``up`` or ``down``, to group and sort by."""
    return Case(
        When(up_at(now, prefix), then=Value("up")),
        default=Value("down"),
        output_field=CharField(),
    )


def status_case(prefix: str = "") -> Case:
    """``enabled`` or ``disabled``, to group and sort by."""
    return Case(
        When(Q(**{f"{prefix}disabled": True}), then=Value("disabled")),
        default=Value("enabled"),
        output_field=CharField(),
    )


def _show_host(listed: ListedRow[Service]) -> str:
    return listed.row.host or "–"


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
        sort=lambda cell: cell.name, text=True,
        export={
            "cell": lambda listed: listed.cell.name,
            "cell_uuid": lambda listed: listed.cell.uuid,
        },
    ),
    Column(
        "zone", _("Zone"), lambda listed: listed.zone,
        sort=lambda cell: ZoneFacet(NOT_COMPUTE).expression(cell), text=True,
        export={"zone": lambda listed: listed.zone},
    ),
    Column(
        "state", _("State"), lambda listed: state_badge(listed.row, timezone.now()),
        sort=lambda cell: state_case(timezone.now()), text=True,
        export={
            "state": lambda listed: "up" if listed.row.is_up() else "down",
            "forced_down": lambda listed: bool(listed.row.forced_down),
        },
    ),
    Column(
        "seen", _("Last heartbeat"), lambda listed: ago(listed.row.last_seen_up),
        sort=lambda cell: Coalesce("last_seen_up", "created_at"), default=False,
        export={"last_seen_up": lambda listed: listed.row.last_seen_up},
    ),
    Column(
        "status", _("Status"), lambda listed: status_badge(listed.row),
        sort=lambda cell: status_case(), text=True,
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
    search_fields = ("host", "binary", "uuid", "disabled_reason")
    search_help_text = _("Host, binary, uuid or reason")
    detail_template = "admin/services/service/detail.html"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Service, Service]":
        rows: QuerySet[Service, Service] = super().get_queryset(request)
        return rows.exclude(binary__in=API_BINARIES)

    def get_facets(self, request: HttpRequest) -> Sequence[Facet]:
        now = timezone.now()
        return [
            CellFacet(),
            ValueFacet("state", _("State"), state_case(now), STATES),
            ValueFacet("status", _("Status"), status_case(), STATUSES),
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
            ListedRow(cell, row, zone(row.topic, row.host, zones)) for cell, row in rows
        ]
