"""Asking many cells side by side: the only place that loops over cells.

A queryset is lazy and names no database, so it is built once and bound to each cell here.  As
in Nova's ``scatter_gather_cells``, an answer says which cells are missing from it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Model, QuerySet
from django.utils.translation import gettext_noop

from cells.databases import cause_of
from cells.deadlines import within
from cells.executors import CellUnavailable, executor_for
from cells.registry import Cell, all_cells
from cells.statements import Statement

M = TypeVar("M", bound=Model)
T = TypeVar("T")

#: How many cells to ask at once where each answer is much work for this process: more of them
#: would wait for each other here, and seem to be slow themselves.  25, and cell0.
CELLS_AT_ONCE = 26
#: How many callers of ``AcrossCells.map_rows`` ask at a time: they would wait for each other, too.
LISTS_AT_ONCE = 2
_lists = threading.BoundedSemaphore(LISTS_AT_ONCE)


@dataclass
class Answers(Generic[T]):
    """What each cell answered, in the cells' order, and why others did not."""

    by_cell: dict[Cell, T] = field(default_factory=dict)
    missing: list[CellUnavailable] = field(default_factory=list)

    def values(self) -> Iterable[T]:
        return self.by_cell.values()

    @property
    def complete(self) -> bool:
        """Whether every cell that was asked has answered."""
        return not self.missing


class ScatterGather(Generic[T]):
    """Calls ``ask(cell)`` for many cells side by side, all within one ``CELL_DEADLINE``.

    The deadline is counted from when this object was made.
    """

    def __init__(self, ask: Callable[[Cell], T]) -> None:
        self._ask = ask
        self._started = time.monotonic()
        self._submitted: list[Cell] = []
        self._pending: dict[Future[T], Cell] = {}
        self._results: dict[Cell, T] = {}
        self._causes: dict[Cell, str] = {}

    def submit(self, cells: Iterable[Cell]) -> None:
        """Ask these cells too; one that cannot be asked now is missing at once."""
        with within(settings.CELL_DEADLINE, since=self._started):
            for cell in cells:
                executor = executor_for(cell)
                self._submitted.append(cell)
                if cell.problem:
                    self._causes[cell] = cell.problem
                elif executor.is_away():
                    self._causes[cell] = executor.breaker.last_error
                else:
                    future = executor.submit(partial(self._ask, cell))
                    self._pending[future] = cell

    def gather(
        self,
        timeout: float = float("inf"),
        stop_when: Callable[[T], bool] | None = None,
    ) -> bool:
        """Wait for the answers; ``False`` when some are still to come.

        Returns when every cell has answered, failed or timed out, as soon as ``stop_when`` is
        true of one answer, and at the latest ``timeout`` seconds after this object was made.
        Whatever goes wrong in a cell is that cell's fault; only ``executors.DEFECTS`` are raised.
        """
        times_out_at = self._started + settings.CELL_DEADLINE
        returns_at = min(self._started + timeout, times_out_at)
        until = ALL_COMPLETED if stop_when is None else FIRST_COMPLETED
        while self._pending and (left := returns_at - time.monotonic()) > 0:
            done, _ = wait(self._pending, timeout=left, return_when=until)
            for future in done:
                cell = self._pending.pop(future)
                try:
                    result = self._results[cell] = future.result()
                except DatabaseError as error:
                    self._causes[cell] = cause_of(error)
                except CellUnavailable as error:
                    self._causes[cell] = error.cause
                else:
                    if stop_when is not None and stop_when(result):
                        return not self._pending
        if time.monotonic() >= times_out_at:
            self._time_out()
        return not self._pending

    @property
    def pending(self) -> int:
        """How many cells are still to answer."""
        return len(self._pending)

    def _time_out(self) -> None:
        """Stop waiting for the cells that have not answered."""
        now = time.monotonic()
        while self._pending:
            future, cell = self._pending.popitem()
            if future.cancel():  # it was never asked, so this is no failure of the cell
                cause = gettext_noop("busy: all its connections are in use")
            else:
                cause = gettext_noop("no answer within %.1f s") % (now - self._started)
                executor_for(cell).breaker.failed(cause)
            self._causes[cell] = cause

    def answers(self) -> Answers[T]:
        """What has arrived so far, in the cells' order."""
        return Answers(
            {cell: self._results[cell] for cell in self._submitted if cell in self._results},
            [
                CellUnavailable(cell, self._causes[cell])
                for cell in self._submitted
                if cell in self._causes
            ],
        )


def rows_of(queryset: "QuerySet[M, Any]") -> Callable[[Cell], list[Any]]:
    """What to call for a cell's rows of the queryset."""
    if not Statement.can_be_made_of(queryset):
        return lambda cell: list(queryset.using(cell.alias))
    statement = Statement(queryset)
    return lambda cell: statement.rows(cell.alias)


