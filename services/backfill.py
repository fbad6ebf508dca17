"""Giving a uuid to the services that have none yet.

Services created before Nova 16 (Pike) were given one when a Nova of that time read them; Nova no
longer does this.  Only live rows get a uuid: deleted rows keep their null, as in Nova.  Nothing
but the uuid is written, not even ``updated_at``, and a uuid is never replaced.
"""

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.models import QuerySet

from cells.databases import cause_of
from cells.registry import Cell
from cells.scatter_gather import AcrossCells, Answers
from services.models import Service

logger = logging.getLogger(__name__)

#: Rows given a uuid in one transaction of some 20 ms, for which their heartbeats have to wait.
BATCH_SIZE = 500

#: How often a batch is tried after deadlocks and lost connections, and the seconds in between.
TRIES = 4
PAUSE = 0.2


@dataclass
class CellBackfill:
    """How many services of a cell had no uuid, how many were given one, and what went wrong."""

    cell: Cell
    found: int = 0
    done: int = 0
    error: str = ""

    @property
    def left(self) -> int:
        """How many services still have none, as far as is known."""
        return max(0, self.found - self.done)


def services_without_uuid() -> Answers[int]:
    """How many live services of each cell have no uuid."""
    return AcrossCells(without_uuid()).count()


def without_uuid() -> QuerySet[Service]:
    """The live services that have no uuid, in a cell that the caller names."""
    rows: QuerySet[Service] = Service.objects.filter(uuid=None)
    return rows


def look(cell: Cell) -> CellBackfill:
    """Count the services of a cell that need a uuid."""
    work = CellBackfill(cell, error=cell.problem)
    if not work.error:
        try:
            work.found = without_uuid().using(cell.alias).count()
        except DatabaseError as error:
            work.error = cause_of(error)
    return work


def fill(work: CellBackfill, at_most: int | None, batch_size: int) -> Iterator[CellBackfill]:
    """Give up to ``at_most`` services of the cell a uuid, yielding ``work`` after each batch.

    Each batch is a transaction, so the backfill can be stopped or killed at any moment and
    started again.  Several can run at once; they take different rows.
    """
    rows = without_uuid().using(work.cell.alias)
    skip_locked = connections[work.cell.alias].features.has_select_for_update_skip_locked
    after = 0
    try:
        while at_most is None or work.done < at_most:
            size = batch_size if at_most is None else min(batch_size, at_most - work.done)
            ids, done = _with_retries(partial(_batch, rows, after, size, skip_locked), work.cell)
            if ids:
                after = ids[-1]
                work.done += done
                yield work
            elif rows.exists():  # rows that others had locked, or that are new
                after, skip_locked = 0, False
            else:
                break
    except DatabaseError as error:
        work.error = cause_of(error)
    work.found = max(work.found, work.done)


def _with_retries(batch: "partial[tuple[list[int], int]]", cell: Cell) -> tuple[list[int], int]:
    """Do a batch, again after a moment if the database has broken it off."""
    connection = connections[cell.alias]
    for tries_left in reversed(range(TRIES)):
        try:
            return batch()
        except (OperationalError, InterfaceError) as error:
            if not tries_left:
                raise
            logger.info("cell %s: a batch is tried again: %s", cell, cause_of(error))
            connection.close_if_unusable_or_obsolete()
            time.sleep(PAUSE)
    raise AssertionError("unreachable")


def _batch(
    rows: QuerySet[Service], after: int, size: int, skip_locked: bool
) -> tuple[list[int], int]:
    """Fill in the next rows by id; returns their ids, and how many of them still had no uuid."""
    alias = rows.db
    with transaction.atomic(using=alias):
        locked = rows.select_for_update(skip_locked=skip_locked).filter(id__gt=after)
        ids = list(locked.order_by("id").values_list("id", flat=True)[:size])
        return ids, _write_uuids(alias, ids) if ids else 0


def _write_uuids(alias: str, ids: list[int]) -> int:
    """Write all in one statement, which is two to three times as fast as one for each row."""
    cases = " ".join(["WHEN %s THEN %s"] * len(ids))
    places = ", ".join(["%s"] * len(ids))
    values = [value for row_id in ids for value in (row_id, str(uuid.uuid4()))]
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"UPDATE services SET uuid = CASE id {cases} END "  # noqa: S608 - only placeholders
            f"WHERE id IN ({places}) AND uuid IS NULL AND deleted = 0",
            [*values, *ids],
        )
        return int(cursor.rowcount)
