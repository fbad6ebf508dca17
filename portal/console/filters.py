"""Filters of lists over all cells, each choice with the number of rows that it would leave.

They are listed in an admin's ``list_filter``, and are written like Django's
``SimpleListFilter``; but a list's rows are in many databases, so a filter has no ``queryset()``.
Instead it says three things about a row, which must agree:

``annotations()``
    What a row is like, as expressions, the same in every cell.  Each cell groups its rows by the
    annotations of all filters and counts the groups: one query for all filters together.
``condition(cell)``
    The rows of a cell that the chosen value leaves, as a ``Q``; it may use the annotations.
``matches(value, group)``
    Whether a value would leave the rows of such a group.

From the groups that the other filters leave, ``choices()`` counts what each value would leave.
A new filter usually is a subclass of ``ChoicesFilter`` (a row has one value) or
``ConditionsFilter`` (a row may meet several conditions).  One for which grouping costs too much
sets ``grouped`` to false, and counts in ``tally()`` the rows of a query of its own.

A filter is made once for each request, in the request's thread, and reads there what it needs from
other databases; the methods that get a cell are called in the cell's executor.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin.filters import ListFilter as StockListFilter
from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from cells.executors import CellUnavailable
from cells.fields import flag
from cells.registry import Cell, all_cells

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django_filters import FilterSet
    from django_stubs_ext import StrOrPromise

#: The annotations that some rows have in common, and besides them ``cell`` and their number ``n``.
Group = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """A value to filter by; ``count`` is ``None`` where its cell did not answer.

    ``query_string`` leads to the list with the value chosen, or without it if it is ``selected``.
    """

    value: str
    display: "StrOrPromise"
    count: int | None
    selected: bool
    query_string: str


class ListFilter(StockListFilter):
    """The filter with the query parameter ``parameter_name``; see above."""

    title: "StrOrPromise"
    parameter_name: ClassVar[str]
    template = "admin/across_cells/filter.html"
    #: Whether rows are grouped by its annotations; if not, ``tally`` counts them.
    grouped: ClassVar[bool] = True
    #: Whether ``condition`` differs from cell to cell, other than by leaving no row of some.
    varies: ClassVar[bool] = False

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: "ModelAdmin[Any]",
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.now = timezone.now()
        if self.parameter_name in params:
            self.used_parameters[self.parameter_name] = params[self.parameter_name][-1]

    def value(self) -> str | None:
        """The value that was chosen, if any."""
        value = self.used_parameters.get(self.parameter_name)
        return None if value is None else str(value)

    # --- of rows ---

    def annotations(self) -> dict[str, Combinable]:
        """What rows are grouped by for it, by the names it gives them."""
        return {}

    def condition(self, cell: Cell) -> Q | None:
        """The rows of the cell that the chosen value leaves; ``None`` when it leaves none."""
        raise NotImplementedError

    def tally_query(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        """What ``tally`` gets of these rows, as a ``values_list()``."""
        raise NotImplementedError

    def tally(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        """How many of the rows of the cell have each value."""
        raise NotImplementedError

    # --- of answers ---

    def matches(self, value: str, group: Group) -> bool:
        """Whether ``value`` leaves the rows of this group."""
        return True

    def lookups(self, counts: "Counts") -> "Iterable[tuple[str, StrOrPromise]]":
        """The values to choose from and what they are called, in the order they are shown in."""
        raise NotImplementedError

    def count(self, value: str, counts: "Counts") -> int | None:
        """How many rows ``value`` would leave."""
        groups = counts.left_by_others(self)
        return sum(int(group["n"]) for group in groups if self.matches(value, group))

    def choices(self, changelist: Any) -> Iterator[Choice]:  # type: ignore[override]
        """The values that would leave any row, and the one that is chosen."""
        chosen = self.value()
        lookups = dict(self.lookups(changelist.counts))
        if chosen is not None:
            lookups.setdefault(chosen, chosen)
        for value, display in lookups.items():
            count = self.count(value, changelist.counts)
            selected = value == chosen
            if selected or self.is_shown(count):
                query = {self.parameter_name: None if selected else value}
                link = changelist.get_query_string(query)
                yield Choice(value, display, count, selected, link)

    def is_shown(self, count: int | None) -> bool:
        """Whether a value that would leave so many rows is shown."""
        return count != 0


@dataclass(frozen=True)
class CellCounts:
    """How many rows of each kind one cell has: see ``portal.console.filters``."""

    groups: Sequence[Group]
    tallies: Mapping[ListFilter, Counter[str]]


class Counts:
    """How many rows all cells have, for filters to count their choices from."""

    def __init__(
        self,
        filters: Sequence[ListFilter],
        by_cell: Mapping[Cell, CellCounts],
        missing: Sequence[CellUnavailable],
    ) -> None:
        self.by_cell = by_cell
        self.missing = missing
        self.groups = [group for counts in by_cell.values() for group in counts.groups]
        self._active = [
            (list_filter, value)
            for list_filter in filters
            if (value := list_filter.value()) is not None
        ]
        self._left: dict[ListFilter, list[Group]] = {}

    def left_by_others(self, list_filter: ListFilter) -> list[Group]:
        """The groups that the chosen values of all other filters leave."""
        if list_filter not in self._left:
            self._left[list_filter] = [
                group for group in self.groups if self._matches(group, but=list_filter)
            ]
        return self._left[list_filter]

    def tally(self, list_filter: ListFilter) -> Counter[str]:
        """What a filter that is not grouped has counted in all cells."""
        tally: Counter[str] = Counter()
        for counts in self.by_cell.values():
            tally.update(counts.tallies[list_filter])
        return tally

    def rows_by_cell(self) -> dict[Cell, int]:
        """How many rows all filters leave in each cell that has answered."""
        return {
            cell: sum(group["n"] for group in counts.groups if self._matches(group))
            for cell, counts in self.by_cell.items()
        }

    def _matches(self, group: Group, but: ListFilter | None = None) -> bool:
        return all(
            list_filter is but or list_filter.matches(value, group)
            for list_filter, value in self._active
        )


class CellFilter(ListFilter):
    """Which cell.  All of them are always shown, also those that do not answer."""

    title = _("Cell")
    parameter_name = "cell"

    def condition(self, cell: Cell) -> Q | None:
        return Q() if self.value() in (cell.name, cell.uuid) else None

    def matches(self, value: str, group: Group) -> bool:
        cell = group["cell"]
        return value in (cell.name, cell.uuid)

    def lookups(self, counts: "Counts") -> Iterator[tuple[str, str]]:
        cells = all_cells()
        names = Counter(cell.name for cell in cells)
        for cell in cells:
            yield (cell.name if names[cell.name] == 1 else cell.uuid), cell.name

    def count(self, value: str, counts: "Counts") -> int | None:
        silent = {name for gone in counts.missing for name in (gone.cell.name, gone.cell.uuid)}
        return None if value in silent else super().count(value, counts)

    def is_shown(self, count: int | None) -> bool:
        return True


class ChoicesFilter(ListFilter):
    """The value of a field or an expression.

    ``labels`` are the values to choose from; those that occur, unless given.  The empty value
    stands for null and for empty text.
    """

    field_name: ClassVar[str]
    labels: "ClassVar[Mapping[str, StrOrPromise] | None]" = None

    def expression(self) -> Combinable:
        """What it filters by, if that is not a field."""
        return F(self.field_name)

    @property
    def annotation(self) -> str:
        return f"filter_{self.parameter_name}"

    def annotations(self) -> dict[str, Combinable]:
        return {self.annotation: self.expression()}

    def condition(self, cell: Cell) -> Q | None:
        value = self.value()
        condition = Q(**{self.annotation: value})
        return condition if value else condition | Q(**{self.annotation: None})

    def matches(self, value: str, group: Group) -> bool:
        return bool((group[self.annotation] or "") == value)

    def lookups(self, counts: "Counts") -> "Iterable[tuple[str, StrOrPromise]]":
        if self.labels is not None:
            return self.labels.items()
        found = {group[self.annotation] or "" for group in counts.groups}
        return [(value, value or _("none")) for value in sorted(found)]


class ConditionsFilter(ListFilter):
    """Conditions of which a row may meet several; also any of them, and none."""

    ANY, NONE = "any", "none"
    any_label: "ClassVar[StrOrPromise]" = _("any")
    none_label: "ClassVar[StrOrPromise]" = _("none")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.conditions = dict(self.get_conditions())

    def get_conditions(self) -> "Mapping[str, tuple[StrOrPromise, Q]]":
        """The label and the condition of each value."""
        raise NotImplementedError

    def annotation(self, value: str) -> str:
        return f"filter_{self.parameter_name}_{value.replace('-', '_')}"

    def annotations(self) -> dict[str, Combinable]:
        return {
            self.annotation(value): flag(condition)
            for value, (_label, condition) in self.conditions.items()
        }

    def condition(self, cell: Cell) -> Q | None:
        value = self.value()
        if value in self.conditions:
            return self.conditions[value][1]
        if value not in (self.ANY, self.NONE):
            return None
        met = Q()
        for name in self.annotations():
            met |= Q(**{name: 1})
        return met if value == self.ANY else ~met

    def matches(self, value: str, group: Group) -> bool:
        if value in self.conditions:
            return bool(group[self.annotation(value)])
        if value not in (self.ANY, self.NONE):
            return False
        met = any(group[self.annotation(name)] for name in self.conditions)
        return met == (value == self.ANY)

    def lookups(self, counts: "Counts") -> "Iterator[tuple[str, StrOrPromise]]":
        yield self.ANY, self.any_label
        yield self.NONE, self.none_label
        for value, (label, _condition) in self.conditions.items():
            yield value, label


def filterset_filters(
    filterset_class: "type[FilterSet]", *, exclude: Collection[str] = ()
) -> tuple[type[ListFilter], ...]:
    """A filter for each of an API's filters but these, with the values that occur as choices.

    Thus a filter that is declared for the API is a filter of the console, too.
    """
    model = filterset_class._meta.model  # type: ignore[attr-defined]
    made: list[type[ListFilter]] = []
    for name, declared in filterset_class.base_filters.items():
        if name not in exclude:
            field = model._meta.get_field(declared.field_name)
            attributes = {
                "title": capfirst(field.verbose_name),
                "parameter_name": name,
                "field_name": declared.field_name,
            }
            made.append(type(f"{name.title()}Filter", (ChoicesFilter,), attributes))
    return tuple(made)
