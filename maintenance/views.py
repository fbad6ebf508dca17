"""The console's pages about maintenances that no ModelAdmin has: requesting them, the calendar."""

import calendar
import datetime
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Model
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext
from django.views.decorators.http import require_POST

from audit.journal import Refused, actor_of
from audit.models import Channel
from hypervisors.models import ComputeNode
from hypervisors.node_services import services_of_nodes
from maintenance import control
from maintenance.forms import StartForm
from maintenance.models import Maintenance
from maintenance.plans import PLANS, Plan, Preflight, preflights
from portal.console.selection import TooManySelected, selected_keys
from portal.console.site import console
from portal.console.stored_texts import translated
from services.facts import FactsByKey, facts_by_key
from services.models import Service

#: How many hosts one page requests the maintenance of.
MAX_HOSTS = 200
LIST = "admin:maintenance_maintenance_changelist"
DETAIL = "admin:maintenance_maintenance_change"
#: What the lists that offer plans are of.
_MODELS: dict[str, type[Model]] = {"services": Service, "hypervisors": ComputeNode}


@dataclass(frozen=True)
class Row:
    """A host on the page that asks for confirmation; ``typed`` is what was typed as its name."""

    preflight: Preflight
    typed: str
    commands: list[str]

    @property
    def is_typed_right(self) -> bool:
        return self.typed == self.preflight.host


def start(request: HttpRequest) -> HttpResponse:
    """Show what a plan would do to the selected hosts; when that has been confirmed, request it."""
    params = request.POST if request.method == "POST" else request.GET
    plan = PLANS.get(params.get("action", ""))
    if plan is None:
        raise BadRequest(gettext_noop("no such plan"))
    if not request.user.has_perms(plan.permissions):
        raise PermissionDenied
    of = params.get("of") or request.GET.get("of", "")
    back = _back_url(request, params.get("back", ""))
    try:
        keys = selected_keys(request, console, _MODELS.get(of, Service), MAX_HOSTS)
    except TooManySelected as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(back)
    if not keys:
        messages.warning(request, _("No host was selected."))
        return HttpResponseRedirect(back)
    services = _services(plan, keys, of)
    is_filled_in = "check" in params or "confirm" in params
    form = StartForm(
        params if is_filled_in else None,
        plan=plan.name,
        hosts=len(services.facts),
        initial=_former_options(params.get("again", "")),
    )
    is_valid = form.is_valid()
    checked = preflights(plan, services.facts.values(), form.options())
    rows = [_row(request, plan, preflight) for preflight in checked]
    found = [row.preflight.key for row in rows]
    # Their cell may be back when the form is checked again; hypervisors' keys are no services'.
    keys = found if of == "hypervisors" else [*found, *services.not_found]
    errors: list[str] = []
    if "confirm" in request.POST and is_valid:
        ready = [
            row.preflight
            for row in rows
            if not row.preflight.blockers and (row.is_typed_right or not plan.asks_host)
        ]
        if ready:
            try:
                options = form.options()
                made = control.start(plan, ready, options, actor_of(request, Channel.CONSOLE))
                return HttpResponseRedirect(_requested(request, made, len(rows)))
            except Refused as refusal:
                errors.append(translated(refusal.message))
        elif any(not row.preflight.blockers for row in rows):
            errors.append(_("No host name was typed as it is; nothing has been requested."))
    elif "confirm" not in request.POST:
        form.errors.clear()  # of a form that is only to be checked
    context = {
        **console.each_context(request),
        "title": plan.label,
        "plan": plan,
        "form": form,
        "rows": rows,
        "possible": sum(not row.preflight.blockers for row in rows),
        "keys": keys,
        "not_found": services.not_found,
        "missing": services.missing,
        "errors": errors,
        "back": back,
    }
    return TemplateResponse(request, "admin/maintenance/start.html", context)


def _services(plan: Plan, keys: Sequence[str], of: str) -> FactsByKey:
    """The services with these keys, or those of the hypervisors with them."""
    if of != "hypervisors":
        return facts_by_key(keys, plan.decided_by, placement=plan.asks_placement)
    of_nodes = services_of_nodes(keys)
    services = facts_by_key(of_nodes.keys, plan.decided_by, placement=plan.asks_placement)
    silent = {one.cell: one for one in (*of_nodes.missing, *services.missing)}
    not_found = [*of_nodes.without, *of_nodes.not_found, *services.not_found]
    return FactsByKey(services.facts, not_found, list(silent.values()))


def _row(request: HttpRequest, plan: Plan, preflight: Preflight) -> Row:
    typed = request.POST.get(f"host:{preflight.key}", "").strip()
    return Row(preflight, typed, plan.commands(preflight))


#: What of the form is found again by who has to log in before it can be sent.
FORM_FIELDS = (
    "action",
    "of",
    "key",
    "all_matching",
    "query",
    "again",
    "back",
    "check",
    "confirm",
    *StartForm.base_fields,
)


