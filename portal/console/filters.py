"""Filters of lists over all cells, each choice with the number of rows that it would leave.

They are listed in an admin's ``list_filter`` and written like Django's ``SimpleListFilter``; but
because the rows of a list are in many databases, a filter has no ``queryset()``.  Instead it
provides three consistent views of a row:

``annotations()``
    Expressions that describe a row, the same in every cell.  Each cell groups its rows by the
    annotations of all filters and counts the groups: a single query for all filters.
``condition_of(value, cell)``
    The rows of a cell that match a value, as a ``Q``; it may use the annotations.  It is the same
    in all cells in which a row can match: what differs is a ``Parameter("cell", ...)``.
``matches(value, group)``
    Whether the rows of such a group match a value.

A filter may have several values (``?state=up&state=down``), of which a row matches any.  From the
groups that match the other filters, ``choices()`` counts the rows that match each value.
A new filter usually is a subclass of ``ChoicesFilter`` (a row has one value) or
``ConditionsFilter`` (a row may meet several conditions).  A filter for which grouping is too
expensive sets ``grouped`` to false, and ``count_values()`` counts the rows of a separate query; a
``SummedFilter`` needs that only while it is active.

Rows are counted for the choices only where these are asked for (``?_facets``, as in Django): a list
without them costs each cell little more than its first keys.

A filter is created for each request, in the request's thread, where it reads what it needs from
other databases; methods that take a cell are called in the cell's executor.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin.filters import ListFilter as StockListFilter
from django.core.exceptions import BadRequest
from django.db.models import F, Model, Q, QuerySet, Sum, Value
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from cells.executors import CellUnavailable
from cells.fields import flag
from cells.registry import Cell, all_cells

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django_filters import FilterSet
    from django_stubs_ext import StrOrPromise

#: The maximum number of values of a filter; each may cost a condition in every cell.
MAX_VALUES = 200

#: Grouping by a constant is no grouping: one row.
ONE = Value(1)
#: The annotations shared by some rows, with their number ``n``.
Group = Mapping[str, Any]
#: The same in one cell: the numbers of its rows (``n``, and any sums) by the values they share.
Groups = Mapping[tuple[Any, ...], tuple[Any, ...]]


@dataclass(frozen=True)
class Choice:
    """A value to filter by; ``count`` is ``None`` if its cell is not responding, or nothing is
    counted.

    ``query_string`` adds the value to those selected, or removes it if it is ``selected``.
    """

    value: str
    display: "StrOrPromise"
    count: int | None
    selected: bool
    query_string: str


class ListFilter(StockListFilter):
    """A filter with the query parameter ``parameter_name``; see the module's docstring."""

    title: "StrOrPromise"
    parameter_name: ClassVar[str]
    template = "admin/across_cells/filter.html"
    #: Whether rows are grouped by its annotations; if not, ``count_values`` counts them.
    grouped: ClassVar[bool] = True
    #: How many choices are not offered and have to be typed, once ``lookups`` has been called.
    more = 0

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: "ModelAdmin[Any]",
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.now = timezone.now()
        self.values = tuple(dict.fromkeys(params.get(self.parameter_name, ())))
        if len(self.values) > MAX_VALUES:
            words = gettext_noop("more than %(n)d values of %(name)s")
            raise BadRequest(words % {"n": MAX_VALUES, "name": self.parameter_name})

    @property
    def is_active(self) -> bool:
        """Whether any value is selected."""
        return bool(self.values)

    # --- selecting and counting rows in a cell ---

    def annotations(self) -> dict[str, Combinable]:
        """The expressions that rows are grouped by, by name."""
        return {}

    def condition_of(self, value: str, cell: Cell) -> Q | None:
        """The rows of the cell that match ``value``; ``None`` if no row can match."""
        raise NotImplementedError

    def condition(self, cell: Cell) -> Q | None:
        """The rows of the cell that match any selected value; ``None`` if no row can match."""
        conditions = [self.condition_of(value, cell) for value in self.values]
        possible = [condition for condition in conditions if condition is not None]
        if Q() in possible:  # all rows, which an OR would leave out
            return Q()
        return Q(*possible, _connector=Q.OR) if possible else None

    def sums(self) -> dict[str, Combinable]:
        """Aggregates that are added to each group, by name, unless the filter is active."""
        return {}

    def values_query(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        """The columns of these rows that ``count_values`` needs, as a ``values_list()``."""
        raise NotImplementedError

    def count_values(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        """How many rows of the cell have each value."""
        raise NotImplementedError

    # --- choices, from the counts of all cells ---

    def matches(self, value: str, group: Group) -> bool:
        """Whether the rows of this group match ``value``."""
        return True

    def matches_cell(self, cell: Cell) -> bool:
        """Whether any row of the cell can match the selected values."""
        return True

    def lookups(self, counts: "Counts") -> "Iterable[tuple[str, StrOrPromise]]":
        """The values to choose from with their labels, in display order."""
        raise NotImplementedError

    def count(self, value: str, counts: "Counts") -> int | None:
        """How many rows match ``value`` and all other filters."""
        groups = counts.matching_others(self)
        return sum(int(group["n"]) for group in groups if self.matches(value, group))

    def display(self, value: str) -> "StrOrPromise":
        """What a value is called."""
        return value or _("none")

    def choices(self, changelist: Any) -> list[Choice]:  # type: ignore[override]
        """The values that match any row, and the selected values."""
        lookups = dict(self.lookups(changelist.counts))
        for value in self.values:
            lookups.setdefault(value, self.display(value))
        choices = []
        for value, display in lookups.items():
            count = self.count(value, changelist.counts)
            if value in self.values or self.is_shown(count):
                choices.append(self._choice(value, display, count, changelist))
        return choices

    def selected(self, changelist: Any) -> list[Choice]:
        """The selected values, which can be removed; they are not counted."""
        return [self._choice(value, self.display(value), None, changelist) for value in self.values]

    def _choice(
        self, value: str, display: "StrOrPromise", count: int | None, changelist: Any
    ) -> Choice:
        link = changelist.get_query_string({self.parameter_name: self._toggled(value)})
        return Choice(value, display, count, value in self.values, link)

    def _toggled(self, value: str) -> list[str] | None:
        """The selected values with ``value``, or without it if it is one of them."""
        others = [one for one in self.values if one != value]
        return (others if value in self.values else [*others, value]) or None

    def is_shown(self, count: int | None) -> bool:
        """Whether a choice with this count is shown."""
        return count != 0


@dataclass(frozen=True)
class CellCounts:
    """The counts of a single cell: by group, and by value for filters that are not grouped."""

    groups: Groups
    by_value: Mapping[ListFilter, Counter[str]]


class Counts:
    """The counts of all cells, from which filters count their choices.

    ``names`` are those of the values that groups share, ``sums`` those of their sums.
    """

    def __init__(
        self,
        filters: Sequence[ListFilter],
        names: Sequence[str],
        sums: Sequence[str],
        by_cell: Mapping[Cell, CellCounts],
        missing: Sequence[CellUnavailable],
    ) -> None:
        self.by_cell = by_cell
        self.missing = missing
        self._numbers = ("n", *sums)
        self._active = [list_filter for list_filter in filters if list_filter.is_active]
        #: There are many cells, and they have mostly the same groups.
        self.groups: dict[tuple[Any, ...], Group] = {
            values: dict(zip(names, values, strict=True))
            for counts in by_cell.values()
            for values in counts.groups
        }
        self._by_others: dict[ListFilter | None, list[Group]] = {}
        self._by_value: dict[ListFilter, Counter[str]] = {}

    def matching_others(self, list_filter: ListFilter) -> list[Group]:
        """The groups, over all cells, that match the selected values of all other filters."""
        exclude = list_filter if list_filter.is_active else None
        if exclude not in self._by_others:
            totals = {values: [0] * len(self._numbers) for values in self._matching(exclude)}
            for cell, counts in self.by_cell.items():
                if self._has(cell, exclude):
                    for values, numbers in counts.groups.items():
                        if values in totals:
                            totals[values] = list(map(add, totals[values], map(int, numbers)))
            self._by_others[exclude] = [
                {**self.groups[values], **dict(zip(self._numbers, numbers, strict=True))}
                for values, numbers in totals.items()
                if numbers[0]
            ]
        return self._by_others[exclude]

    def by_value(self, list_filter: ListFilter) -> Counter[str]:
        """The counts by value, over all cells, of a filter that is not grouped."""
        if list_filter not in self._by_value:
            total = self._by_value[list_filter] = Counter()
            for counts in self.by_cell.values():
                total.update(counts.by_value[list_filter])
        return self._by_value[list_filter]

    def rows_by_cell(self, exclude: ListFilter | None = None) -> dict[Cell, int]:
        """The number of rows that match all filters but ``exclude`` in each responding cell."""
        matching = self._matching(exclude)
        return {
            cell: sum(numbers[0] for values, numbers in counts.groups.items() if values in matching)
            if self._has(cell, exclude)
            else 0
            for cell, counts in self.by_cell.items()
        }

    def _has(self, cell: Cell, exclude: ListFilter | None) -> bool:
        return all(
            list_filter is exclude or list_filter.matches_cell(cell) for list_filter in self._active
        )

    def _matching(self, exclude: ListFilter | None) -> set[tuple[Any, ...]]:
        """The values of the groups that match all filters but ``exclude``."""
        return {
            values
            for values, group in self.groups.items()
            if all(
                list_filter is exclude
                or any(list_filter.matches(value, group) for value in list_filter.values)
                for list_filter in self._active
            )
        }


class CellFilter(ListFilter):
    """The cell.  All cells are always shown, including those that are not responding."""

    title = _("Cell")
    parameter_name = "cell"
    #: How many rows match the other filters, by the name and the uuid of their cell.
    _rows: Counter[str] | None = None

    def condition_of(self, value: str, cell: Cell) -> Q | None:
        return Q() if value in (cell.name, cell.uuid) else None

    def matches_cell(self, cell: Cell) -> bool:
        return cell.name in self.values or cell.uuid in self.values

    def display(self, value: str) -> "StrOrPromise":
        return next((cell.name for cell in all_cells() if cell.uuid == value), value)

    def lookups(self, counts: "Counts") -> Iterator[tuple[str, str]]:
        cells = all_cells()
        names = Counter(cell.name for cell in cells)
        for cell in cells:
            yield (cell.name if names[cell.name] == 1 else cell.uuid), cell.name

    def count(self, value: str, counts: "Counts") -> int | None:
        missing = [unavailable.cell for unavailable in counts.missing]
        if any(value in (cell.name, cell.uuid) for cell in missing):
            return None
        if self._rows is None:
            self._rows = Counter()
            for cell, number in counts.rows_by_cell(exclude=self).items():
                for name in {cell.name, cell.uuid}:
                    self._rows[name] += number
        return self._rows[value]

    def is_shown(self, count: int | None) -> bool:
        return True


class ChoicesFilter(ListFilter):
    """The value of a field or an expression.

    ``labels`` are the values to choose from, by default those that occur.  The empty value
    matches null and empty text.
    """

    field_name: ClassVar[str]
    labels: "ClassVar[Mapping[str, StrOrPromise] | None]" = None

    def expression(self) -> Combinable:
        """The expression to filter by: the field, unless overridden."""
        return F(self.field_name)

    @property
    def annotation(self) -> str:
        return f"filter_{self.parameter_name}"

    def annotations(self) -> dict[str, Combinable]:
        return {self.annotation: self.expression()}

    def condition_of(self, value: str, cell: Cell) -> Q | None:
        if "\0" in value:  # which no text has, and PostgreSQL refuses
            return None
        condition = Q(**{self.annotation: value})
        return condition if value else condition | Q(**{self.annotation: None})

    def matches(self, value: str, group: Group) -> bool:
        return bool((group[self.annotation] or "") == value)

    def display(self, value: str) -> "StrOrPromise":
        return (self.labels or {}).get(value) or super().display(value)

    def lookups(self, counts: "Counts") -> "Iterable[tuple[str, StrOrPromise]]":
        if self.labels is not None:
            return self.labels.items()
        found = {group[self.annotation] or "" for group in counts.groups.values()}
        return [(value, self.display(value)) for value in sorted(found)]


class ConditionalFilter(ListFilter):
    """The base of filters whose values are conditions."""

    @cached_property
    def conditions(self) -> "Mapping[str, tuple[StrOrPromise, Q]]":
        return self.get_conditions()

    def get_conditions(self) -> "Mapping[str, tuple[StrOrPromise, Q]]":
        """The label and the condition of each value."""
        raise NotImplementedError


class ConditionsFilter(ConditionalFilter):
    """Conditions of which a row may meet several; further choices are any of them, and none."""

    ANY, NONE = "any", "none"
    any_label: "ClassVar[StrOrPromise]" = _("any")
    none_label: "ClassVar[StrOrPromise]" = _("none")

    def annotation(self, value: str) -> str:
        return f"filter_{self.parameter_name}_{value.replace('-', '_')}"

    def annotations(self) -> dict[str, Combinable]:
        return {
            self.annotation(value): flag(condition)
            for value, (_label, condition) in self.conditions.items()
        }

    def condition_of(self, value: str, cell: Cell) -> Q | None:
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

    def display(self, value: str) -> "StrOrPromise":
        return dict(self._labels()).get(value, value)

    def lookups(self, counts: "Counts") -> "Iterator[tuple[str, StrOrPromise]]":
        return self._labels()

    def _labels(self) -> "Iterator[tuple[str, StrOrPromise]]":
        yield self.ANY, self.any_label
        yield self.NONE, self.none_label
        for value, (label, _condition) in self.conditions.items():
            yield value, label


class SummedFilter(ConditionalFilter):
    """Conditions that are counted without grouping rows by them: for those by which there would be
    too many groups.

    The rows that meet a condition are summed up in each group of the other filters; only where the
    filter itself is active are they counted by a query of their own.
    """

    grouped = False

    def sum_name(self, value: str) -> str:
        """What the sum for a value is called in a group."""
        return f"sum_{self.parameter_name}_{value}"

    def sums(self) -> dict[str, Combinable]:
        return {
            self.sum_name(value): Sum(flag(condition))
            for value, (_label, condition) in self.conditions.items()
        }

    def condition_of(self, value: str, cell: Cell) -> Q | None:
        return self.conditions[value][1] if value in self.conditions else None

    def values_query(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        summed: QuerySet[Any, Any] = rows.values_list(ONE).annotate(**self.sums())
        return summed

    def count_values(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        return Counter(
            {
                value: int(number or 0)
                for _one, *numbers in rows
                for value, number in zip(self.conditions, numbers, strict=True)
            }
        )

    def display(self, value: str) -> "StrOrPromise":
        return self.conditions[value][0] if value in self.conditions else value

    def lookups(self, counts: Counts) -> "Iterator[tuple[str, StrOrPromise]]":
        for value in self.conditions:
            yield value, self.display(value)

    def count(self, value: str, counts: Counts) -> int:
        if self.is_active:
            return counts.by_value(self)[value]
        name = self.sum_name(value)
        return sum(int(group[name]) for group in counts.matching_others(self))


def filterset_filters(
    filterset_class: "type[FilterSet]", *, exclude: Collection[str] = ()
) -> tuple[type[ListFilter], ...]:
    """A console filter for each filter of the API's filter set, except those in ``exclude``.

    The choices are the values that occur.
    """
    model = filterset_class._meta.model  # type: ignore[attr-defined]
    filters: list[type[ListFilter]] = []
    for name, declared in filterset_class.base_filters.items():
        if name not in exclude:
            field = model._meta.get_field(declared.field_name)
            attributes = {
                "title": declared.label or capfirst(field.verbose_name),
                "parameter_name": name,
                "field_name": declared.field_name,
            }
            filters.append(type(f"{name.title()}Filter", (ChoicesFilter,), attributes))
    return tuple(filters)
