"""Hypervisors in the console."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import CharField, F, Func
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from audit.notes import open_notes
from cells.aggregates import aggregates_of_hosts
from cells.availability_zones import zones_in, zones_of_hosts
from cells.registry import Cell
from hypervisors.capacity import DISK, MEMORY, VCPUS, Resource, usages
from hypervisors.detail import NodeDetail, cpu_of, read_detail, uptime_of
from hypervisors.list_filters import (
    DiskFilter,
    MemoryFilter,
    NodeForcedDownFilter,
    NodeProblemFilter,
    NodeStateFilter,
    NodeStatusFilter,
    TypeFilter,
    VcpusFilter,
)
from hypervisors.models import ComputeNode
from hypervisors.node_services import services_of_nodes
from hypervisors.placement_detail import read_placement
from portal.console.admin import AcrossCellsAdmin
from portal.console.columns import column
from portal.console.filters import CellFilter
from portal.console.html import ago, badge, bar
from portal.console.selection import selected_keys
from portal.roles import permits
from services.action_views import FORM_FIELDS, act
from services.actions import ServiceAction, actions_for
from services.badges import STATE_FIELDS, STATUS_FIELDS, state_badge, status_badge
from services.disablings import disablings_of
from services.list_filters import HostAggregateFilter, HostZoneFilter
from services.models import (
    COMPUTE_TOPIC,
    Zones,
    availability_zone,
    host_zone_expression,
    state_expression,
    status_expression,
)

#: Nova's rule for the page of one hypervisor.
SHOW = "os_compute_api:os-hypervisors:show"


class AddressText(Func):
    """An address as text, without PostgreSQL's netmask."""

    output_field = CharField()
    arity = 1
    template = "%(expressions)s"

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="HOST(%(expressions)s)", **context)


def _zone_in(cell: Cell) -> Combinable | str:
    zones = Zones(zones_in(cell))
    return host_zone_expression(zones) if zones.of_hosts else zones.default


def _of_service(names: Sequence[str]) -> list[str]:
    return [f"service__{name}" for name in names]


def _page_links(detail: NodeDetail) -> list[tuple[int | str, str]]:
    """The pages of the servers with their links; an ellipsis has none."""
    return [
        (number, f"?servers={number}#servers" if isinstance(number, int) else "")
        for number in detail.page_numbers()
    ]


def _is_forced_down(node: ComputeNode) -> bool | None:
    return None if node.service is None else bool(node.service.forced_down)


def _set_zones(nodes: Sequence[Any]) -> None:
    zones = Zones(zones_of_hosts({node.host for node in nodes if node.host}))
    for node in nodes:
        node.zone = availability_zone(COMPUTE_TOPIC, node.host, zones)


def _set_aggregates(nodes: Sequence[Any]) -> None:
    aggregates = aggregates_of_hosts({node.host for node in nodes if node.host})
    for node in nodes:
        node.aggregates = aggregates.get(node.host, ())


def _set_disablings(nodes: Sequence[Any]) -> None:
    disablings = disablings_of(node.service for node in nodes)
    notes = open_notes((node.cell, node.host) for node in nodes)
    for node in nodes:
        node.note = notes.get((node.cell.uuid, node.host))
        node.disabling = None if node.service is None else disablings.get(node.service.uuid)


def usage_column(resource: Resource) -> Callable[[Any, ComputeNode], SafeString]:
    """A column with a bar: how much of what may be allocated is used.  Sorts by that share."""

    @column(
        description=resource.label,
        ordering=resource.fraction_expression(),
        export=resource.fields,
        numeric=True,
    )
    def usage(self: Any, node: ComputeNode) -> SafeString:
        usage = resource.usage(node)
        return bar(usage.used, usage.limit, usage.unit, usage.physical)

    return usage


