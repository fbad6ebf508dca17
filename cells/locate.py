"""Which cell has the row with this uuid or integer id."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import Model

from cells.across import AcrossCells, Asking
from cells.lanes import CellUnavailable
from cells.mappings import Cell

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

    asking = Asking(row_in)
    asking.put_to(first)
    asking.gather(settings.CELL_DEADLINE / 4, _is_there)
    found = asking.first(_is_there)
    if found is None:
        asking.put_to(others)
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
