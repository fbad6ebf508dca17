"""``manage.py check_fleet``: what is wrong in the fleet, for people and for monitoring."""

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
from hypervisors.report import Report, Result, check_fleet

#: Exit codes, as monitoring systems read them.
EXIT_CODES = {"good": 0, "warning": 1, "bad": 2}
UNKNOWN = 3


class Command(BaseCommand):
    help = (
        "Checks all cells for problems.  Exits with 0 when there are none, 1 for warnings, 2 when "
        "servers are in danger or a cell does not answer, 3 when the check could not be made."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--cell", action="append", metavar="NAME", help="check only this cell (may be repeated)"
        )
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        parser.add_argument(
            "--all", action="store_true", help="name every finding, not only the first few"
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
        sys.exit(EXIT_CODES[report.severity])

    def write_table(self, report: Report, *, every: bool) -> None:
        """One row per problem that was found, then the cells that do not answer."""
        console = Console(file=cast(TextIO, self.stdout))
        table = Table("problem", "severity", "count", "where", "what to do", show_lines=every)
        for result in report.results:
            if result.count:
                table.add_row(
                    str(result.problem.title),
                    result.problem.severity,
                    str(result.count),
                    where(result, every=every),
                    str(result.problem.fix),
                )
        if table.row_count:
            console.print(table)
        for absent in report.missing:
            console.print(f"cell {absent.cell.name} does not answer: {absent.cause}", markup=False)
        if report.placement.remark:
            console.print(report.placement.remark, markup=False)
        if not report.count and not report.missing:
            console.print(f"{report.cells} cells checked: nothing is wrong")


def where(result: Result, *, every: bool) -> str:
    """The first findings, or every one of them."""
    shown = result.findings if every else result.findings[:3]
    lines = [
        f"{finding.subject} ({', '.join(cell.name for cell in finding.cells)})"
        if finding.cells
        else finding.subject
        for finding in shown
    ]
    lines = [
        f"{line}: {finding.remark}" if finding.remark else line
        for line, finding in zip(lines, shown, strict=True)
    ]
    if len(shown) < result.count and lines:
        lines.append(f"and {result.count - len(shown)} more")
    return "\n".join(lines)


def as_dict(report: Report) -> dict[str, Any]:
    """The report as ``--json`` prints it."""
    return {
        "status": {"good": "ok", "warning": "warning", "bad": "critical"}[report.severity],
        "problems": [as_problem(result) for result in report.results if result.count],
        "cells_not_answering": [
            {"cell": absent.cell.name, "uuid": absent.cell.uuid, "cause": absent.cause}
            for absent in report.missing
        ],
        "placement": report.placement.remark or "asked",
    }


def as_problem(result: Result) -> dict[str, Any]:
    return {
        "name": result.problem.name,
        "severity": result.problem.severity,
        "title": str(result.problem.title),
        "why": str(result.problem.why),
        "what_to_do": str(result.problem.fix),
        "count": result.count,
        "findings": [
            {
                "subject": finding.subject,
                "cells": [cell.name for cell in finding.cells],
                "hypervisors": list(finding.nodes),
                "services": list(finding.services),
                "remark": finding.remark,
            }
            for finding in result.findings
        ],
    }
