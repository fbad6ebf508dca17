"""The console's pages that are about no single model: overview, problems."""

import datetime
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.models import Entry
from hypervisors.overview import overview
from hypervisors.report import latest_report

LAST_ACTIONS = 10
FLEET_PERMISSIONS = ("hypervisors.view_computenode", "services.view_service")


def may_see_fleet(request: HttpRequest) -> bool:
    """Whether the user may see hypervisors and services."""
    return request.user.has_perms(FLEET_PERMISSIONS)


def overview_context(request: HttpRequest) -> dict[str, Any]:
    """What the overview shows."""
    if not may_see_fleet(request):
        return {"overview": None}
    shown, report = overview(), latest_report()
    actions = (
        list(Entry.objects.all()[:LAST_ACTIONS])
        if request.user.has_perm("audit.view_entry")
        else None
    )
    down = shown.total.hypervisors["down"]
    if shown.missing or report.severity == "bad":
        verdict = "bad"
    elif down or report.count:
        verdict = "warning"
    else:
        verdict = "good"
    return {
        "overview": shown,
        "report": report,
        "verdict": verdict,
        "actions": actions,
        "now": timezone.now(),
    }


def index(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The overview, the console's first page."""
    context = {"is_overview": True, "title": site.index_title, **overview_context(request)}
    return site.index(request, context)


def overview_part(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The changing part of the overview alone, which the page fetches to stay fresh."""
    if not may_see_fleet(request):
        raise PermissionDenied
    context = {**site.each_context(request), **overview_context(request)}
    return TemplateResponse(request, "admin/overview.html", context)


def problems(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """What is wrong in the fleet, why it matters and what to do."""
    if not may_see_fleet(request):
        raise PermissionDenied
    report = latest_report(seconds=1) if "now" in request.GET else latest_report()
    context = {
        **site.each_context(request),
        "title": _("Problems"),
        "report": report,
        "found": [problem for problem in report.problems if problem.count],
        "absent": [problem for problem in report.problems if not problem.count],
        "missing": report.missing,
        "at": datetime.datetime.fromtimestamp(report.at, datetime.UTC),
    }
    return TemplateResponse(request, "admin/problems.html", context)
