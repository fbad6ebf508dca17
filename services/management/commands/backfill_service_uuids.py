"""``manage.py backfill_service_uuids``: give a uuid to every live service without one."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from django.core.management.base import CommandError
from django.db import DatabaseError
from rich.console import Console

from cells.databases import cause_of
from cells.management.base import (
    Column,
    Documented,
    add_format,
    progress_bar,
    rate_and_time_left,
    write_csv,
    write_json,
    write_table,
)
from cells.registry import Cell, all_cells, cells_named
from services.backfill import BATCH_SIZE, CellBackfill, fill, look

#: Exit codes, as of ``nova-manage db online_data_migrations``.
MORE_TO_DO, ONLY_ERRORS, BAD_INPUT = 1, 2, 127

#: Seconds between lines of progress where there is no terminal.
LINE_EVERY = 5.0


class Command(Documented):
    help = (
        "Gives a uuid to every live service without one, cell by cell. It can be run while Nova "
        "is running, several times at once, and again after it was stopped."
    )
    examples = (
        "backfill_service_uuids --dry-run",
        "backfill_service_uuids",
        "backfill_service_uuids --cell cell1 --max-count 10000",
    )
    exit_codes = {
        0: "all is done",
        MORE_TO_DO: "there is more to do",
        ONLY_ERRORS: "only errors are left",
    }
    bad_usage = BAD_INPUT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--cell", action="append", metavar="NAME", help="only this cell; may be repeated"
        )
        parser.add_argument("--max-count", type=int, metavar="N", help="stop after N services")
        parser.add_argument(
            "--batch-size",
            type=int,
            metavar="N",
            default=BATCH_SIZE,
            help="services in one transaction (default: %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count")
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        max_count: int | None = options["max_count"]
        if max_count is not None and max_count < 1:
            self.bad_input("--max-count must be above 0")
        if not 1 <= options["batch_size"] <= 10_000:
            self.bad_input("--batch-size must be from 1 to 10000")
        cells = self.cells(options["cell"])
        works = [look(cell) for cell in cells]
        if not options["dry_run"]:
            self.fill(works, max_count, options["batch_size"])
        self.report(works, options["format"])
        if any(work.left and not work.error for work in works):
            sys.exit(MORE_TO_DO)
        if any(work.error for work in works):
            sys.exit(ONLY_ERRORS)

    def cells(self, names: list[str] | None) -> Iterable[Cell]:
        try:
            return cells_named(names) if names else all_cells()
        except LookupError as error:
            self.bad_input(str(error.args[0]))
        except DatabaseError as error:
            raise CommandError(
                f"the API database does not answer: {cause_of(error)}", returncode=ONLY_ERRORS
            ) from None

    def bad_input(self, message: str) -> NoReturn:
        raise CommandError(message, returncode=BAD_INPUT)

    def fill(self, works: list[CellBackfill], max_count: int | None, batch_size: int) -> None:
        left = max_count
        for work in works:
            if work.error or not work.found or left == 0:
                continue
            with self.progress(work):
                for _ in fill(work, left, batch_size):
                    self.show(work)
            if left is not None:
                left -= work.done

    @contextmanager
    def progress(self, work: CellBackfill) -> Iterator[None]:
        """Show how far a cell is: with a bar on a terminal, else with a line now and then."""
        if not self.stderr.isatty():
            began = last = time.monotonic()

            def line(work: CellBackfill) -> None:
                nonlocal last
                if time.monotonic() - last >= LINE_EVERY:
                    last = time.monotonic()
                    rate = rate_and_time_left(work.done, work.found, last - began)
                    self.stderr.write(f"{work.cell}: {work.done} of {work.found} ({rate})")

            self.show = line
            yield
            return
        with progress_bar(Console(stderr=True)) as bar:
            task = bar.add_task(str(work.cell), total=work.found)
            self.show = lambda work: bar.update(task, completed=work.done)
            yield

    def report(self, works: list[CellBackfill], form: str) -> None:
        """Print what was found and done in each cell."""
        if form == "json":
            write_json(self.stdout, [as_dict(work) for work in works])
            return
        columns = (
            Column("cell"),
            Column("found", is_number=True),
            Column("done", is_number=True),
            Column("error", folds=True),
        )
        rows = [
            [
                str(work.cell),
                "-" if work.error and not work.found else str(work.found),
                str(work.done),
                work.error,
            ]
            for work in works
        ]
        if form == "csv":
            write_csv(self.stdout, [column.name for column in columns], rows)
        else:
            write_table(self.stdout, columns, rows)


def as_dict(work: CellBackfill) -> dict[str, Any]:
    """What was found and done in a cell, for JSON."""
    return {
        "cell": str(work.cell),
        "found": work.found,
        "done": work.done,
        "left": work.left,
        "error": work.error,
    }