def first_of(queryset: "QuerySet[M, Any]") -> Callable[[Cell], Any]:
    """What to call for a cell's first row of the queryset, or ``None``."""
    rows_in = rows_of(queryset[:1])
    return lambda cell: next(iter(rows_in(cell)), None)


def ask_cells(
    cells: Iterable[Cell], ask: Callable[[Cell], T], *, at_once: int | None = None
) -> Answers[T]:
    """Call ``ask(cell)`` for all ``cells`` side by side, each in its own executor.

    Waits until each has answered or failed, for ``CELL_DEADLINE`` seconds at most.  Cells that
    fail, for whatever reason, whose breaker is open or that do not answer in time are in
    ``missing``.

    With ``at_once`` only so many cells are asked at a time, each batch with its own deadline.
    """
    cells = tuple(cells)
    batch_size = at_once or max(1, len(cells))
    answers: Answers[T] = Answers()
    for start in range(0, len(cells), batch_size):
        batch = ScatterGather(ask)
        batch.submit(cells[start : start + batch_size])
        batch.gather()
        answers.by_cell |= batch.answers().by_cell
        answers.missing += batch.answers().missing
    return answers


@dataclass
class Page(Generic[T]):
    """Rows of one page, cell by cell, and which cells are missing from it."""

    by_cell: list[tuple[Cell, list[T]]]
    missing: list[CellUnavailable]

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.by_cell)

    @property
    def rows(self) -> list[tuple[Cell, T]]:
        """Each row with its cell."""
        return [(cell, row) for cell, rows in self.by_cell for row in rows]


class AcrossCells(Generic[M]):
    """A queryset over the rows of many cells.

    ``cells`` is all of them unless given.  The queryset must not name a database.
    """

    def __init__(self, queryset: "QuerySet[M, Any]", cells: Iterable[Cell] | None = None) -> None:
        self.queryset = queryset
        self.cells = tuple(all_cells() if cells is None else cells)

    def ask(self, evaluate: Callable[["QuerySet[M, Any]"], T]) -> Answers[T]:
        """What ``evaluate`` makes of the queryset in every cell; see ``ask_cells``."""
        return ask_cells(self.cells, lambda cell: evaluate(self.queryset.using(cell.alias)))

    def all(self) -> Answers[list[Any]]:
        """Every cell's rows."""
        return ask_cells(self.cells, rows_of(self.queryset))

    def map_rows(self, make: Callable[[list[Any]], T]) -> Answers[T]:
        """What ``make`` makes of every cell's rows, in its thread.

        For so many rows that those of all cells should not be in memory at a time, nor the work
        with them count against one deadline: asks ``CELLS_AT_ONCE`` cells, whose threads take turns
        (``Statement.map_rows``), for ``LISTS_AT_ONCE`` callers.
        """
        statement = Statement(self.queryset)
        with _lists:
            return ask_cells(
                self.cells, lambda cell: statement.map_rows(cell.alias, make), at_once=CELLS_AT_ONCE
            )

    def count(self) -> Answers[int]:
        """How many rows each cell has."""
        return self.ask(lambda rows: rows.count())

    def page(self, limit: int, after: tuple[Cell, int] | None = None) -> Page[Any]:
        """At most ``limit`` rows in Nova's order: cell by cell, in each by ``id``.

        ``after`` is the cell and id of the last row of the page before.
        """
        cells = self.cells
        if after is not None:
            cells = cells[cells.index(after[0]) :]

        ordered = self.queryset.order_by("id")
        from_start = rows_of(ordered[:limit])
        first: Cell | None = None
        from_after = from_start
        if after is not None:
            first, from_after = after[0], rows_of(ordered.filter(id__gt=after[1])[:limit])

        def rows_in(cell: Cell) -> list[Any]:
            return from_after(cell) if cell == first else from_start(cell)

        answers = _ask_until_full(cells, rows_in, limit)
        page: Page[Any] = Page([], answers.missing)
        for cell, rows in answers.by_cell.items():
            if rows := rows[: limit - len(page)]:
                page.by_cell.append((cell, rows))
        return page


def _ask_until_full(
    cells: Sequence[Cell], rows_in: Callable[[Cell], list[T]], limit: int
) -> Answers[list[T]]:
    """Ask cells for their rows, in order, until there are ``limit`` rows or no more cells.

    They are asked in batches of one, two, four ..., so that a small page does not fetch every
    cell's rows.  If a cell has not answered after a quarter of the deadline, all that are left
    are asked at once: however many cells hang, this takes one deadline.
    """
    scatter_gather = ScatterGather(rows_in)
    asked, batch_size = 0, 1
    while asked < len(cells) and sum(map(len, scatter_gather.answers().values())) < limit:
        scatter_gather.submit(cells[asked : asked + batch_size])
        asked += batch_size
        batch_size *= 2
        if not scatter_gather.gather(settings.CELL_DEADLINE / 4):
            scatter_gather.submit(cells[asked:])
            asked = len(cells)
            scatter_gather.gather()
    return scatter_gather.answers()
