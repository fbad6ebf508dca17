"""One list of the rows of many cells, in any order, without fetching more than a page needs.

Each cell sorts its own rows and returns only their sort keys and ids: somewhat more than its share
of the page, and further ones where the page turns out to have more of its rows.  The keys are
merged here, and whole rows are fetched for the page alone.  The order does not depend on the
databases: text is ordered by code point, nulls come last in both directions, and rows with equal
keys are in order of cell and id.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

from django.db.models import F, Func, Model, QuerySet, TextField
from django.db.models.expressions import Combinable, OrderBy

from cells.executors import CellUnavailable
from cells.registry import Cell
from cells.scatter_gather import Answers, ask_cells
from cells.statements import Parameter, Statement

M = TypeVar("M", bound=Model)

#: The sort keys of a row, and then its id.
Keys = tuple[Any, ...]
Place = tuple[Cell, int]

#: Up to so many sort keys may be asked of each cell before it is known how many rows there are.
MAX_FIRST_KEYS = 2_000
#: At least so many are asked of each cell at first, and then of some cells so many times as many.
FEWEST_KEYS, MORE_KEYS = 16, 4


class CodePoints(Func):
    """Text that is ordered by code point, whatever the collation of the database."""

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
    """What to sort by.

    ``by`` is a field's name, an expression, or a function from a cell to an expression; it may
    also return a plain ``str``, which is then the value for all rows of that cell.  ``text``
    must be true for text, or each database would order it in its own way.
    """

    by: str | Combinable | Callable[[Cell], Combinable | str]
    descending: bool = False
    text: bool = False

    @property
    def varies(self) -> bool:
        """Whether the expression may be another in each cell."""
        return not isinstance(self.by, str | Combinable)

    def in_cell(self, cell: Cell) -> Combinable | str:
        """The expression in ``cell``, or the value for all its rows."""
        if isinstance(self.by, str):
            return F(self.by)
        if isinstance(self.by, Combinable):
            return self.by
        return self.by(cell)


class MergedRows(Generic[M]):
    """The rows of ``queryset_in(cell)`` of all cells as one list, in the order of ``keys``.

    The querysets name no database.  Cells for which it returns the same object share its SQL, with
    the cell as the value of a ``Parameter("cell")``.
    """

    def __init__(
        self, queryset_in: "Callable[[Cell], QuerySet[M, Any]]", keys: Sequence[SortKey]
    ) -> None:
        self.queryset_in = queryset_in
        self.keys = tuple(keys)
        self._lock = threading.Lock()
        self._statements: dict[tuple[Any, ...], tuple[QuerySet[M, Any], Statement]] = {}

    def keys_in(
        self, cell: Cell, limit: int | None = None, *, backwards: bool = False
    ) -> list[Keys]:
        """The keys and ids, in order, of the first ``limit`` rows in ``cell``.

        With ``backwards`` those of the last ``limit`` rows.  To be called in the cell's executor.
        """
        by = [key.in_cell(cell) for key in self.keys]
        found = self._statement(cell, by, limit, backwards).rows(cell.alias, cell=cell)
        for position, value in enumerate(by):
            if isinstance(value, str):
                found = [(*keys[:position], value, *keys[position:]) for keys in found]
        return found[::-1] if backwards else found

    def _statement(
        self, cell: Cell, by: Sequence[Combinable | str], limit: int | None, backwards: bool
    ) -> Statement:
        rows = self.queryset_in(cell)
        shared_by = cell if any(key.varies for key in self.keys) else None  # None: by all cells
        with self._lock:
            at = (id(rows), shared_by, limit, backwards)
            if at not in self._statements:
                query = self._ordered(rows, by, limit, backwards)
                self._statements[at] = (rows, Statement(query))  # with rows, so that the id holds
            return self._statements[at][1]

    def _ordered(
        self,
        rows: "QuerySet[M, Any]",
        by: Sequence[Combinable | str],
        limit: int | None,
        backwards: bool,
    ) -> "QuerySet[M, Any]":
        """The query for the keys, without those that are one value for the whole cell."""
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
        """The places of all rows in order, given the keys of each cell in order."""
        rows: list[tuple[Any, ...]] = [
            (*keys, cell) for cell, found in by_cell.items() for keys in found
        ]
        # Sorting is stable, so rows with equal keys stay in order of cell and id.
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
        """Where rows ``start`` to ``stop`` of the list are, and the cells that did not answer.

        ``counts`` says how many rows each cell has; the list is read from its nearer end.
        """
        total = sum(counts.values())
        start, stop = min(start, total), min(stop, total)
        if start == stop:
            return [], []
        backwards = total - start < stop
        needed = total - start if backwards else stop
        cells = [cell for cell, count in counts.items() if count]
        limit = keys_at_first(needed, len(cells))
        answers: Answers[list[Keys]] = ask_cells(
            cells, lambda cell: self.keys_in(cell, limit, backwards=backwards)
        )
        places, missing = self.end_of_list(answers.by_cell, limit, needed, backwards=backwards)
        return (places[: stop - start] if backwards else places[start:stop]), [
            *answers.missing,
            *missing,
        ]

    def end_of_list(
        self,
        by_cell: Mapping[Cell, Sequence[Keys]],
        limit: int,
        needed: int,
        *,
        backwards: bool = False,
    ) -> tuple[list[Place], list[CellUnavailable]]:
        """The places of the first ``needed`` rows of the list, or with ``backwards`` of the last.

        ``by_cell`` are the first keys of each cell, at most ``limit``.  Cells all of whose keys are
        among those rows are asked for more: mostly few, since rows are spread over the cells.
        Returns also the cells that did not answer then.
        """
        known = dict(by_cell)
        missing: list[CellUnavailable] = []
        cut = {cell for cell, keys in known.items() if len(keys) >= limit}
        while True:
            places = self.merge(known)
            places = places[-needed:] if backwards else places[:needed]
            shown = Counter(cell for cell, _id in places)
            cut = {cell for cell in cut if limit < needed and shown[cell] == len(known[cell])}
            if not cut:
                return places, missing
            limit = min(limit * MORE_KEYS, needed)
            ask = partial(self.keys_in, limit=limit, backwards=backwards)
            answers: Answers[list[Keys]] = ask_cells([cell for cell in known if cell in cut], ask)
            known |= answers.by_cell
            for absence in answers.missing:
                del known[absence.cell]
            missing += answers.missing
            cut = {cell for cell, keys in answers.by_cell.items() if len(keys) >= limit}


def keys_at_first(needed: int, cells: int) -> int:
    """How many keys to ask each cell for at first, where so many rows of all cells are needed."""
    return min(needed, max(FEWEST_KEYS, 2 * needed // max(1, cells)))


def _nulls_last(position: int, descending: bool) -> Callable[[tuple[Any, ...]], Any]:
    return lambda row: ((row[position] is None) != descending, row[position])


@dataclass
class WholeRows(Generic[M]):
    """The rows of a page, each with its cell, and the cells that did not answer."""

    rows: list[tuple[Cell, M]]
    missing: list[CellUnavailable]


def whole_rows(places: Sequence[Place], queryset: "QuerySet[M, Any]") -> WholeRows[M]:
    """The rows at these places, in their order: one query for each cell that has any.

    Rows that have been deleted since are left out.
    """
    ids: dict[Cell, list[int]] = {}
    for cell, row_id in places:
        ids.setdefault(cell, []).append(row_id)
    statement = Statement(queryset.filter(id__among=Parameter("ids")))

    def rows_in(cell: Cell) -> dict[int, M]:
        return {row.pk: row for row in statement.rows(cell.alias, ids=ids[cell])}

    answers = ask_cells(ids, rows_in)
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
