"""``manage.py backfill_service_uuids``: give a uuid to every live service without one."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cells.databases import cause_of
from cells.registry import Cell, all_cells, cells_named
from services.backfill import BATCH_SIZE, CellBackfill, fill, look

#: Exit codes, as of ``nova-manage db online_data_migrations``.
MORE_TO_DO, ONLY_ERRORS, BAD_INPUT = 1, 2, 127

#: Seconds between lines of progress where there is no terminal.
LINE_EVERY = 5.0


def bad_usage(parser: CommandParser, message: str) -> NoReturn:
    """What argparse does with an error, with our exit code."""
    parser.exit(BAD_INPUT, f"{parser.format_usage()}{parser.prog}: error: {message}\n")


class Command(BaseCommand):
    help = (
        "Gives a uuid to every live service without one, cell by cell. It can be run while Nova "
        "is running, several times at once, and again after it was stopped. Exit codes: 0 all "
        "done, 1 there is more to do, 2 only errors are left, 127 bad input."
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(*args, **kwargs)
        if parser.called_from_command_line:
            # argparse exits with 2, which is the code for "only errors are left" here.
            parser.error = partial(bad_usage, parser)  # type: ignore[method-assign]
        return parser

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
        self.report(works)
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
        if not self.stdout.isatty():
            last = time.monotonic()

            def line(work: CellBackfill) -> None:
                nonlocal last
                if time.monotonic() - last >= LINE_EVERY:
                    last = time.monotonic()
                    self.stdout.write(f"{work.cell}: {work.done} of {work.found}")

            self.show = line
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console()) as bar:
            task = bar.add_task(str(work.cell), total=work.found)
            self.show = lambda work: bar.update(task, completed=work.done)
            yield

    def report(self, works: list[CellBackfill]) -> None:
        """Print a table of what was found and done in each cell."""
        width = max([len("cell"), *(len(str(work.cell)) for work in works)])
        self.stdout.write(f"{'cell':{width}}  {'found':>9}  {'done':>9}")
        for work in works:
            found = "-" if work.error and not work.found else str(work.found)
            row = f"{work.cell!s:{width}}  {found:>9}  {work.done:>9}"
            self.stdout.write(f"{row}  {work.error}".rstrip())