@admin.register(ComputeNode)
class HypervisorAdmin(AcrossCellsAdmin):
    """The hypervisors of all cells, also those that Nova hides: that is what operators look for."""

    list_display = (
        "name",
        "host",
        "cell",
        "zone",
        "aggregates",
        "state",
        "seen",
        "status",
        "type",
        "vcpus",
        "memory",
        "disk",
        "servers",
        "ip",
        "uuid",
    )
    list_filter = (
        CellFilter,
        HostZoneFilter,
        HostAggregateFilter,
        NodeStateFilter,
        NodeStatusFilter,
        NodeForcedDownFilter,
        TypeFilter,
        VcpusFilter,
        MemoryFilter,
        DiskFilter,
        NodeProblemFilter,
    )
    ordering = ("hypervisor_hostname",)
    search_fields = (
        "hypervisor_hostname",
        "host",
        "host_ip",
        "uuid",
        "service__disabled_reason",
        "=id",
    )
    search_help_text = _("Name, host, IP address, uuid, reason or id")
    row_reads = ("uuid", "hypervisor_hostname", "host")
    detail_template = "admin/hypervisors/computenode/detail.html"

    @column(
        description=_("Host name"),
        ordering="hypervisor_hostname",
        export=["hypervisor_hostname", "host"],
    )
    def name(self, node: ComputeNode) -> str:
        return str(node)

    @column(description=_("Host"), ordering="host", default=False)
    def host(self, node: ComputeNode) -> str | None:
        return node.host

    @column(
        description=_("Zone"), ordering_in=_zone_in, prepare=_set_zones, export={"zone": "zone"}
    )
    def zone(self, node: Any) -> str:
        zone: str = node.zone
        return zone

    @column(
        description=_("Aggregates"),
        reads=["host"],
        prepare=_set_aggregates,
        export={"aggregates": lambda node: ", ".join(node.aggregates)},
        default=False,
    )
    def aggregates(self, node: Any) -> str:
        return ", ".join(node.aggregates)

    @column(
        description=_("State"),
        ordering=lambda: state_expression(timezone.now(), "service__"),
        reads=_of_service(STATE_FIELDS),
        export={
            "state": "service__state",
            "forced_down": _is_forced_down,
            "last_seen_up": "service__last_seen_up",
        },
    )
    def state(self, node: ComputeNode) -> SafeString:
        if node.service is None:
            return badge("warning", _("no service"))
        return state_badge(node.service, timezone.now())

    @column(
        description=_("Last heartbeat"),
        ordering=Coalesce("service__last_seen_up", "service__created_at"),
        reads=["service__last_seen_up"],
        default=False,
    )
    def seen(self, node: ComputeNode) -> SafeString:
        if node.service is None:
            return badge("warning", _("no service"))
        return ago(node.service.last_seen_up)

    @column(
        description=_("Status"),
        ordering=status_expression("service__"),
        reads=_of_service(STATUS_FIELDS),
        prepare=_set_disablings,
        export={
            "status": "service__status",
            "disabled_reason": "service__disabled_reason",
            "disabled_at": "disabling__at",
            "disabled_by": "disabling__username",
        },
    )
    def status(self, node: Any) -> SafeString:
        if node.service is None:
            return badge("warning", _("no service"))
        return status_badge(node.service, node.disabling, node.note)

    @column(
        description=_("Type"),
        ordering="hypervisor_type",
        reads=["hypervisor_version"],
        export={"hypervisor_type": "hypervisor_type", "hypervisor_version": "version"},
    )
    def type(self, node: ComputeNode) -> SafeString:
        return format_html(
            '{} <span title="{}">{}</span>',
            node.hypervisor_type,
            node.hypervisor_version,
            node.version,
        )

    vcpus = usage_column(VCPUS)
    memory = usage_column(MEMORY)
    disk = usage_column(DISK)

    @column(description=_("Servers"), ordering="running_vms", export=["running_vms"], numeric=True)
    def servers(self, node: ComputeNode) -> int | None:
        return node.running_vms

    @column(
        description=_("IP address"),
        ordering=AddressText(F("host_ip")),
        export=["host_ip"],
        default=False,
    )
    def ip(self, node: ComputeNode) -> str | None:
        return node.host_ip

    @column(description=_("UUID"), ordering="uuid", export=["uuid", "id"], default=False)
    def uuid(self, node: ComputeNode) -> SafeString | None:
        return format_html('<code class="uuid">{}</code>', node.uuid) if node.uuid else None

    def has_detail_permission(self, request: HttpRequest) -> bool:
        return permits(request.user, SHOW, "hypervisors.view_computenode")

    def get_row_actions(self, request: HttpRequest) -> list[ServiceAction]:
        """Those on the services of the selected hypervisors."""
        return actions_for(request.user)

    def get_urls(self) -> list[URLPattern]:
        view = self._console.form_view(self.act_view, *FORM_FIELDS)
        return [path("act/", view, name="hypervisors_computenode_act"), *super().get_urls()]

    def act_view(self, request: HttpRequest) -> HttpResponse:
        """The preview of an action on the services of the selected hypervisors."""
        return act(request, self.admin_site, self._selected_services)

    def _selected_services(self, request: HttpRequest) -> list[str]:
        services = services_of_nodes(selected_keys(request, self.admin_site, ComputeNode))
        if left_out := [*services.without, *services.not_found]:
            messages.warning(
                request,
                _("Left out, since no service was found for them: %(names)s.")
                % {"names": ", ".join(left_out)},
            )
        return services.keys

    def get_detail_context(
        self, request: HttpRequest, cell: Cell, row: ComputeNode
    ) -> dict[str, Any]:
        try:
            page = int(request.GET.get("servers", "1"))
        except ValueError:
            page = 1
        detail, missing = read_detail(cell, row, page, request.GET.get("server", ""))
        hosts = [row.host] if row.host else []
        zones = Zones(zones_of_hosts(hosts))
        service = None if detail is None else detail.service
        command = ["openstack", "hypervisor", "show", row.uuid] if row.uuid else []
        return {
            "missing": missing,
            "detail": detail,
            "may_see_servers": request.user.has_perm("hypervisors.view_instance"),
            "servers_links": [] if detail is None else _page_links(detail),
            "zone": availability_zone(COMPUTE_TOPIC, row.host, zones),
            "aggregates": aggregates_of_hosts(hosts).get(row.host or "", ()),
            "usages": usages(row),
            "cpu": cpu_of(row),
            "uptime": uptime_of(row),
            "placement": read_placement(row),
            "command": shlex.join(command),
            "disabling": disablings_of([service]).get(service.uuid or "") if service else None,
            "service_actions": [] if service is None else actions_for(request.user, service),
            "note": open_notes([(cell, row.host)]).get((cell.uuid, row.host or "")),
        }
