"""The rows that a list's filters leave in each cell, and counting them there."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Count, QuerySet

from cells.merge import CompiledQuery, Row
from cells.registry import Cell
from portal.console.filters import CellCounts, Group, ListFilter

Rows = QuerySet[Any, Any]


class FilteredRows:
    """The rows of ``queryset``, which names no database, that the filters leave in each cell.

    The methods that get a cell are called in its executor.
    """

    def __init__(self, queryset: Rows, filters: Sequence[ListFilter]) -> None:
        annotations: dict[str, Any] = {}
        for list_filter in filters:
            annotations |= list_filter.annotations()
        self.names = tuple(annotations)
        self.filters = tuple(filters)
        self.annotated: Rows = queryset.annotate(**annotations)
        self._lock = threading.Lock()
        self._shared: dict[tuple[ListFilter, ...], Rows] = {}
        self._queries: dict[tuple[int, str], tuple[Rows, CompiledQuery]] = {}

    def in_cell(self, cell: Cell, but: ListFilter | None = None) -> Rows:
        """The rows that all filters (``but`` one) leave in the cell; it is not named yet.

        The same queryset for all cells in which the filters mean the same, so that they can share
        its SQL.
        """
        active = tuple(
            list_filter
            for list_filter in self.filters
            if list_filter is not but and list_filter.value() is not None
        )
        return self._left_by(active, cell)

    def _left_by(self, filters: tuple[ListFilter, ...], cell: Cell) -> Rows:
        conditions = []
        for list_filter in filters:
            condition = list_filter.condition(cell)
            if condition is None:
                return self.annotated.none()
            conditions.append(condition)
        if any(list_filter.varies for list_filter in filters):
            return self.annotated.filter(*conditions)
        with self._lock:
            if filters not in self._shared:
                self._shared[filters] = self.annotated.filter(*conditions)
            return self._shared[filters]

    def count_in(self, cell: Cell) -> CellCounts:
        """Count the cell's rows for all filters."""
        tallies = {
            list_filter: list_filter.tally(
                cell, self._fetch(cell, self.in_cell(cell, list_filter), list_filter.tally_query)
            )
            for list_filter in self.filters
            if not list_filter.grouped
        }
        return CellCounts(self._groups_in(cell), tallies)

    def _groups_in(self, cell: Cell) -> list[Group]:
        """How many rows the cell has of each kind, before any filter that goes by the kind."""
        ungrouped = tuple(
            list_filter
            for list_filter in self.filters
            if not list_filter.grouped and list_filter.value() is not None
        )
        rows = self._fetch(cell, self._left_by(ungrouped, cell), self._count_groups)
        return [
            {**dict(zip(self.names, values, strict=True)), "cell": cell, "n": number}
            for *values, number in rows
        ]

    def _count_groups(self, rows: Rows) -> Rows:
        counted: Rows = rows.values_list(*self.names).annotate(n=Count("id"))
        return counted

    def _fetch(self, cell: Cell, rows: Rows, query: Callable[[Rows], Rows]) -> list[Row]:
        """What ``query`` makes of ``rows``, from the cell."""
        with self._lock:
            key = (id(rows), query.__qualname__)
            if key not in self._queries:
                # With the queryset, so that no other gets its id.
                self._queries[key] = (rows, CompiledQuery(query(rows)))
            compiled = self._queries[key][1]
        return compiled.rows_in(cell)
