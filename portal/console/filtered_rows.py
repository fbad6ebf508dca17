"""The rows of each cell that match a list's filters, and their counts."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Count, QuerySet

from cells.merge import CompiledQuery, Row
from cells.registry import Cell
from portal.console.filters import CellCounts, Group, ListFilter

Rows = QuerySet[Any, Any]


class FilteredRows:
    """The rows of ``queryset``, not bound to a cell, that match the filters in each cell.

    Methods that take a cell are called in its executor.
    """

    def __init__(self, queryset: Rows, filters: Sequence[ListFilter]) -> None:
        annotations: dict[str, Any] = {}
        for list_filter in filters:
            annotations |= list_filter.annotations()
        self.names = tuple(annotations)
        self.filters = tuple(filters)
        self.sums: dict[str, Any] = {}
        for list_filter in filters:
            if not list_filter.is_active:
                self.sums |= list_filter.sums()
        self.annotated: Rows = queryset.annotate(**annotations)
        self._lock = threading.Lock()
        self._shared: dict[tuple[ListFilter, ...], Rows] = {}
        self._queries: dict[tuple[int, str], tuple[Rows, CompiledQuery]] = {}

    def in_cell(self, cell: Cell, exclude: ListFilter | None = None) -> Rows:
        """The cell's rows that match all filters except ``exclude``, not yet bound to the cell.

        Cells for which the filters have the same conditions get the same queryset, so that its SQL
        is compiled once.
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
        if any(list_filter.varies_by_cell for list_filter in filters):
            return self.annotated.filter(*conditions)
        with self._lock:
            if filters not in self._shared:
                self._shared[filters] = self.annotated.filter(*conditions)
            return self._shared[filters]

    def count_in(self, cell: Cell) -> CellCounts:
        """Count the cell's rows for all filters."""
        fetched: dict[tuple[int, str], list[Row]] = {}  # filters may count the same rows
        by_value: dict[ListFilter, Counter[str]] = {}
        for list_filter in self.filters:
            if not list_filter.grouped and (list_filter.is_active or not list_filter.sums()):
                rows, query = self.in_cell(cell, list_filter), list_filter.values_query
                key = (id(rows), query.__qualname__)
                if key not in fetched:
                    fetched[key] = self._fetch(cell, rows, query)
                by_value[list_filter] = list_filter.count_values(cell, fetched[key])
        return CellCounts(self._groups_in(cell), by_value)

    def _groups_in(self, cell: Cell) -> list[Group]:
        """The cell's rows counted by group, before the filters that select by group."""
        ungrouped = tuple(
            list_filter
            for list_filter in self.filters
            if not list_filter.grouped and list_filter.is_active
        )
        rows = self._fetch(cell, self._matching(ungrouped, cell), self._count_groups)
        names = (*self.names, "n", *self.sums)
        return [dict(zip(names, values, strict=True), cell=cell) for values in rows]

    def _count_groups(self, rows: Rows) -> Rows:
        counted: Rows = rows.values_list(*self.names).annotate(n=Count("id"), **self.sums)
        return counted

    def _fetch(self, cell: Cell, rows: Rows, query: Callable[[Rows], Rows]) -> list[Row]:
        """The result of ``query(rows)`` in the cell."""
        with self._lock:
            key = (id(rows), query.__qualname__)
            if key not in self._queries:
                # Keep the queryset, so that its id is not reused.
                self._queries[key] = (rows, CompiledQuery(query(rows)))
            compiled = self._queries[key][1]
        return compiled.rows_in(cell)
