"""``manage.py cells``: each cell's database at a glance."""

import argparse
import json
import logging
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cells.databases import cause_of
from cells.probes import SERVICES, CellProbe, probe_cells

#: Headings, and whether the column holds numbers.
COLUMNS = {
    "name": False,
    "alias (cell-uuid)": False,
    "engine": False,
    "server": False,
    "schema": False,
    "ms": True,
    "services": True,
    "no uuid": True,
    "nodes": True,
    "instances": True,
    "state": False,
}
#: Those that a narrow terminal may show on several lines.
FOLDED = ("alias (cell-uuid)", "server")
#: Columns of a terminal that is wide enough for all of them.
WIDE = 140


class Command(BaseCommand):
    help = (
        "Shows every cell: where its database is, whether it answers and how fast, what is in it. "
        "Exit code 1 when a cell cannot be read."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("cells.executors").setLevel(logging.ERROR)  # said below
        try:
            checks = probe_cells()
        except DatabaseError as error:
            advice = " (without a fleet yet, run: manage.py demo)" if settings.EMBEDDED else ""
            raise CommandError(
                f"the API database does not answer: {cause_of(error)}{advice}"
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps([as_json(check) for check in checks], indent=2))
        elif not checks:
            self.stdout.write("No cells are mapped.")
        else:
            self.table(checks)
        if not all(check.healthy for check in checks):
            sys.exit(1)

    def table(self, checks: list[CellProbe]) -> None:
        """A table, as wide as it needs to be; then what is wrong and what to do."""
        if self.stdout.isatty():
            console = Console()
            shown = [heading for heading in COLUMNS if heading != "schema" or console.width >= WIDE]
            table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
            for heading in shown:
                table.add_column(
                    heading,
                    justify="right" if COLUMNS[heading] else "left",
                    overflow="fold",
                    no_wrap=heading not in FOLDED,
                )
            for check in checks:
                texts = dict(zip(COLUMNS, line(check), strict=True))
                row = [Text(texts[heading]) for heading in shown]
                row[-1].stylize("green" if check.healthy else "bold red")
                table.add_row(*row)
            console.print(table)
        else:
            lines = [list(COLUMNS), *(line(check) for check in checks)]
            widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
            for one in lines:
                aligned = (
                    text.rjust(width) if number else text.ljust(width)
                    for text, width, number in zip(one, widths, COLUMNS.values(), strict=True)
                )
                self.stdout.write("  ".join(aligned).rstrip())
        for check in checks:
            said = "; ".join(text for text in (check.problem, check.advice) if text)
            if said:
                self.stdout.write(f"{check.cell.name}: {said}")


def line(check: CellProbe) -> list[str]:
    """The texts of a row."""
    cell = check.cell
    rows = check.rows

    def number(count: int | None) -> str:
        return "-" if count is None else str(count)

    return [
        cell.name,
        cell.alias,
        cell.engine or "-",
        cell.server or "-",
        check.schema.partition("_")[0] or "-",
        f"{1000 * check.latency:.2f}" if check.latency is not None else "-",
        number(rows.get(SERVICES)),
        number(check.without_uuid.get(SERVICES, 0) if SERVICES in rows else None),
        number(rows.get("compute_nodes")),
        number(rows.get("instances")),
        state(check),
    ]


def state(check: CellProbe) -> str:
    """``ok``, ``too old`` or ``unreachable``, and whether the cell is disabled."""
    word = "ok" if check.healthy else "unusable" if check.reachable else "unreachable"
    return f"{word}, disabled" if check.cell.disabled else word


def as_json(check: CellProbe) -> dict[str, Any]:
    cell = check.cell
    return {
        "name": cell.name,
        "uuid": cell.uuid,
        "alias": cell.alias,
        "engine": cell.engine,
        "server": cell.server,
        "disabled": cell.disabled,
        "reachable": check.reachable,
        "latency_ms": None if check.latency is None else round(1000 * check.latency, 2),
        "schema": check.schema,
        "rows": check.rows,
        "without_uuid": check.without_uuid,
        "problem": check.problem,
        "advice": check.advice,
    }
