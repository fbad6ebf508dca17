"""ScatterGather all cells side by side: the only place that loops over cells.

A queryset is lazy and names no database, so it is built once and bound to each cell here.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Model, QuerySet

from cells.databases import cause_of
from cells.executors import CellUnavailable, executor_for
from cells.registry import Cell, all_cells

M = TypeVar("M", bound=Model)
T = TypeVar("T")


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
    """One question put to cells, side by side; all of it ends with one deadline."""

    def __init__(self, ask: Callable[[Cell], T]) -> None:
        self._ask = ask
        self._began = time.monotonic()
        self._asked: list[Cell] = []
        self._waiting: dict[Future[T], tuple[Cell, float]] = {}
        self._results: dict[Cell, T] = {}
        self._causes: dict[Cell, str] = {}

    def submit(self, cells: Iterable[Cell]) -> None:
        """Ask these cells too; those known to be away count as missing at once."""
        for cell in cells:
            lane = executor_for(cell)
            self._asked.append(cell)
            if cell.problem:
                self._causes[cell] = cell.problem
            elif lane.is_open():
                self._causes[cell] = lane.health.last_error
            else:
                future = lane.submit(partial(self._ask, cell))
                late = min(self._began + settings.CELL_DEADLINE, time.monotonic() + lane.timeout())
                self._waiting[future] = (cell, late)

    def gather(
        self, seconds: float = float("inf"), enough: Callable[[T], bool] | None = None
    ) -> bool:
        """Wait for the answers; ``False`` when some are still to come.

        Ends when every cell has answered, failed or used up its deadline, when one answer is
        ``enough``, or ``seconds`` after the question was first put.  An error that is not the
        database's own is raised.
        """
        until = self._began + seconds
        while self._waiting and time.monotonic() < until:
            soonest = min(until, *(late for _, late in self._waiting.values()))
            done, _ = wait(
                self._waiting,
                timeout=max(0, soonest - time.monotonic()),
                return_when=FIRST_COMPLETED,
            )
            for future in done:
                cell, _ = self._waiting.pop(future)
                try:
                    result = self._results[cell] = future.result()
                except DatabaseError as error:
                    self._causes[cell] = cause_of(error)
                else:
                    if enough is not None and enough(result):
                        return not self._waiting
            now = time.monotonic()
            for future in [late for late, (_, at) in self._waiting.items() if at <= now]:
                cell, _ = self._waiting.pop(future)
                self._causes[cell] = _give_up(cell, future, now - self._began)
        return not self._waiting

    def first(self, wanted: Callable[[T], bool]) -> tuple[Cell, T] | None:
        """The first cell, in their order, whose answer is wanted, with that answer."""
        for cell, result in self.answers().by_cell.items():
            if wanted(result):
                return cell, result
        return None

    def counts(self, measure: Callable[[T], int]) -> int:
        """The sum of ``measure`` over the answers that have arrived."""
        return sum(measure(result) for result in self._results.values())

    def answers(self) -> Answers[T]:
        """What has arrived so far, in the cells' order."""
        return Answers(
            {cell: self._results[cell] for cell in self._asked if cell in self._results},
            [
                CellUnavailable(cell, self._causes[cell])
                for cell in self._asked
                if cell in self._causes
            ],
        )


def ask_cells(
    cells: Iterable[Cell],
    ask: Callable[[Cell], T],
    *,
    enough: Callable[[T], bool] | None = None,
) -> Answers[T]:
    """Call ``ask(cell)`` for all ``cells`` side by side, each on its own lane.

    Waits until each has answered or failed, for ``CELL_DEADLINE`` seconds at most; with
    ``enough`` only until one answer satisfies it.  Cells that fail, that failed a moment ago or
    that are late are in ``missing``; an error that is not the database's own is raised.
    """
    asking = ScatterGather(ask)
    asking.submit(cells)
    asking.gather(enough=enough)
    return asking.answers()


def _give_up(cell: Cell, future: "Future[Any]", waited: float) -> str:
    """Stop waiting for a cell; only one that was really asked counts as failed."""
    if future.cancel():
        return "busy: all its connections are in use"
    cause = f"no answer within {waited:.1f} s"
    executor_for(cell).failed(cause)
    return cause


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

    def ask(
        self,
        question: Callable[["QuerySet[M, Any]"], T],
        *,
        enough: Callable[[T], bool] | None = None,
    ) -> Answers[T]:
        """Answer ``question`` about the queryset of every cell; see ``ask_cells``."""
        return ask_cells(
            self.cells, lambda cell: question(self.queryset.using(cell.alias)), enough=enough
        )

    def all(self) -> Answers[list[Any]]:
        """Every cell's rows."""
        return self.ask(list)

    def count(self) -> Answers[int]:
        """How many rows each cell has."""
        return self.ask(lambda rows: rows.count())

    def page(self, limit: int, after: tuple[Cell, int] | None = None) -> Page[Any]:
        """At most ``limit`` rows in Nova's order: cell by cell, in each by ``id``.

        ``after`` is the cell and id of the last row of the page before.  Cells are asked in
        waves of one, two, four ... until the page is full, so that a small page does not fetch
        every cell's rows.  When a cell has not answered after a quarter of the deadline, all
        that are left are asked at once: however many cells hang, a page waits one deadline.
        """
        cells = self.cells
        if after is not None:
            cells = cells[cells.index(after[0]) :]

        def ask(cell: Cell) -> list[Any]:
            rows = self.queryset.using(cell.alias).order_by("id")
            if after is not None and cell == after[0]:
                rows = rows.filter(id__gt=after[1])
            return list(rows[:limit])

        asking = ScatterGather(ask)
        asked, wave = 0, 1
        while asked < len(cells) and asking.counts(len) < limit:
            asking.submit(cells[asked : asked + wave])
            asked += wave
            if not asking.gather(settings.CELL_DEADLINE / 4):
                asking.submit(cells[asked:])
                asked = len(cells)
                asking.gather()
            wave *= 2
        answers = asking.answers()
        page: Page[Any] = Page([], answers.missing)
        room = limit
        for cell, rows in answers.by_cell.items():
            if rows[:room]:
                page.by_cell.append((cell, rows[:room]))
                room -= len(rows[:room])
        return page