def _former_options(pk: str) -> dict[str, Any]:
    """What was chosen for a maintenance that is to be tried again."""
    names = ("reason", "ticket", "until", "move_stopped", "target", "at_once")
    rows = Maintenance.objects.filter(pk=int(pk)) if pk.isdecimal() and len(pk) < 10 else ()
    return {name: getattr(former, name) for former in rows for name in names}


def _requested(request: HttpRequest, made: Sequence[Maintenance], asked: int) -> str:
    """Say what has been requested; returns the page that shows it."""
    if len(made) == asked == 1:
        return reverse(DETAIL, args=[made[0].pk])
    words = ngettext(
        "The maintenance of %(n)d host of %(asked)d has been requested.",
        "The maintenance of %(n)d hosts of %(asked)d has been requested.",
        len(made),
    )
    level = messages.SUCCESS if len(made) == asked else messages.WARNING
    messages.add_message(request, level, words % {"n": len(made), "asked": asked})
    return reverse(LIST)


def _back_url(request: HttpRequest, url: str) -> str:
    if url.startswith("/") and url_has_allowed_host_and_scheme(url, {request.get_host()}):
        return url
    return reverse(LIST)


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Begin no more moves."""
    return _ask(request, pk, control.stop, _("No more moves are begun."))


@require_POST
def give_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the host."""
    return _ask(request, pk, control.give_back, _("The host is being returned."))


def _ask(request: HttpRequest, pk: int, ask: Any, done: str) -> HttpResponse:
    if not request.user.has_perm("maintenance.change_maintenance"):
        raise PermissionDenied
    maintenance = Maintenance.objects.filter(pk=pk).first()
    if maintenance is None:
        return HttpResponseRedirect(reverse(LIST))
    if not request.user.has_perms(
        [action.permission for action in PLANS[maintenance.plan].actions]
    ):
        raise PermissionDenied
    try:
        ask(maintenance, actor_of(request, Channel.CONSOLE))
    except Refused as refusal:
        messages.error(request, translated(refusal.message))
    else:
        messages.success(request, done)
    return HttpResponseRedirect(reverse(DETAIL, args=[pk]))


# --- the calendar -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Day:
    """A day of the calendar with its windows; ``is_of_month`` is not so of those at its ends."""

    date: datetime.date
    is_of_month: bool
    is_today: bool
    windows: list[Maintenance]


def windows_of(month: datetime.date) -> list[list[Day]]:
    """The weeks of a month, each day with the maintenances that are planned on it, in UTC."""
    weeks = calendar.Calendar().monthdatescalendar(month.year, month.month)
    first, last = _midnight(weeks[0][0]), _midnight(weeks[-1][-1]) + datetime.timedelta(days=1)
    ends = Coalesce("ended_at", "until", "starts_at")
    found = Maintenance.objects.annotate(ends=ends).filter(starts_at__lt=last, ends__gte=first)
    by_date: dict[datetime.date, list[Maintenance]] = defaultdict(list)
    for maintenance in found.order_by("starts_at", "host"):
        begins, end = maintenance.starts_at, maintenance.ends  # type: ignore[attr-defined]
        date = max(begins, first).astimezone(datetime.UTC).date()
        while date <= min(end, last).astimezone(datetime.UTC).date():
            by_date[date].append(maintenance)
            date += datetime.timedelta(days=1)
    today = timezone.now().astimezone(datetime.UTC).date()
    return [
        [Day(date, date.month == month.month, date == today, by_date[date]) for date in week]
        for week in weeks
    ]


def _midnight(date: datetime.date) -> datetime.datetime:
    return datetime.datetime(date.year, date.month, date.day, tzinfo=datetime.UTC)


def month_calendar(request: HttpRequest) -> HttpResponse:
    """The planned windows of a month: ``?month=2026-01``."""
    if not request.user.has_perm("maintenance.view_maintenance"):
        raise PermissionDenied
    try:
        month = datetime.date.fromisoformat(f"{request.GET['month']}-01")
        before, after = month - datetime.timedelta(days=1), month + datetime.timedelta(days=31)
    except (KeyError, ValueError, OverflowError):
        month = timezone.now().astimezone(datetime.UTC).date().replace(day=1)
        before, after = month - datetime.timedelta(days=1), month + datetime.timedelta(days=31)
    weeks = windows_of(month)
    context = {
        **console.each_context(request),
        "title": _("Calendar"),
        "month": month,
        "weeks": weeks,
        "weekdays": [day.date for day in weeks[0]],
        "before": f"{before:%Y-%m}",
        "after": f"{after:%Y-%m}",
        "list_url": reverse(LIST),
    }
    return TemplateResponse(request, "admin/maintenance/calendar.html", context)
