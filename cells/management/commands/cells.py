"""``manage.py cells``: the databases of all cells at a glance."""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError

from cells.databases import cause_of
from cells.escaping import printable
from cells.management.base import (
    Column,
    Documented,
    add_format,
    write_csv,
    write_json,
    write_table,
)
from cells.probes import SERVICES, CellProbe, probe_cells


def style(text: str) -> str:
    """Of a cell's state."""
    return "green" if text.startswith("ok") else "bold red"


COLUMNS = (
    Column("name"),
    Column("alias (cell-uuid)", folds=True),
    Column("engine"),
    Column("server", folds=True),
    Column("schema", only_wide=True),
    Column("ms", is_number=True),
    Column("services", is_number=True),
    Column("no uuid", is_number=True),
    Column("nodes", is_number=True),
    Column("instances", is_number=True),
    Column("state", style=style),
)


@contextmanager
def _quiet_breakers() -> Iterator[None]:
    """Without log lines about cells that do not answer: the table says it."""
    breakers = logging.getLogger("cells.breakers")
    level = breakers.level
    breakers.setLevel(logging.ERROR)
    try:
        yield
    finally:
        breakers.setLevel(level)


class Command(Documented):
    help = (
        "Shows every cell: where its database is, whether it answers and how fast, what is in it."
    )

    examples = ("cells", "cells --format csv > cells.csv")
    exit_codes = {1: "a cell cannot be read, or the API database"}

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _quiet_breakers():
                probes = probe_cells()
        except DatabaseError as error:
            advice = " (without a fleet yet, run: manage.py demo)" if settings.EMBEDDED else ""
            raise CommandError(
                f"the API database does not answer: {cause_of(error)}{advice}"
            ) from None
        if options["format"] == "json":
            write_json(self.stdout, [as_json(probe) for probe in probes])
        elif options["format"] == "csv":
            names = [column.name for column in COLUMNS]
            rows = [[*texts_of(probe), probe.problem, probe.advice] for probe in probes]
            write_csv(self.stdout, [*names, "problem", "advice"], rows)
        elif not probes:
            self.stdout.write("No cells are mapped.")
        else:
            self.table(probes)
        if not all(probe.healthy for probe in probes):
            sys.exit(1)

    def table(self, probes: list[CellProbe]) -> None:
        """A table, as wide as it needs to be; then what is wrong and what to do about it."""
        write_table(self.stdout, COLUMNS, [texts_of(probe) for probe in probes])
        for probe in probes:
            if notes := "; ".join(filter(None, (probe.problem, probe.advice))):
                self.stdout.write(printable(f"{probe.cell.name}: {notes}"))


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
