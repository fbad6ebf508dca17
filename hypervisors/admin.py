"""Hypervisors in the console."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import CharField, F, Func, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from audit.notes import open_notes
from cells.aggregates import aggregates_of_hosts
from cells.availability_zones import zones_in, zones_of_hosts
from cells.registry import Cell
from hypervisors.detail import NodeDetail, cpu_of, read_detail, uptime_of
from hypervisors.models import ComputeNode
from hypervisors.placement_detail import read_placement
from hypervisors.problems import HOST_PROBLEMS, NODE_PROBLEMS
from portal.console.admin import AcrossCellsAdmin
from portal.console.columns import column, usage_column
from portal.console.filters import CellFilter, ChoicesFilter
from portal.console.html import ago, badge
from portal.roles import permits
from services.actions import actions_for
from services.badges import STATE_FIELDS, STATUS_FIELDS, state_badge, status_badge
from services.disablings import disablings_of
from services.list_filters import (
    FORCED_DOWN,
    STATES,
    STATUSES,
    ForcedDownFilter,
    HostAggregateFilter,
    HostZoneFilter,
    ServiceProblemFilter,
    StateFilter,
    StatusFilter,
)
from services.models import (
    COMPUTE_TOPIC,
    Zones,
    availability_zone,
    host_zone_expression,
    state_expression,
    status_expression,
)

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

NO_SERVICE = {"": _("no service")}
#: Nova's rules for the page of one hypervisor, and the permission of who may look on.
SHOW, SERVERS = "os_compute_api:os-hypervisors:show", "os_compute_api:os-hypervisors:servers"
VIEW = "hypervisors.view_computenode"


class NodeStateFilter(StateFilter):
    """The state of the node's service."""

    prefix = "service__"
    labels = {**STATES, **NO_SERVICE}


class NodeForcedDownFilter(ForcedDownFilter):
    """Whether the node's service is forced down."""

    prefix = "service__"
    labels = {**FORCED_DOWN, **NO_SERVICE}


class NodeStatusFilter(StatusFilter):
    """The status of the node's service."""

    prefix = "service__"
    labels = {**STATUSES, **NO_SERVICE}


class TypeFilter(ChoicesFilter):
    """The type of the hypervisor."""

    title = _("Type")
    parameter_name = "type"
    field_name = "hypervisor_type"


class NodeProblemFilter(ServiceProblemFilter):
    """The problems of the node, of its service, and of its host."""

    prefix = "service__"

    def get_conditions(self) -> "Mapping[str, tuple[StrOrPromise, Q]]":
        conditions: dict[str, tuple[StrOrPromise, Q]] = {
            problem.name: (problem.label, problem.condition(self.now)) for problem in NODE_PROBLEMS
        }
        conditions |= super().get_conditions()
        for problem in HOST_PROBLEMS:
            hosts = frozenset(chain.from_iterable(problem.hosts.get().values()))
            conditions[problem.name] = (problem.label, Q(host__among=hosts))
        return conditions


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
        export=["hypervisor_type", "hypervisor_version"],
    )
    def type(self, node: ComputeNode) -> SafeString:
        return format_html(
            '{} <span title="{}">{}</span>',
            node.hypervisor_type,
            node.hypervisor_version,
            node.version,
        )

    vcpus = usage_column(_("vCPUs"), "vcpus_used", "vcpus")
    memory = usage_column(_("Memory"), "memory_mb_used", "memory_mb", "MiB")
    disk = usage_column(_("Disk"), "local_gb_used", "local_gb", "GiB")

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
        return permits(request.user, SHOW, VIEW)

    def get_detail_context(
        self, request: HttpRequest, cell: Cell, row: ComputeNode
    ) -> dict[str, Any]:
        try:
            page = int(request.GET.get("servers", "1"))
        except ValueError:
            page = 1
        detail, missing = read_detail(cell, row, page)
        hosts = [row.host] if row.host else []
        zones = Zones(zones_of_hosts(hosts))
        service = None if detail is None else detail.service
        command = ["openstack", "hypervisor", "show", row.uuid] if row.uuid else []
        return {
            "missing": missing,
            "detail": detail,
            "may_see_servers": permits(request.user, SERVERS, VIEW),
            "servers_links": [] if detail is None else _page_links(detail),
            "zone": availability_zone(COMPUTE_TOPIC, row.host, zones),
            "aggregates": aggregates_of_hosts(hosts).get(row.host or "", ()),
            "cpu": cpu_of(row),
            "uptime": uptime_of(row),
            "placement": read_placement(row),
            "command": shlex.join(command),
            "disabling": disablings_of([service]).get(service.uuid or "") if service else None,
            "service_actions": [] if service is None else actions_for(request.user, service),
            "note": open_notes([(cell, row.host)]).get((cell.uuid, row.host or "")),
        }
