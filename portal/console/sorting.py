"""Short tables that are sorted in memory by any of their columns, such as those of all cells."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlencode

from django.http import HttpRequest

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

R = TypeVar("R")


@dataclass(frozen=True)
class SortColumn(Generic[R]):
    """A column; ``key`` is what rows are sorted by, with ``None`` last in either direction.

    The first click on one that is ``largest_first`` sorts it that way.
    """

    name: str
    label: "StrOrPromise"
    key: Callable[[R], Any]
    largest_first: bool = False


@dataclass(frozen=True)
class SortHeading:
    """The head of a column: ``sort`` is a value of ``aria-sort``."""

    label: "StrOrPromise"
    link: str
    sort: str


@dataclass(frozen=True)
class SortedTable(Generic[R]):
    """The rows in the order that the request asks for, and the heads of the columns."""

    rows: list[R]
    headings: list[SortHeading]


def sorted_table(
    request: HttpRequest,
    rows: Iterable[R],
    columns: Sequence[SortColumn[R]],
    worst_first: Callable[[R], Any],
) -> SortedTable[R]:
    """Sort by the parameter ``o``: a column's name, with a hyphen in front for the reverse.

    Without one, or with one that there is not, those whose ``worst_first`` is least come first.
    """
    order = request.GET.get("o", "")
    name, is_reversed = order.removeprefix("-"), order.startswith("-")
    table = sorted(rows, key=worst_first)
    headings = []
    for column in columns:
        is_sorted = column.name == name
        if is_sorted:
            known = [row for row in table if column.key(row) is not None]
            unknown = [row for row in table if column.key(row) is None]
            table = sorted(known, key=column.key, reverse=is_reversed) + unknown
        reverse_next = not is_reversed if is_sorted else column.largest_first
        headings.append(
            SortHeading(
                label=column.label,
                link=f"?{urlencode({'o': f'-{column.name}' if reverse_next else column.name})}",
                sort=("descending" if is_reversed else "ascending") if is_sorted else "none",
            )
        )
    return SortedTable(table, headings)
