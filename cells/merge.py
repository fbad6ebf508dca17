"""One list out of many cells, in any order, without fetching more than a page needs.

Every cell sorts its own rows and gives only their sort keys and ids, and of those only so many
as could be on the page; the keys are merged here, and whole rows are fetched for the page alone.
The order is the same whatever the databases are: text by code point, nulls last in both
directions, and what is equal by cell and then by id.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import F, Func, Model, QuerySet, TextField
from django.db.models.expressions import Combinable, OrderBy
from django.db.models.sql.compiler import SQLCompiler

from cells.executors import CellUnavailable
from cells.registry import Cell
from cells.scatter_gather import Answers, ask_cells

M = TypeVar("M", bound=Model)

#: The sort keys of a row, and then its id.
Keys = tuple[Any, ...]
Place = tuple[Cell, int]
Row = tuple[Any, ...]

#: How many rows of each cell are asked for at once, at most, before their number is known.
AT_ONCE = 2_000


class CodePoints(Func):
    """Text ordered by code point, whatever the database's collation is."""

    output_field = TextField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="(%(expressions)s) COLLATE BINARY", **context
        )

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template='(%(expressions)s) COLLATE "C"', **context
        )

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="CAST(%(expressions)s AS BINARY)", **context
        )


@dataclass(frozen=True)
class SortKey:
    """What to sort by: a field's name, an expression, or what ``by`` says for each cell, which
    may also be one plain value for all its rows.

    ``text`` must be true for text, whose order would otherwise be each database's own.
    """

    by: str | Combinable | Callable[[Cell], Combinable | str]
    descending: bool = False
    text: bool = False

    @property
    def differs(self) -> bool:
        """Whether each cell has its own."""
        return not isinstance(self.by, str | Combinable)

    def of(self, cell: Cell) -> Combinable | str:
        """The expression in ``cell``, or the one value there."""
        if isinstance(self.by, str):
            return F(self.by)
        if isinstance(self.by, Combinable):
            return self.by
        return self.by(cell)


class CompiledQuery:
    """A ``values_list()`` query for many cells, turned into SQL once.

    ``queryset`` names no database.

    Building the SQL of a list's query takes Django a few milliseconds, as long as a cell takes to
    answer it; for twenty cells it is the same text twenty times.
    """

    def __init__(self, queryset: "QuerySet[Any, Any]") -> None:
        self.queryset = queryset
        self._lock = threading.Lock()
        self._by_vendor: dict[str, tuple[str, Any, SQLCompiler, dict[int, Any]]] = {}

    def rows_in(self, cell: Cell) -> list[Row]:
        """The cell's answer.  To be called on the cell's lane."""
        connection = connections[cell.alias]
        with self._lock:
            found = self._by_vendor.get(connection.vendor)
            if found is None:
                compiler = self.queryset.query.clone().get_compiler(using=cell.alias)
                try:
                    sql, params = compiler.as_sql()
                except EmptyResultSet:
                    return []
                selected = [expression for expression, _sql, _alias in compiler.select or ()]
                converters = compiler.get_converters(selected)
                found = self._by_vendor[connection.vendor] = (sql, params, compiler, converters)
        sql, params, compiler, converters = found
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[Row] = cursor.fetchall()
        if converters:
            return [tuple(row) for row in compiler.apply_converters(rows, converters)]
        return rows


