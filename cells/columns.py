"""Columns of lists over all cells, and the rows they show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db.models import Model
from django.db.models.expressions import Combinable
from django.utils.functional import Promise

from cells.mappings import Cell
from cells.rows import key_of

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
    file; ``sort`` is what ``SortKey.by`` takes.
    """

    name: str
    label: Label
    show: Callable[[ListedRow[Any]], Any]
    sort: str | Callable[[Cell], Combinable | str] | None = None
    text: bool = False
    numeric: bool = False
    default: bool = True
    export: Mapping[str, Callable[[ListedRow[Any]], Any]] = field(default_factory=dict)
