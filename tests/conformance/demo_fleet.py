"""The demo fleet in the databases of a real Nova, to compare Nova and the portal on it."""

from django.db import connections

from cells.models import CellMapping
from cells.registry import cells_named
from hypervisors.demo.builder import AggregateRow
from hypervisors.demo.databases import (
    API,
    API_MODELS,
    CELL_MODELS,
    empty,
    reset_sequences,
    write_api,
    write_cell,
)
from hypervisors.demo.fleet import Fleet


def write_into_nova(fleet: Fleet) -> None:
    """Write the fleet into the databases of a real Nova, replacing *everything* there.

    The portal must be attached to that Nova, whose cells are found by their names.  Raises
    ``LookupError`` when a cell is not mapped, or ``DatabaseError``.
    """
    names = [fleet.name_of(number) for number in range(len(fleet))]
    cells = {cell.name: cell for cell in cells_named(names)}
    mappings: list[tuple[str, int]] = []
    instances: list[tuple[str, str, int]] = []
    aggregates: list[AggregateRow] = []
    for rows in fleet:
        cell = cells[rows.name]
        empty(cell.alias, CELL_MODELS)
        write_cell(rows, cell.alias)
        _fill_nova_columns(cell.alias)
        mappings += rows.mappings
        instances += rows.instance_mappings
        aggregates += rows.aggregates
    ours = tuple(model for model in API_MODELS if model is not CellMapping)
    empty(API, ours)
    cell_ids = {number: cells[fleet.name_of(number)].id for number in range(len(fleet))}
    write_api(mappings, instances, aggregates, cell_ids, created_at=fleet.now)
    reset_sequences(API, ours)


def _fill_nova_columns(alias: str) -> None:
    """Fill columns that the portal's models do not have and Nova's objects require."""
    with connections[alias].cursor() as cursor:
        cursor.execute("UPDATE instances SET hidden = false, locked = false, cleaned = 0")
        cursor.execute("UPDATE migrations SET hidden = false, cross_cell_move = false")
