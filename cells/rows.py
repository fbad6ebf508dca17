"""How one row of one cell is named in the console: by uuid, or by cell and id without one."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from cells.across import AcrossCells, ask_cells
from cells.lanes import CellUnavailable
from cells.locate import MAX_ID, Found, MayBeMissing, NotFound, by_uuid, remember
from cells.mappings import Cell, all_cells

M = TypeVar("M", bound=Model)


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
