"""``manage.py check_fleet``: what is wrong in the fleet."""

import argparse
import json
import sys
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table

from cells.databases import cause_of
from cells.registry import cells_named
from hypervisors.report import Problem, Report, check_fleet

#: Exit codes, as monitoring systems read them.
EXIT = {"good": 0, "warning": 1, "bad": 2}
UNKNOWN = 3


class Command(BaseCommand):
    help = (
        "Looks for what is wrong in all cells.  Exits with 0 when all is well, 1 for warnings, "
        "2 when servers are in danger or a cell does not answer, 3 when nothing could be found out."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--cell", action="append", metavar="NAME", help="only this cell")
        parser.add_argument("--json", action="store_true", help="JSON instead of a table")
        parser.add_argument(
            "--all", action="store_true", help="name every finding, not only how many there are"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            cells = cells_named(options["cell"]) if options["cell"] else None
            report = check_fleet(cells)
        except LookupError as error:
            raise CommandError(str(error), returncode=UNKNOWN) from None
        except DatabaseError as error:
            message = f"the API database does not answer: {cause_of(error)}"
            raise CommandError(message, returncode=UNKNOWN) from None
        if options["json"]:
            self.stdout.write(json.dumps(as_dict(report), indent=2, ensure_ascii=False))
        else:
            self.write_table(report, every=options["all"])
        sys.exit(EXIT[report.severity])

    def write_table(self, report: Report, *, every: bool) -> None:
        """A row a problem, then what does not answer."""
        console = Console(file=cast(TextIO, self.stdout))
        table = Table("problem", "severity", "count", "where", "what to do", show_lines=every)
        for problem in report.problems:
            if problem.count:
                table.add_row(
                    str(problem.kind.title),
                    problem.kind.severity,
                    str(problem.count),
                    where(problem, every=every),
                    str(problem.kind.what_to_do),
                )
        if table.row_count:
            console.print(table)
        for one in report.missing:
            console.print(f"cell {one.cell.name} does not answer: {one.cause}", markup=False)
        if not report.count and not report.missing:
            console.print(f"{report.cells} cells: nothing is wrong")


def where(problem: Problem, *, every: bool) -> str:
    """The first findings (or every one that is kept)."""
    shown = problem.findings if every else problem.findings[:3]
    lines = [
        f"{finding.subject} ({', '.join(cell.name for cell in finding.cells)})" for finding in shown
    ]
    if len(shown) < problem.count and lines:
        lines.append(f"and {problem.count - len(shown)} more")
    return "\n".join(lines)


def as_dict(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "status": {"good": "ok", "warning": "warning", "bad": "critical"}[report.severity],
        "problems": [
            {
                "name": problem.kind.name,
                "severity": problem.kind.severity,
                "title": str(problem.kind.title),
                "why": str(problem.kind.why),
                "what_to_do": str(problem.kind.what_to_do),
                "count": problem.count,
                "findings": [
                    {
                        "subject": finding.subject,
                        "cells": [cell.name for cell in finding.cells],
                        "hypervisors": list(finding.nodes),
                        "services": list(finding.services),
                    }
                    for finding in problem.findings
                ],
            }
            for problem in report.problems
            if problem.count
        ],
        "cells_not_answering": [
            {"cell": one.cell.name, "uuid": one.cell.uuid, "cause": one.cause}
            for one in report.missing
        ],
    }
