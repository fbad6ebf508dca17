"""Hypervisors in the console."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import CharField, F, Func, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from audit.history import history_of
from cells.availability_zones import zones_of_hosts
from cells.registry import Cell
from hypervisors.detail import cpu_of, read_detail, uptime_of
from hypervisors.models import ComputeNode
from hypervisors.problems import (
    HOST_PROBLEMS,
    find_unmapped_hosts,
    node_flags,
    unmapped_hosts_in,
)
from portal.console.admin import AcrossCellsAdmin
from portal.console.columns import Column, ListedRow
from portal.console.filters import CellFacet, Facet, FlagsFacet, ValueFacet, ZoneFacet
from portal.console.html import DASH, NOTHING, ago, badge, bar
from services.actions import actions_for
from services.admin import STATES, STATUSES
from services.badges import state_badge, status_badge
from services.models import (
    Zones,
    availability_zone,
    state_expression,
    status,
    status_expression,
)

Node = ListedRow[ComputeNode]

#: What a list reads of a compute node: not its columns of JSON, which can be large.
LISTED = (
    "uuid",
    "host",
    "hypervisor_hostname",
    "hypervisor_type",
    "hypervisor_version",
    "vcpus",
    "vcpus_used",
    "memory_mb",
    "memory_mb_used",
    "local_gb",
    "local_gb_used",
    "running_vms",
    "host_ip",
    "service",
)


class AddressText(Func):
    """An address as text, without PostgreSQL's netmask."""

    output_field = CharField()
    arity = 1
    template = "%(expressions)s"

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="HOST(%(expressions)s)", **context)


def version_text(number: int | None) -> str:
    """A hypervisor's version: 6002001 is 6.2.1, as libvirt counts; small numbers stay."""
    if number is None:
        return ""
    if number < 1_000_000:
        return str(number)
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _of_service(show: Callable[[Any], Any]) -> Callable[[Node], Any]:
    """What ``show`` makes of the node's service, or that there is none."""

    def shown(listed: Node) -> Any:
        service = listed.row.service
        return badge("warning", _("no service")) if service is None else show(service)

    return shown


def _export(value: Callable[[Any], Any]) -> Callable[[Node], Any]:
    return lambda listed: None if listed.row.service is None else value(listed.row.service)


def _bar(used: str, total: str, unit: str = "") -> Callable[[Node], Any]:
    return lambda listed: bar(getattr(listed.row, used), getattr(listed.row, total), unit)


def _uses(used: str, total: str) -> dict[str, Callable[[Node], Any]]:
    return {
        name: (lambda listed, name=name: getattr(listed.row, name))  # type: ignore[misc]
        for name in (used, total)
    }


