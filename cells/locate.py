"""Finding the cell that has the row with a uuid, an integer id or a key.

A key is what the console names a row by: its uuid, or ``cell-uuid:id`` while it has none.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet

from cells.cache import Hints
from cells.executors import CellUnavailable
from cells.log_fields import located_in
from cells.registry import Cell, all_cells, cell_with_uuid
from cells.scatter_gather import AcrossCells, Answers, ScatterGather, ask_cells, first_of

M = TypeVar("M", bound=Model)

#: Largest value of Nova's ``Integer`` columns; PostgreSQL refuses to compare with a larger one.
MAX_ID = 2**31 - 1


class NotFound(Exception):
    """No cell has such a row; all of them were asked."""


class Ambiguous(Exception):
    """Several cells have a row with this integer id."""

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__(f"in cells {', '.join(cell.name for cell in cells)}")
        self.cells = cells


class MayBeMissing(Exception):
    """No row was found, or no other with its id, but some cells did not answer."""

    def __init__(self, missing: list[CellUnavailable]) -> None:
        super().__init__("; ".join(map(str, missing)))
        self.missing = missing


@dataclass(frozen=True)
class Found(Generic[M]):
    """A row and the cell that has it."""

    cell: Cell
    row: M


#: The cell that each uuid was last seen in.  The read that follows such a hint decides.
last_seen: Hints[str, Cell] = Hints(max_length=500_000)


def remember(cell: Cell, uuids: Iterable[str]) -> None:
    """Note that these uuids were read from ``cell``."""
    last_seen.note(uuids, cell)


def by_uuid(rows: AcrossCells[M], uuid: str) -> Found[Any]:
    """The row with this uuid; see ``find_uuid``."""
    found = find_uuid(uuid, rows.cells, lambda uuid: first_of(rows.queryset.filter(uuid=uuid)))
    located_in.set(found.cell.name)
    return found


def find_uuid(
    uuid: str, cells: Iterable[Cell], row_with: Callable[[str], Callable[[Cell], Any]]
) -> Found[Any]:
    """The row with this uuid, which may be in upper case, in one of ``cells``.

    ``row_with(uuid)`` is what to ask each cell; it returns the row, or ``None``.  The cell that the
    uuid was last seen in is asked first.  If that has no such row, or has not answered after a
    quarter of the deadline, the others are asked side by side; the first row ends the search.
    Raises ``NotFound``, or ``MayBeMissing`` when a cell does not answer.
    """
    if not _could_be_a_uuid(uuid):
        raise NotFound(uuid)
    uuid = uuid.lower()
    hint = last_seen.get(uuid)
    search = ScatterGather(row_with(uuid))
    search.submit(cell for cell in cells if cell == hint)
    search.gather(settings.CELL_DEADLINE / 4, stop_when=_exists)
    found = _first_of(search.answers())
    if found is None:
        search.submit(cell for cell in cells if cell != hint)
        search.gather(stop_when=_exists)
        found = _first_of(search.answers())
    if found is not None:
        remember(found.cell, [uuid])
        return found
    last_seen.discard(uuid)
    if missing := search.answers().missing:
        raise MayBeMissing(missing)
    raise NotFound(uuid)


def _could_be_a_uuid(text: str) -> bool:
    """Whether a row may have it as its uuid; databases raise errors for some other texts."""
    return len(text) <= 36 and text.isascii() and text.isprintable()


def _exists(row: object) -> bool:
    return row is not None


def _first_of(answers: Answers[Any]) -> Found[Any] | None:
    """The first row, in the cells' order."""
    found = (Found(cell, row) for cell, row in answers.by_cell.items() if _exists(row))
    return next(found, None)


def by_id(rows: AcrossCells[M], row_id: int) -> Found[Any]:
    """The row with this integer id, if exactly one cell has it.

    Raises ``NotFound``, ``Ambiguous``, or ``MayBeMissing`` when a cell that might have it, too,
    does not answer.
    """
    if not 0 < row_id <= MAX_ID:
        raise NotFound(row_id)
    answers = ask_cells(rows.cells, first_of(rows.queryset.filter(id=row_id)))
    found = [Found(cell, row) for cell, row in answers.by_cell.items() if row is not None]
    if len(found) > 1:
        raise Ambiguous([candidate.cell for candidate in found])
    if answers.missing:
        raise MayBeMissing(answers.missing)
    if not found:
        raise NotFound(row_id)
    located_in.set(found[0].cell.name)
    return found[0]


# --- keys ---


def key_of(cell: Cell, row: Any) -> str:
    """The key of ``row``."""
    return key_from(cell, row.uuid, row.pk)


def key_from(cell: Cell, uuid: str | None, row_id: int) -> str:
    """The key of the row with this uuid, or with this id while it has none."""
    return uuid or f"{cell.uuid}:{row_id}"


def _cell_and_id(key: str) -> tuple[Cell, int] | None:
    """What a ``cell-uuid:id`` names; ``None`` for any other key, or if there is no such cell."""
    cell_uuid, colon, row_id = key.partition(":")
    is_number = row_id.isascii() and row_id.isdigit() and len(row_id) <= len(str(MAX_ID))
    if not (colon and is_number and 0 < int(row_id) <= MAX_ID):
        return None
    cell = cell_with_uuid(cell_uuid)
    return None if cell is None else (cell, int(row_id))


def by_key(queryset: "QuerySet[M, Any]", key: str) -> Found[Any]:
    """The row with this key; raises ``NotFound`` or ``MayBeMissing``.

    A row that has been given a uuid since is still found by its cell and id.
    """
    if ":" not in key:
        return by_uuid(AcrossCells(queryset), key)
    place = _cell_and_id(key)
    if place is None:
        raise NotFound(key)
    cell, row_id = place
    answers = AcrossCells(queryset, [cell]).ask(lambda rows: rows.filter(id=row_id).first())
    if answers.missing:
        raise MayBeMissing(answers.missing)
    row = answers.by_cell[cell]
    if row is None:
        raise NotFound(key)
    return Found(cell, row)


def by_keys(
    queryset: "QuerySet[M, Any]", keys: Iterable[str]
) -> tuple[dict[str, Found[Any]], list[CellUnavailable]]:
    """The rows with these keys, in their order, and the cells that did not answer.

    Each cell gets one query for uuids and one for ids.  Keys of rows that do not exist are left
    out.
    """
    wanted = list(dict.fromkeys(keys))
    uuids = [key.lower() for key in wanted if ":" not in key and _could_be_a_uuid(key)]
    places = {key: place for key in wanted if (place := _cell_and_id(key)) is not None}
    ids: dict[Cell, list[int]] = {}
    for cell, row_id in places.values():
        ids.setdefault(cell, []).append(row_id)

    def rows_in(cell: Cell) -> tuple[dict[str, Any], dict[int, Any]]:
        rows = queryset.using(cell.alias)
        with_uuid = {row.uuid: row for row in rows.filter(uuid__in=uuids)} if uuids else {}
        with_id = {row.pk: row for row in rows.filter(id__in=ids[cell])} if cell in ids else {}
        return with_uuid, with_id

    answers = ask_cells(all_cells() if uuids else ids, rows_in)
    found: dict[str, Found[Any]] = {}
    for cell, (with_uuid, with_id) in answers.by_cell.items():
        remember(cell, with_uuid)
        for key in wanted:
            place = places.get(key)
            row = (
                with_uuid.get(key.lower())
                if place is None
                else with_id.get(place[1])
                if place[0] == cell
                else None
            )
            if row is not None:
                found[key] = Found(cell, row)
    return {key: found[key] for key in wanted if key in found}, answers.missing
