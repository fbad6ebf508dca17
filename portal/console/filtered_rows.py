"""The rows of each cell that match a list's filters, and their counts."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Count, QuerySet

from cells.registry import Cell
from cells.statements import Statement
from portal.console.filters import ONE, CellCounts, Groups, ListFilter

Rows = QuerySet[Any, Any]
Row = tuple[Any, ...]


class FilteredRows:
    """The rows of ``queryset``, not bound to a cell, that match the filters in each cell.

    They are counted for the choices of all filters, or only altogether, without ``facets``.
    Methods that take a cell are called in its executor.
    """

    def __init__(self, queryset: Rows, filters: Sequence[ListFilter], *, facets: bool) -> None:
        #: Those whose choices are counted.
        self.counted = tuple(filters) if facets else ()
        self.filters = self.counted or tuple(one for one in filters if one.is_active)
        annotations: dict[str, Any] = {}
        for list_filter in self.filters:
            annotations |= list_filter.annotations()
        self.names = tuple(annotations) if facets else ()
        self.sums: dict[str, Any] = {}
        #: Those that count the rows of a query of their own.
        self._counting: list[ListFilter] = []
        for list_filter in self.counted:
            sums = list_filter.sums()
            if not list_filter.is_active:
                self.sums |= sums
            if not list_filter.grouped and (list_filter.is_active or not sums):
                self._counting.append(list_filter)
        self.annotated: Rows = queryset.annotate(**annotations)
        self._lock = threading.Lock()
        self._shared: dict[tuple[ListFilter, ...], Rows] = {}
        self._statements: dict[tuple[int, str], tuple[Rows, Statement]] = {}

    def in_cell(self, cell: Cell, exclude: ListFilter | None = None) -> Rows:
        """The cell's rows that match all filters except ``exclude``, not yet bound to the cell.

        Cells in which rows can match get the same queryset, so that its SQL is compiled once; the
        cell is its parameter.
        """
        active = tuple(
            list_filter
            for list_filter in self.filters
            if list_filter is not exclude and list_filter.is_active
        )
        return self._matching(active, cell)

    def _matching(self, filters: tuple[ListFilter, ...], cell: Cell) -> Rows:
        conditions = []
        for list_filter in filters:
            condition = list_filter.condition(cell)
            if condition is None:
                return self.annotated.none()
            conditions.append(condition)
        with self._lock:
            if filters not in self._shared:
                self._shared[filters] = self.annotated.filter(*conditions)
            return self._shared[filters]

    def count_in(self, cell: Cell) -> CellCounts:
        """Count the cell's rows for all filters."""
        fetched: dict[tuple[int, str], list[Row]] = {}  # filters may count the same rows
        by_value: dict[ListFilter, Counter[str]] = {}
        for list_filter in self._counting:
            rows, query = self.in_cell(cell, list_filter), list_filter.values_query
            key = (id(rows), query.__qualname__)
            if key not in fetched:
                fetched[key] = self._fetch(cell, rows, query)
            by_value[list_filter] = list_filter.count_values(cell, fetched[key])
        return CellCounts(self._groups_in(cell), by_value)

    def _groups_in(self, cell: Cell) -> Groups:
        """The cell's rows counted by group, before the filters that select by group.

        They are a single group without facets, after all filters.
        """
        if not self.counted:
            counted = self._fetch(cell, self.in_cell(cell), self._count_all)
            return {(): (sum(number for _, number in counted),)}
        ungrouped = tuple(
            list_filter
            for list_filter in self.filters
            if not list_filter.grouped and list_filter.is_active
        )
        rows = self._fetch(cell, self._matching(ungrouped, cell), self._count_groups)
        number = len(self.names)
        return {row[:number]: row[number:] for row in rows}

    def _count_all(self, rows: Rows) -> Rows:
        counted: Rows = rows.values_list(ONE).annotate(n=Count("id"))
        return counted

    def _count_groups(self, rows: Rows) -> Rows:
        counted: Rows = rows.values_list(*self.names).annotate(n=Count("id"), **self.sums)
        return counted

    def _fetch(self, cell: Cell, rows: Rows, query: Callable[[Rows], Rows]) -> list[Row]:
        """The result of ``query(rows)`` in the cell."""
        with self._lock:
            key = (id(rows), query.__qualname__)
            if key not in self._statements:
                # Keep the queryset, so that its id is not reused.
                self._statements[key] = (rows, Statement(query(rows)))
            statement = self._statements[key][1]
        return statement.rows(cell.alias, cell=cell)