COLUMNS = (
    Column(
        "name", _("Host name"), lambda listed: str(listed.row),
        sort="hypervisor_hostname", text=True,
        export={
            "hypervisor_hostname": lambda listed: listed.row.hypervisor_hostname,
            "host": lambda listed: listed.row.host,
        },
    ),
    Column(
        "host", _("Host"), lambda listed: listed.row.host or NOTHING, sort="host", text=True,
        default=False,
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
        sort_in=lambda cell: ZoneFacet().expression(cell), text=True,
        export={"zone": lambda listed: listed.zone},
    ),
    Column(
        "state", _("State"), _of_service(lambda service: state_badge(service, timezone.now())),
        sort=lambda: state_expression(timezone.now(), "service__"), text=True,
        export={
            "state": _export(lambda service: "up" if service.is_up() else "down"),
            "forced_down": _export(lambda service: bool(service.forced_down)),
            "last_seen_up": _export(lambda service: service.last_seen_up),
        },
    ),
    Column(
        "seen", _("Last heartbeat"), _of_service(lambda service: ago(service.last_seen_up)),
        sort=lambda: Coalesce("service__last_seen_up", "service__created_at"), default=False,
    ),
    Column(
        "status", _("Status"), _of_service(status_badge),
        sort=lambda: status_expression("service__"), text=True,
        export={
            "status": _export(lambda service: status(service.disabled)),
            "disabled_reason": _export(lambda service: service.disabled_reason),
        },
    ),
    Column(
        "type", _("Type"),
        lambda listed: format_html(
            '{} <span title="{}">{}</span>', listed.row.hypervisor_type,
            listed.row.hypervisor_version, version_text(listed.row.hypervisor_version),
        ),
        sort="hypervisor_type", text=True,
        export={
            "hypervisor_type": lambda listed: listed.row.hypervisor_type,
            "hypervisor_version": lambda listed: listed.row.hypervisor_version,
        },
    ),
    Column(
        "vcpus", _("vCPUs"), _bar("vcpus_used", "vcpus"), sort="vcpus_used", numeric=True,
        export=_uses("vcpus_used", "vcpus"),
    ),
    Column(
        "memory", _("Memory"), _bar("memory_mb_used", "memory_mb", "MiB"),
        sort="memory_mb_used", numeric=True, export=_uses("memory_mb_used", "memory_mb"),
    ),
    Column(
        "disk", _("Disk"), _bar("local_gb_used", "local_gb", "GiB"),
        sort="local_gb_used", numeric=True, export=_uses("local_gb_used", "local_gb"),
    ),
    Column(
        "servers", _("Servers"),
        lambda listed: NOTHING if listed.row.running_vms is None else listed.row.running_vms,
        sort="running_vms", numeric=True,
        export={"running_vms": lambda listed: listed.row.running_vms},
    ),
    Column(
        "ip", _("IP address"), lambda listed: listed.row.host_ip or NOTHING,
        sort=lambda: AddressText(F("host_ip")), text=True, default=False,
        export={"host_ip": lambda listed: listed.row.host_ip},
    ),
    Column(
        "uuid", _("UUID"),
        lambda listed: format_html('<code class="uuid">{}</code>', listed.row.uuid or DASH),
        sort="uuid", text=True, default=False,
        export={"uuid": lambda listed: listed.row.uuid, "id": lambda listed: listed.row.id},
    ),
)  # fmt: skip


@admin.register(ComputeNode)
class HypervisorAdmin(AcrossCellsAdmin):
    """The hypervisors of all cells, also those that Nova hides: that is what operators look for."""

    columns = COLUMNS
    default_order = ("name",)
    search_fields = (
        "hypervisor_hostname",
        "host",
        "host_ip",
        "uuid",
        "service__disabled_reason",
        "=id",
    )
    search_help_text = _("Name, host, IP address, uuid, reason or id")
    detail_template = "admin/hypervisors/computenode/detail.html"

    def whole(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        return rows.select_related("service").only(*LISTED)

    def get_facets(self, request: HttpRequest) -> Sequence[Facet]:
        now = timezone.now()
        return [
            CellFacet(),
            ZoneFacet(),
            ValueFacet(
                "state",
                _("State"),
                state_expression(now, "service__"),
                STATES | {"": _("no service")},
            ),
            ValueFacet(
                "status",
                _("Status"),
                status_expression("service__"),
                STATUSES | {"": _("no service")},
            ),
            ValueFacet("type", _("Type"), F("hypervisor_type")),
            FlagsFacet(
                "problem",
                _("Problem"),
                node_flags(now),
                any_label=_("any problem"),
                none_label=_("no problem"),
                hosts_of={
                    problem.name: (problem.label, unmapped_hosts_in) for problem in HOST_PROBLEMS
                },
                prepare=find_unmapped_hosts,
            ),
        ]

    def listed(self, rows: Sequence[tuple[Cell, ComputeNode]]) -> list[Node]:
        zones = Zones(zones_of_hosts({row.host for _cell, row in rows if row.host}))
        return [
            ListedRow(cell, row, availability_zone("compute", row.host, zones))
            for cell, row in rows
        ]

    def detail(self, request: HttpRequest, cell: Cell, row: ComputeNode) -> dict[str, Any]:
        try:
            page = int(request.GET.get("servers", "1"))
        except ValueError:
            page = 1
        found, missing = read_detail(cell, row, page)
        zones = Zones(zones_of_hosts([row.host] if row.host else []))
        service = None if found is None else found.service
        return {
            "missing": missing,
            "around": found,
            "zone": availability_zone("compute", row.host, zones),
            "cpu": cpu_of(row),
            "uptime": uptime_of(row),
            "version": version_text(row.hypervisor_version),
            "command": shlex.join(["openstack", "hypervisor", "show", row.uuid])
            if row.uuid
            else "",
            "service_actions": [] if service is None else actions_for(request.user, service),
            **history_of(request.user, row.host),
        }
