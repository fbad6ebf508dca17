"""Maintenances in the console: all of them, and the page of each; its part of a host's page."""

import datetime
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit.journal import Refused, actor_of
from audit.models import Channel
from cells.locate import key_of
from cells.registry import Cell
from maintenance import control, engine, leases
from maintenance.control import RETURNABLE
from maintenance.models import LEFT, Fate, Maintenance, PlanName, Server, State
from maintenance.moves import counts
from maintenance.plans import PLANS, plans_for
from portal.console.admin import BoundedQueryMixin, ReadOnlyAdminMixin
from portal.console.html import DASH, badge, moment
from portal.console.site import ListAction, Panel, console
from portal.console.stored_texts import translated
from services.exceptions import Conflict
from services.models import NOVA_COMPUTE

#: The badge of each state, and of each fate of a server.
BADGES = {
    State.PLANNED: "unknown",
    State.DISABLING: "warning",
    State.EMPTYING: "warning",
    State.EMPTY: "off",
    State.RETURNING: "warning",
    State.DONE: "good",
    State.STOPPING: "warning",
    State.STOPPED: "off",
    State.FAILED: "bad",
}
FATE_BADGES = dict.fromkeys(Fate, "warning") | {
    Fate.WAITING: "unknown",
    Fate.MOVED: "good",
    Fate.GONE: "off",
    Fate.STUCK: "bad",
    Fate.FAILED: "bad",
}

#: A worker that is silent for so long may have died: it renews its lease before each request.
SILENT_AFTER = datetime.timedelta(seconds=10)

#: What to do in each state, in each plan.
ADVICE: dict[tuple[str, str], Any] = {
    ("", State.PLANNED): gettext_lazy("Nothing is done before it begins; “Stop” calls it off."),
    ("", State.EMPTY): gettext_lazy(
        "The host can be worked on. It takes no servers until you return it."
    ),
    (PlanName.EVACUATE, State.EMPTY): gettext_lazy(
        "Repair the host and start its nova-compute: it is forced up by itself when it has "
        "noticed that its servers are elsewhere. If it will not come back, stop this and retire it."
    ),
    (PlanName.RETIRE, State.EMPTY): gettext_lazy(
        "Stop nova-compute on the host. It is deleted by itself when it has been silent for long "
        "enough to count as down."
    ),
    ("", State.FAILED): gettext_lazy(
        "The host takes no servers. See to those that are left and try again, or return the host."
    ),
    (PlanName.EVACUATE, State.FAILED): gettext_lazy(
        "The host is still forced down. See to the servers that are left and try again; return "
        "the host when its nova-compute runs again."
    ),
    ("", State.STOPPED): gettext_lazy(
        "The host takes no servers until you return it, or try again."
    ),
    (PlanName.EVACUATE, State.STOPPED): gettext_lazy(
        "The host is still forced down. Return it when its nova-compute runs again."
    ),
}


def state_badge(maintenance: Maintenance) -> SafeString:
    """The state in the words of the plan."""
    return badge(BADGES[State(maintenance.state)], maintenance.state_label)


def progress(left: int, total: int) -> SafeString | str:
    """How many servers of how many have left the host, as a bar."""
    if not total:
        return DASH
    return format_html(
        '<span class="moves">{0} / {1} <progress value="{0}" max="{1}" aria-label="{2}">'
        "</progress></span>",
        left,
        total,
        _("Servers moved"),
    )


class OpenFilter(admin.SimpleListFilter):
    """Those that somebody still has to see to."""

    title = gettext_lazy("open")
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("under way, or not returned"))]

    def queryset(self, request: HttpRequest, rows: "QuerySet[Maintenance]") -> Any:
        return rows.open() if self.value() == "1" else rows  # type: ignore[attr-defined]


class BatchFilter(admin.SimpleListFilter):
    """Those that were requested together; links lead here."""

    title = gettext_lazy("requested together")
    parameter_name = "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        batch = request.GET.get(self.parameter_name, "")
        return [(batch, _("these hosts"))] if batch else []

    def queryset(self, request: HttpRequest, rows: "QuerySet[Maintenance]") -> Any:
        batch = self.value() or ""
        if not batch:
            return rows
        return (
            rows.filter(batch=int(batch)) if batch.isdecimal() and len(batch) < 10 else rows.none()
        )


