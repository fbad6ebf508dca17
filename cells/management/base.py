"""What the commands share: help with examples and exit codes, and data in three formats."""

import csv
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, TypeAlias

from django.core.management.base import (
    BaseCommand,
    CommandParser,
    DjangoHelpFormatter,
    OutputWrapper,
)
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from cells.escaping import csv_value, printable
from cells.names import did_you_mean

Texts: TypeAlias = Sequence[str]

FORMATS = ("table", "json", "csv")
#: From so many characters on, a terminal is wide enough for all columns.
WIDE = 140


class Help(DjangoHelpFormatter):
    """Leaves the lines of the epilog as they are: they are commands to copy."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:
            return super()._fill_text(text, width, indent)
        return textwrap.indent(text, indent)


class Documented(BaseCommand):
    """A command whose ``--help`` has examples and exit codes, and which knows what was meant."""

    #: What follows the name of the program.
    examples: ClassVar[tuple[str, ...]] = ()
    #: What each exit code means, besides 0 and those of a failure (1) and of bad usage.
    exit_codes: ClassVar[dict[int, str]] = {}
    #: How it ends when the command line cannot be understood.
    bad_usage = 2

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("formatter_class", Help)
        kwargs.setdefault("epilog", self._epilog())
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if parser.called_from_command_line:

            def error(message: str) -> NoReturn:
                message += nearest_option(parser, message)
                usage = f"{parser.format_usage()}{parser.prog}: error: {message}\n"
                parser.exit(self.bad_usage, usage)

            parser.error = error  # type: ignore[method-assign]
        return parser

    def _epilog(self) -> str:
        codes = {0: "it is done", 1: "it failed", self.bad_usage: "bad usage"} | self.exit_codes
        return "\n".join(
            [
                "examples:",
                *(f"  {{prog}} {example}" for example in self.examples),
                "",
                "exit codes:",
                *(f"  {code:<4} {text}" for code, text in sorted(codes.items())),
            ]
        ).replace("{prog}", "nova-cells")


def nearest_option(parser: CommandParser, message: str) -> str:
    """What to add to argparse's message about an option that there is not."""
    unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
    options = [text for action in parser._actions for text in action.option_strings]
    return did_you_mean(unknown[1], options) if unknown else ""


# --- data -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """A column of what is printed."""

    name: str
    is_number: bool = False
    #: May be folded where the terminal is narrow, or is left out there.
    folds: bool = False
    only_wide: bool = False
    #: The style of a text on a terminal.
    style: Callable[[str], str] = lambda text: ""


def add_format(parser: Any, *, formats: Sequence[str] = FORMATS) -> None:
    """Add ``--format``; ``--json`` is short for one of them."""
    parser.add_argument(
        "--format", choices=formats, default=formats[0], help="how data is printed (%(default)s)"
    )
    if "json" in formats:
        parser.add_argument(
            "--json", action="store_const", const="json", dest="format", help="--format json"
        )


def write_json(out: OutputWrapper, document: Any) -> None:
    out.write(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def write_csv(out: OutputWrapper, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([names, *(map(csv_value, row) for row in rows)])


def write_table(
    out: OutputWrapper, columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> None:
    """Aligned columns; on a terminal with colors, and as many as it has room for."""
    rows = [[printable(text) for text in row] for row in rows]
    if out.isatty():
        _write_for_terminal(columns, rows)
        return
    lines = [[column.name for column in columns], *rows]
    widths = [max(map(len, texts)) for texts in zip(*lines, strict=True)]
    for line in lines:
        aligned = (
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        )
        out.write("  ".join(aligned).rstrip())


def _write_for_terminal(columns: Sequence[Column], rows: Sequence[Texts]) -> None:
    console = Console()
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = [
        (number, column)
        for number, column in enumerate(columns)
        if console.width >= WIDE or not column.only_wide
    ]
    for _, column in shown:
        table.add_column(
            column.name,
            justify="right" if column.is_number else "left",
            overflow="fold",
            no_wrap=not column.folds,
        )
    for row in rows:
        table.add_row(*(Text(row[number], column.style(row[number])) for number, column in shown))
    console.print(table)


# --- long work ----------------------------------------------------------------------------------


class RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "-/s", style="progress.data.speed")


def progress_bar(console: Console, *, transient: bool = False) -> Progress:
    """A bar with the rate and the time left, for a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
    )


def rate_and_time_left(done: int, total: int, seconds: float) -> str:
    """``1,234/s, 0:00:05 left``, for where there is no terminal."""
    if not done or seconds <= 0:
        return ""
    minutes, left = divmod(round((total - done) * seconds / done), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{done / seconds:,.0f}/s, {hours}:{minutes:02}:{left:02} left"
