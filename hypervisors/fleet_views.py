"""The console's pages that are about no single model: overview, problems."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.accounts import LOG_IN, LOG_OUT
from audit.models import Entry
from hypervisors.findings import FleetProblem
from hypervisors.overview import CellOverview, overview
from hypervisors.problems import HOST_PROBLEMS, NODE_PROBLEMS
from hypervisors.report import latest_report, missing_now, report_given
from portal.console.site import console
from portal.console.sorting import SortColumn, sorted_table
from services.problems import SERVICE_PROBLEMS, Problem

LAST_ACTIONS = 5
#: Up to how many cells the overview has the table of, beside the map.
CELLS_IN_TABLE = 8
FLEET_PERMISSIONS = ("hypervisors.view_computenode", "services.view_service")
HYPERVISORS = "admin:hypervisors_computenode_changelist"
SERVICES = "admin:services_service_changelist"


def may_see_fleet(request: HttpRequest) -> bool:
    """Whether the user may see hypervisors and services."""
    return request.user.has_perms(FLEET_PERMISSIONS)


def overview_context(request: HttpRequest) -> dict[str, Any]:
    """What the overview shows."""
    if not may_see_fleet(request):
        return {"overview": None}
    shown = overview()
    report = report_given(shown.missing)
    actions = (
        list(
            Entry.objects.filter(bulk_position__lte=1).exclude(action__in=(LOG_IN, LOG_OUT))[
                :LAST_ACTIONS
            ]
        )
        if request.user.has_perm("audit.view_entry")
        else None
    )
    if shown.missing or report.severity == "bad":
        verdict = "bad"
    elif shown.total.hypervisors["down"] or report.count:
        verdict = "warning"
    else:
        verdict = "good"
    return {
        "overview": shown,
        "report": report,
        "verdict": verdict,
        "cells_in_table": CELLS_IN_TABLE,
        "actions": actions,
        "now": timezone.now(),
    }


#: The columns of the table of all cells.
CELL_COLUMNS: tuple[SortColumn[CellOverview], ...] = (
    SortColumn("name", gettext_lazy("Cell"), lambda row: row.cell.name),
    SortColumn("state", gettext_lazy("State"), lambda row: row.numbers is not None),
    SortColumn(
        "down",
        gettext_lazy("Hypervisors"),
        lambda row: row.numbers.hypervisors["down"] if row.numbers else None,
        largest_first=True,
    ),
    SortColumn(
        "services",
        gettext_lazy("Services"),
        lambda row: row.numbers.services["down"] if row.numbers else None,
        largest_first=True,
    ),
    SortColumn("vcpus", gettext_lazy("vCPUs"), lambda row: row.used("vcpus"), largest_first=True),
    SortColumn(
        "memory", gettext_lazy("Memory"), lambda row: row.used("memory"), largest_first=True
    ),
    SortColumn("disk", gettext_lazy("Disk"), lambda row: row.used("disk"), largest_first=True),
)


def fleet_cells(request: HttpRequest) -> HttpResponse:
    """What is in each cell, sorted by what is down, or how full it is: worst first by default."""
    if not may_see_fleet(request):
        raise PermissionDenied
    shown = overview()
    context = {
        **console.each_context(request),
        "title": _("Cells by load"),
        "missing": shown.missing,
        "table": sorted_table(request, shown.cells, CELL_COLUMNS, lambda row: row.rank),
    }
    return TemplateResponse(request, "admin/overview_cells.html", context)


def index(request: HttpRequest) -> HttpResponse:
    """The overview, the console's first page."""
    context = {"is_overview": True, "title": console.index_title, **overview_context(request)}
    return console.index(request, context)


def overview_part(request: HttpRequest) -> HttpResponse:
    """The changing part of the overview alone, which the page fetches to stay fresh."""
    if not may_see_fleet(request):
        raise PermissionDenied
    context = {**console.each_context(request), **overview_context(request)}
    return TemplateResponse(request, "admin/overview.html", context)


def problems(request: HttpRequest) -> HttpResponse:
    """What is wrong in the fleet, why it matters and what to do."""
    if not may_see_fleet(request):
        raise PermissionDenied
    present = missing_now()
    report = latest_report.get(max_age=1) if "now" in request.GET else report_given(present)
    context = {
        **console.each_context(request),
        "title": _("Problems"),
        "report": report,
        "found": [
            (result, list_url(result.problem), page_url(request, result.problem))
            for result in report.results
            if result.count
        ],
        "absent": report.not_found,
        "missing": list({one.cell: one for one in (*report.missing, *present)}.values()),
    }
    return TemplateResponse(request, "admin/problems.html", context)


def page_url(request: HttpRequest, problem: Problem) -> str:
    """The page on which the user can mend the problem; empty if there is none for them."""
    url_name, permission = problem.page
    return reverse(url_name) if url_name and request.user.has_perm(permission) else ""


def list_url(problem: Problem) -> str:
    """The list of just the rows that have the problem; empty where no filter can tell them."""
    for view, filtered_by in (
        (SERVICES, SERVICE_PROBLEMS),
        (HYPERVISORS, (*NODE_PROBLEMS, *HOST_PROBLEMS)),
    ):
        if problem in filtered_by:
            return f"{reverse(view)}?problem={problem.name}"
    if isinstance(problem, FleetProblem) and problem.services_query:
        return f"{reverse(SERVICES)}?{problem.services_query}"
    return ""
