"""``manage.py cells``: the databases of all cells at a glance."""

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

#: The headings, and whether the column has numbers.
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
#: Columns that may be folded in a narrow terminal.
FOLDED = ("alias (cell-uuid)", "server")
#: From so many characters on, a terminal is wide enough for all columns.
WIDE = 140


class Command(BaseCommand):
    help = (
        "Shows every cell: where its database is, whether it answers and how fast, what is in it. "
        "Exit code 1 when a cell cannot be read."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("cells.breakers").setLevel(logging.ERROR)  # the table says it
        try:
            probes = probe_cells()
        except DatabaseError as error:
            advice = " (without a fleet yet, run: manage.py demo)" if settings.EMBEDDED else ""
            raise CommandError(
                f"the API database does not answer: {cause_of(error)}{advice}"
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps([as_json(probe) for probe in probes], indent=2))
        elif not probes:
            self.stdout.write("No cells are mapped.")
        else:
            self.table(probes)
        if not all(probe.healthy for probe in probes):
            sys.exit(1)

    def table(self, probes: list[CellProbe]) -> None:
        """A table, as wide as it needs to be; then what is wrong and what to do about it."""
        if self.stdout.isatty():
            print_table(probes)
        else:
            rows = [list(COLUMNS), *(texts_of(probe) for probe in probes)]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            for row in rows:
                aligned = (
                    text.rjust(width) if is_number else text.ljust(width)
                    for text, width, is_number in zip(row, widths, COLUMNS.values(), strict=True)
                )
                self.stdout.write("  ".join(aligned).rstrip())
        for probe in probes:
            if notes := "; ".join(filter(None, (probe.problem, probe.advice))):
                self.stdout.write(f"{probe.cell.name}: {notes}")


def print_table(probes: list[CellProbe]) -> None:
    """Print the table to a terminal, with colors and as many columns as it has room for."""
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
    for probe in probes:
        texts = dict(zip(COLUMNS, texts_of(probe), strict=True))
        row = [Text(texts[heading]) for heading in shown]
        row[-1].stylize("green" if probe.healthy else "bold red")
        table.add_row(*row)
    console.print(table)


def texts_of(probe: CellProbe) -> list[str]:
    """What each column says of the cell."""
    cell = probe.cell
    rows = probe.rows

    def number(count: int | None) -> str:
        return "-" if count is None else str(count)

    return [
        cell.name,
        cell.alias,
        cell.engine or "-",
        cell.server or "-",
        probe.schema.partition("_")[0] or "-",
        f"{1000 * probe.latency:.2f}" if probe.latency is not None else "-",
        number(rows.get(SERVICES)),
        number(probe.without_uuid.get(SERVICES, 0) if SERVICES in rows else None),
        number(rows.get("compute_nodes")),
        number(rows.get("instances")),
        state(probe),
    ]


def state(probe: CellProbe) -> str:
    """``ok``, ``unusable`` or ``unreachable``, and whether the cell is disabled."""
    word = "ok" if probe.healthy else "unusable" if probe.reachable else "unreachable"
    return f"{word}, disabled" if probe.cell.disabled else word


def as_json(probe: CellProbe) -> dict[str, Any]:
    cell = probe.cell
    return {
        "name": cell.name,
        "uuid": cell.uuid,
        "alias": cell.alias,
        "engine": cell.engine,
        "server": cell.server,
        "disabled": cell.disabled,
        "reachable": probe.reachable,
        "latency_ms": None if probe.latency is None else round(1000 * probe.latency, 2),
        "schema": probe.schema,
        "rows": probe.rows,
        "without_uuid": probe.without_uuid,
        "problem": probe.problem,
        "advice": probe.advice,
    }
