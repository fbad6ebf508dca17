"""``manage.py check_fleet``: what is wrong in the fleet, for people and for monitoring."""

import argparse
import sys
from typing import Any, TextIO, cast

from django.core.management.base import CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cells.databases import cause_of
from cells.escaping import printable
from cells.management.base import Documented, add_format, write_csv, write_json
from cells.registry import cells_named
from hypervisors.report import Report, Result, check_fleet

#: Exit codes, as monitoring systems read them.
EXIT_CODES = {"good": 0, "warning": 1, "bad": 2}
UNKNOWN = 3


class Command(Documented):
    help = (
        "Checks all cells, and placement, for problems; the exit codes are those that Nagios and "
        "its likes read."
    )
    examples = ("check_fleet", "check_fleet --cell cell1 --all", "check_fleet --format csv")
    exit_codes = {
        0: "nothing is wrong",
        1: "there are warnings",
        2: "servers are in danger, or a cell does not answer",
        UNKNOWN: "the check could not be made, or bad usage",
    }
    bad_usage = UNKNOWN

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--cell", action="append", metavar="NAME", help="check only this cell (may be repeated)"
        )
        add_format(parser)
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
        if options["format"] == "json":
            write_json(self.stdout, as_dict(report))
        elif options["format"] == "csv":
            write_csv(self.stdout, CSV_COLUMNS, csv_rows(report))
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
                    Text(where(result, every=every)),  # names are no markup
                    str(result.problem.fix),
                )
        if table.row_count:
            console.print(table)
        for absent in report.missing:
            text = printable(f"cell {absent.cell.name} does not answer: {absent.cause}")
            console.print(text, markup=False)
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
        printable(f"{line}: {finding.remark}" if finding.remark else line)
        for line, finding in zip(lines, shown, strict=True)
    ]
    if len(shown) < result.count and lines:
        lines.append(f"and {result.count - len(shown)} more")
    return "\n".join(lines)


CSV_COLUMNS = ("problem", "severity", "subject", "cells", "what to do")


def csv_rows(report: Report) -> list[list[str]]:
    """A row per finding, and one per cell that does not answer."""
    rows = [
        [
            result.problem.name,
            result.problem.severity,
            finding.subject,
            " ".join(cell.name for cell in finding.cells),
            str(result.problem.fix),
        ]
        for result in report.results
        for finding in result.findings
    ]
    return rows + [
        ["cell-not-answering", "bad", absent.cause, absent.cell.name, ""]
        for absent in report.missing
    ]


def as_dict(report: Report) -> dict[str, Any]:
    """The report as JSON."""
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
                "hypervisors": [row.key for row in finding.nodes],
                "services": [row.key for row in finding.services],
                "remark": finding.remark,
            }
            for finding in result.findings
        ],
    }