class MergedRows(Generic[M]):
    """The rows of ``queryset_in(cell)`` of every cell as one list in the order of ``keys``.

    The querysets name no database; cells for which it returns the very same one share its SQL.
    """

    def __init__(
        self, queryset_in: "Callable[[Cell], QuerySet[M, Any]]", keys: Sequence[SortKey]
    ) -> None:
        self.queryset_in = queryset_in
        self.keys = tuple(keys)
        self._lock = threading.Lock()
        self._queries: dict[tuple[Any, ...], tuple[QuerySet[M, Any], CompiledQuery]] = {}

    def keys_in(
        self, cell: Cell, limit: int | None = None, *, backwards: bool = False
    ) -> list[Keys]:
        """The keys and ids of the cell's first ``limit`` rows, or with ``backwards`` its last,
        in order.  To be called on the cell's lane.
        """
        by = [key.of(cell) for key in self.keys]
        found = self._query(cell, by, limit, backwards).rows_in(cell)
        for position, value in enumerate(by):
            if isinstance(value, str):
                found = [(*keys[:position], value, *keys[position:]) for keys in found]
        return found[::-1] if backwards else found

    def _query(
        self, cell: Cell, by: Sequence[Combinable | str], limit: int | None, backwards: bool
    ) -> CompiledQuery:
        rows = self.queryset_in(cell)
        own = cell if any(key.differs for key in self.keys) else None
        with self._lock:
            at = (id(rows), own, limit, backwards)
            if at not in self._queries:
                query = self._ordered(rows, by, limit, backwards)
                self._queries[at] = (rows, CompiledQuery(query))
            return self._queries[at][1]

    def _ordered(
        self,
        rows: "QuerySet[M, Any]",
        by: Sequence[Combinable | str],
        limit: int | None,
        backwards: bool,
    ) -> "QuerySet[M, Any]":
        """The query for the keys; what is one value in the whole cell is not asked for."""
        names, order = [], []
        for number, (key, expression) in enumerate(zip(self.keys, by, strict=True)):
            if isinstance(expression, str):
                continue
            name = f"key{number}"
            names.append(name)
            rows = rows.annotate(**{name: expression})
            nulls = {"nulls_first": True} if backwards else {"nulls_last": True}
            sorted_by = CodePoints(F(name)) if key.text else F(name)
            order.append(OrderBy(sorted_by, descending=key.descending != backwards, **nulls))
        ordered = rows.order_by(*order, "-id" if backwards else "id")
        query: QuerySet[M, Any] = ordered.values_list(*names, "id")[:limit]
        return query

    def merge(self, by_cell: Mapping[Cell, Sequence[Keys]]) -> list[Place]:
        """The rows of all cells in one order, from their keys (each cell's in order)."""
        rows: list[tuple[Any, ...]] = [
            (*keys, cell) for cell, found in by_cell.items() for keys in found
        ]
        # Sorting is stable, so what is equal stays in order of cell and id.
        for position in reversed(range(len(self.keys))):
            descending = self.keys[position].descending
            if any(row[position] is None for row in rows):
                rows.sort(key=_nulls_last(position, descending), reverse=descending)
            else:
                rows.sort(key=itemgetter(position), reverse=descending)
        return [(row[-1], row[-2]) for row in rows]

    def window(
        self, counts: Mapping[Cell, int], start: int, stop: int
    ) -> tuple[list[Place], list[CellUnavailable]]:
        """Rows ``start`` to ``stop`` of the list, given how many each cell has.

        Also which cells did not answer.  The nearer end of the list is where it is read from.
        """
        total = sum(counts.values())
        start, stop = min(start, total), min(stop, total)
        if start == stop:
            return [], []
        backwards = total - start < stop
        limit = total - start if backwards else stop
        answers: Answers[list[Keys]] = ask_cells(
            [cell for cell, count in counts.items() if count],
            lambda cell: self.keys_in(cell, limit, backwards=backwards),
        )
        places = self.merge(answers.by_cell)
        if backwards:
            places = places[max(0, len(places) - limit) :][: stop - start]
        else:
            places = places[start:stop]
        return places, answers.missing


def _nulls_last(position: int, descending: bool) -> Callable[[tuple[Any, ...]], Any]:
    return lambda row: ((row[position] is None) != descending, row[position])


@dataclass
class WholeRows(Generic[M]):
    """The rows of a page, each with its cell, and the cells that did not answer."""

    rows: list[tuple[Cell, M]]
    missing: list[CellUnavailable]


def whole_rows(places: Sequence[Place], queryset: "QuerySet[M, Any]") -> WholeRows[M]:
    """The rows at these places in their order: one query for each cell that has some.

    Rows that have gone meanwhile are left out.
    """
    ids: dict[Cell, list[int]] = {}
    for cell, row_id in places:
        ids.setdefault(cell, []).append(row_id)
    answers = ask_cells(
        ids,
        lambda cell: {row.pk: row for row in queryset.using(cell.alias).filter(id__in=ids[cell])},
    )
    rows = [
        (cell, answers.by_cell[cell][row_id])
        for cell, row_id in places
        if row_id in answers.by_cell.get(cell, {})
    ]
    return WholeRows(rows, answers.missing)


def in_parts(places: Sequence[Place], size: int) -> Iterator[Sequence[Place]]:
    """``places`` in parts of at most ``size``."""
    for start in range(0, len(places), size):
        yield places[start : start + size]