@admin.register(Maintenance, site=console)
class MaintenanceAdmin(ReadOnlyAdminMixin, BoundedQueryMixin):
    """All maintenances, those that are over included."""

    list_display = (
        "name",
        "plan",
        "shown_state",
        "progress",
        "cell_name",
        "shown_reason",
        "username",
        "begins",
        "planned_until",
    )
    list_filter = (OpenFilter, "state", "plan", "cell_name", "username", BatchFilter)
    search_fields = ("host", "reason", "ticket", "username", "servers__uuid")
    search_help_text = gettext_lazy("Host, reason, ticket, user, or uuid of a server")
    date_hierarchy = "starts_at"
    list_per_page = 50
    actions = ("stop_selected", "return_selected")
    show_full_result_count = False
    change_list_template = "admin/maintenance/change_list.html"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Maintenance]":
        rows: QuerySet[Maintenance] = super().get_queryset(request)
        return rows.annotate(
            total=Count("servers", distinct=True),
            left=Count("servers", filter=Q(servers__fate__in=LEFT), distinct=True),
        )

    @admin.display(description=gettext_lazy("Host"), ordering="host")
    def name(self, maintenance: Maintenance) -> str:
        return maintenance.host

    @admin.display(description=gettext_lazy("State"), ordering="state")
    def shown_state(self, maintenance: Maintenance) -> SafeString:
        shown = state_badge(maintenance)
        if not maintenance.message:
            return shown
        return format_html(
            '{}<span class="reason">{}</span>', shown, translated(maintenance.message)
        )

    @admin.display(description=gettext_lazy("Servers moved"))
    def progress(self, maintenance: Any) -> SafeString | str:
        return progress(maintenance.left, maintenance.total)

    @admin.display(description=gettext_lazy("Reason"), ordering="reason")
    def shown_reason(self, maintenance: Maintenance) -> str:
        return maintenance.disabled_reason

    @admin.display(description=gettext_lazy("Begins"), ordering="starts_at")
    def begins(self, maintenance: Maintenance) -> SafeString:
        return moment(maintenance.starts_at)

    @admin.display(description=gettext_lazy("Until"), ordering="until")
    def planned_until(self, maintenance: Maintenance) -> SafeString:
        shown = moment(maintenance.ended_at or maintenance.until)
        if not maintenance.is_overdue:
            return shown
        return format_html("{} {}", shown, badge("warning", _("overdue")))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the actions are offered: nothing is edited here."""
        return bool(request.user.has_perm("maintenance.change_maintenance"))

    @admin.action(description=gettext_lazy("Stop: begin no more moves"), permissions=["change"])
    def stop_selected(self, request: HttpRequest, chosen: "QuerySet[Maintenance]") -> None:
        self._ask(request, chosen, control.stop)

    @admin.action(description=gettext_lazy("Return the hosts"), permissions=["change"])
    def return_selected(self, request: HttpRequest, chosen: "QuerySet[Maintenance]") -> None:
        self._ask(request, chosen, control.give_back)

    def _ask(self, request: HttpRequest, chosen: "QuerySet[Maintenance]", ask: Any) -> None:
        """Ask for the same of each, and say what became of it."""
        actor, asked = actor_of(request, Channel.CONSOLE), 0
        for maintenance in chosen:
            permissions = [action.permission for action in PLANS[maintenance.plan].actions]
            try:
                if not request.user.has_perms(permissions):
                    raise Conflict(_("You may not do that to this host."))
                ask(maintenance, actor)
                asked += 1
            except Refused as refusal:
                said = {"host": maintenance.host, "why": translated(refusal.message)}
                messages.error(request, _("Not done on %(host)s: %(why)s") % said)
        if asked:
            words = ngettext("Requested for %(n)d host.", "Requested for %(n)d hosts.", asked)
            messages.success(request, words % {"n": asked})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.part_view)
        part = path("<int:pk>/part/", view, name="maintenance_maintenance_part")
        return [part, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page of a maintenance."""
        context = self._context(request, object_id)
        if context is None:
            messages.warning(request, _("No such maintenance: %s.") % object_id)
            return HttpResponseRedirect(reverse("admin:maintenance_maintenance_changelist"))
        return TemplateResponse(request, "admin/maintenance/detail.html", context)

    def part_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that changes, which the page fetches to stay fresh."""
        context = self._context(request, str(pk))
        if context is None:
            raise Http404
        return TemplateResponse(request, "admin/maintenance/part.html", context)

    def _context(self, request: HttpRequest, object_id: str) -> dict[str, Any] | None:
        if not self.has_view_permission(request):
            raise PermissionDenied
        maintenance = self.get_object(request, object_id)
        if maintenance is None:
            return None
        return {
            **console.each_context(request),
            "opts": self.opts,
            "title": maintenance.host,
            "maintenance": maintenance,
            "refreshes": maintenance.due_at is not None,
            "page": context_of(request, maintenance),
        }


def context_of(request: HttpRequest, maintenance: Maintenance) -> dict[str, Any]:
    """What the page of a maintenance, and the panel on the page of its host, show."""
    servers = sorted(maintenance.servers.all(), key=lambda server: server.order)
    found = counts(servers)
    plan = PLANS[maintenance.plan]
    user = request.user
    may_change = user.has_perm("maintenance.change_maintenance") and user.has_perms(
        [action.permission for action in plan.actions]
    )
    return {
        "maintenance": maintenance,
        "badge": state_badge(maintenance),
        "silence": silence(maintenance),
        "advice": advice(maintenance),
        "counts": Counter(server.fate_label for server in servers).items(),
        "servers": [(server, badge(_badge_of(server), server.fate_label)) for server in servers],
        "progress": progress(sum(found[fate] for fate in LEFT), len(servers)),
        "may_stop": may_change and maintenance.is_active and not maintenance.stop_requested_by,
        "may_return": may_change
        and maintenance.state in RETURNABLE
        and maintenance.former is not None
        and not maintenance.return_requested_by,
        "plan": plan,
        "may_try_again": maintenance.state in (State.FAILED, State.STOPPED)
        and maintenance.active_key is None
        and user.has_perms(plan.permissions),
        "batch_url": maintenance.batch_id
        and f"{reverse('admin:maintenance_maintenance_changelist')}?batch={maintenance.batch_id}",
    }


def _badge_of(server: Server) -> str:
    """The badge of a server's fate; what went wrong with one that was moved is not green."""
    if server.fate == Fate.MOVED and server.cause:
        return "warning"
    return FATE_BADGES[Fate(server.fate)]


