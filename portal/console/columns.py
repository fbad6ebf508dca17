"""Columns of lists over all cells, and the rows they show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db.models import Model
from django.db.models.expressions import Combinable
from django.utils.functional import Promise

from cells.locate import key_of
from cells.merge import SortKey
from cells.registry import Cell

M = TypeVar("M", bound=Model)
Label = str | Promise


@dataclass(frozen=True)
class ListedRow(Generic[M]):
    """A row in a list, and what its columns need to know beside it."""

    cell: Cell
    row: M
    zone: str = ""

    @property
    def key(self) -> str:
        """What the row is called in URLs and checkboxes."""
        return key_of(self.cell, self.row)


@dataclass(frozen=True)
class Column:
    """A column of a list.

    ``show`` renders it (already escaped HTML, or text), ``export`` gives its columns in the CSV
    file; ``sort`` is a field's name or makes an expression (which may depend on the time), or
    ``sort_in`` gives an expression or one plain value for each cell.
    """

    name: str
    label: Label
    show: Callable[[ListedRow[Any]], Any]
    sort: str | Callable[[], Combinable] | None = None
    sort_in: Callable[[Cell], Combinable | str] | None = None
    text: bool = False
    numeric: bool = False
    default: bool = True
    export: Mapping[str, Callable[[ListedRow[Any]], Any]] = field(default_factory=dict)

    @property
    def sortable(self) -> bool:
        """Whether the list can be sorted by it."""
        return self.sort is not None or self.sort_in is not None

    def sort_key(self, descending: bool) -> SortKey:
        """What sorts the list by it."""
        if self.sort_in is not None:
            return SortKey(self.sort_in, descending, self.text)
        by = self.sort() if callable(self.sort) else self.sort
        return SortKey(by or "id", descending, self.text)
