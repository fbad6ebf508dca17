"""Which cell has the row with this uuid, integer id or key.

A key names one row in the console: its uuid, or ``cell-uuid:id`` while it has none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet

from cells.executors import CellUnavailable
from cells.registry import Cell, all_cells
from cells.scatter_gather import AcrossCells, ScatterGather, ask_cells

M = TypeVar("M", bound=Model)

#: Largest value of Nova's ``Integer`` columns; PostgreSQL refuses to compare with a larger one.
MAX_ID = 2**31 - 1


class NotFound(Exception):
    """No cell has such a row, and every cell was asked."""


class Ambiguous(Exception):
    """Several cells have a row with this integer id."""

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__(f"in cells {', '.join(cell.name for cell in cells)}")
        self.cells = cells


class MayBeMissing(Exception):
    """The row was not found (or not found to be the only one), but some cells did not answer."""

    def __init__(self, missing: list[CellUnavailable]) -> None:
        super().__init__("; ".join(str(one) for one in missing))
        self.missing = missing


@dataclass(frozen=True)
class Found(Generic[M]):
    """A row and the cell that has it."""

    cell: Cell
    row: M


#: Where each uuid was last seen.  Only a hint: the read that follows it decides.
_seen: dict[str, Cell] = {}
_SEEN_AT_MOST = 500_000


def remember(cell: Cell, uuids: list[str]) -> None:
    """Note that these uuids were read from ``cell``."""
    if len(_seen) > _SEEN_AT_MOST:
        _seen.clear()
    _seen.update(dict.fromkeys(uuids, cell))


def by_uuid(rows: AcrossCells[M], uuid: str) -> Found[Any]:
    """The row with that uuid, in any spelling of case.

    The cell where it was seen last is asked first, then (or when it has not answered after a
    quarter of the deadline) the others side by side; the first row ends the search.  Raises
    ``NotFound``, or ``MayBeMissing`` when a cell is away.
    """
    if len(uuid) > 36 or not uuid.isascii() or not uuid.isprintable():
        raise NotFound(uuid)  # no row has it, and not every database would look for it
    uuid = uuid.lower()
    hint = _seen.get(uuid)
    first = [cell for cell in rows.cells if cell == hint]
    others = [cell for cell in rows.cells if cell != hint]

    def row_in(cell: Cell) -> Any:
        return rows.queryset.using(cell.alias).filter(uuid=uuid).first()

    asking = ScatterGather(row_in)
    asking.submit(first)
    asking.gather(settings.CELL_DEADLINE / 4, _is_there)
    found = asking.first(_is_there)
    if found is None:
        asking.submit(others)
        asking.gather(enough=_is_there)
        found = asking.first(_is_there)
    if found is not None:
        remember(found[0], [uuid])
        return Found(*found)
    missing = asking.answers().missing
    _seen.pop(uuid, None)
    if missing:
        raise MayBeMissing(missing)
    raise NotFound(uuid)


def _is_there(row: object) -> bool:
    return row is not None


def by_id(rows: AcrossCells[M], row_id: int) -> Found[Any]:
    """The row with that integer id, if exactly one cell has it.

    Raises ``NotFound``, ``Ambiguous``, or ``MayBeMissing`` when a cell that may have it too is
    away.
    """
    if not 0 < row_id <= MAX_ID:
        raise NotFound(row_id)
    answers = rows.ask(lambda queryset: queryset.filter(id=row_id).first())
    found = [Found(cell, row) for cell, row in answers.by_cell.items() if row is not None]
    if len(found) > 1:
        raise Ambiguous([one.cell for one in found])
    if answers.missing:
        raise MayBeMissing(answers.missing)
    if not found:
        raise NotFound(row_id)
    return found[0]


# --- keys ---


def key_of(cell: Cell, row: Any) -> str:
    """``row.uuid``, or ``cell-uuid:id`` while it has none."""
    return key_from(cell, row.uuid, row.pk)


def key_from(cell: Cell, uuid: str | None, row_id: int) -> str:
    """The key of a row that is not at hand."""
    return uuid or f"{cell.uuid}:{row_id}"


def cell_and_id(key: str) -> tuple[Cell, int] | None:
    """What a ``cell-uuid:id`` names; ``None`` when ``key`` is none or names no cell."""
    cell_uuid, colon, row_id = key.partition(":")
    if not (colon and row_id.isascii() and row_id.isdigit() and 0 < int(row_id) <= MAX_ID):
        return None
    cell = next((cell for cell in all_cells() if cell.uuid == cell_uuid), None)
    return None if cell is None else (cell, int(row_id))


def by_key(queryset: "QuerySet[M, Any]", key: str) -> Found[Any]:
    """The row that ``key_of`` names so; raises ``NotFound`` or ``MayBeMissing``.

    A row that has got its uuid meanwhile is still found by its cell and id.
    """
    if ":" not in key:
        return by_uuid(AcrossCells(queryset), key)
    place = cell_and_id(key)
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
    """The rows with these keys (one query per cell for uuids, one for ids), and which cells did
    not answer.  Keys of rows that are not there are left out.
    """
    wanted = list(dict.fromkeys(keys))
    uuids = [key.lower() for key in wanted if ":" not in key]
    places = {key: place for key in wanted if (place := cell_and_id(key)) is not None}
    ids: dict[Cell, list[int]] = {}
    for cell, row_id in places.values():
        ids.setdefault(cell, []).append(row_id)

    def ask(cell: Cell) -> tuple[dict[str, Any], dict[int, Any]]:
        rows = queryset.using(cell.alias)
        by_its_uuid = {row.uuid: row for row in rows.filter(uuid__in=uuids)} if uuids else {}
        by_its_id = {row.pk: row for row in rows.filter(id__in=ids[cell])} if cell in ids else {}
        return by_its_uuid, by_its_id

    answers = ask_cells(all_cells() if uuids else ids, ask)
    found: dict[str, Found[Any]] = {}
    for cell, (with_uuid, with_id) in answers.by_cell.items():
        remember(cell, list(with_uuid))
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