def silence(maintenance: Maintenance) -> str:
    """That its worker may have died; empty as long as there is no sign of that."""
    silent = leases.silent_for(maintenance)
    if silent is None or silent < SILENT_AFTER:
        return ""
    words = _(
        "Nothing was heard of its worker for %(silent)d s. If it has died, another goes on "
        "%(after)d s after it was last heard of."
    )
    after = leases.DURATION + engine.LOST_AFTER
    return words % {"silent": silent.total_seconds(), "after": after.total_seconds()}


def advice(maintenance: Maintenance) -> Any:
    """What to do now; empty where there is nothing to do but to wait."""
    if maintenance.return_requested_by or maintenance.state not in (*RETURNABLE, State.PLANNED):
        return ""
    if maintenance.state in (State.FAILED, State.STOPPED) and maintenance.former is None:
        return _("Nothing was done to the host.")
    return ADVICE.get((maintenance.plan, maintenance.state)) or ADVICE["", maintenance.state]


# --- on the pages of hosts ----------------------------------------------------------------------


def list_actions(of: str) -> Any:
    """The buttons below a list of services or hypervisors."""

    def actions(request: HttpRequest) -> list[ListAction]:
        url = f"{reverse('admin:maintenance_start')}?{urlencode({'of': of})}"
        return [
            ListAction(plan.name, plan.label, url, plan.dangerous, plan.follows)
            for plan in plans_for(request.user)
        ]

    return actions


def panel(request: HttpRequest, cell: Cell, row: Any) -> Panel | None:
    """The latest maintenance of the host of a compute node or nova-compute, and new ones."""
    if not request.user.has_perm("maintenance.view_maintenance") or not row.host:
        return None
    is_service = hasattr(row, "binary")
    if is_service and row.binary != NOVA_COMPUTE:
        return None
    latest = Maintenance.objects.filter(cell_uuid=cell.uuid, host=row.host).first()
    is_active = latest is not None and (latest.is_active or latest.active_key is not None)
    context = {
        "latest": None if latest is None else context_of(request, latest),
        "plans": [] if is_active else plans_for(request.user),
        "key": key_of(cell, row),
        "of": "services" if is_service else "hypervisors",
        "back": request.get_full_path(),
        "history_url": f"{reverse('admin:maintenance_maintenance_changelist')}"
        f"?{urlencode({'q': row.host})}",
    }
    return Panel("admin/maintenance/panel.html", context)
