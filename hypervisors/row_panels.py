"""What the pages of one hypervisor or service show of what is wrong with it."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from cells.fields import flag
from cells.locate import key_of
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from hypervisors.findings import FleetProblem
from hypervisors.fleet_views import may_see_fleet
from hypervisors.models import ComputeNode
from hypervisors.problems import NODE_PROBLEMS, PROBLEMS
from hypervisors.report import latest_report
from portal.console.site import Panel
from portal.console.stored_texts import translated
from services.models import Service
from services.problems import SERVICE_PROBLEMS, Problem, RowProblem


def problems_panel(request: HttpRequest, cell: Cell, row: Any) -> Panel | None:
    """The problems of the row, worst first; ``None`` if nothing is wrong with it.

    What its own database tells is asked for now; the rest is from the latest check of the fleet,
    whose age is shown.
    """
    if not may_see_fleet(request):
        return None
    report = latest_report.get()
    present = _present_problems(cell, row)
    keys = {key_of(cell, row)}
    if isinstance(row, ComputeNode) and row.host and (service := _service_of(cell, row)):
        keys.add(key_of(cell, service))
    found: dict[str, dict[str, Any]] = {
        problem.name: {"problem": problem, "remarks": [], "at": None} for problem in present
    }
    for problem, finding in (one for key in keys for one in report.by_key.get(key, ())):
        if isinstance(problem, FleetProblem) and problem.severity != "info":
            shown = found.setdefault(
                problem.name, {"problem": problem, "remarks": [], "at": report.at}
            )
            subject = "" if finding.subject in (row.host, str(row)) else finding.subject
            remark = ": ".join(map(translated, filter(None, (subject, finding.remark))))
            if remark and remark not in shown["remarks"]:
                shown["remarks"].append(remark)
    problems = [found[problem.name] for problem in PROBLEMS if problem.name in found]
    if not problems:
        return None
    context = {"problems": problems, "severity": problems[0]["problem"].severity}
    return Panel("admin/hypervisors/row_problems.html", context, on_top=True)


def _service_of(cell: Cell, node: ComputeNode) -> Service | None:
    answers = ask_cells([cell], lambda cell: node.service)
    return answers.by_cell.get(cell)


def _present_problems(cell: Cell, row: Any) -> list[Problem]:
    """The problems that the row has now by its own database; none if that does not answer."""
    now = timezone.now()
    conditions = [(problem, problem.condition(now)) for problem in _of_rows(type(row))]
    if isinstance(row, ComputeNode):
        conditions += [(one, one.condition(now, "service__")) for one in SERVICE_PROBLEMS]
    rows = type(row).objects.filter(pk=row.pk).order_by()
    flags = [flag(condition) for _problem, condition in conditions]
    answers = ask_cells([cell], lambda cell: rows.using(cell.alias).values_list(*flags).first())
    values = answers.by_cell.get(cell) or [0] * len(conditions)
    return [one for (one, _condition), is_set in zip(conditions, values, strict=True) if is_set]


def _of_rows(model: type[Any]) -> Iterable[RowProblem]:
    return NODE_PROBLEMS if model is ComputeNode else SERVICE_PROBLEMS
