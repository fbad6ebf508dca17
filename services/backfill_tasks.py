"""Backfills that the console starts: a cell's services get their uuids from the queue of work.

An intent of the audit is the state of the backfill of a cell: ``before`` has how many services had
no uuid when it was started, ``after`` how many have none by now.  It becomes the audit entry when
the backfill ends.  Each task fills in batches for a moment and puts the next task into the queue,
so that a worker has time for others.  Where a task is lost with its worker, the backfill is
continued by whoever finds it standing still.
"""

import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_noop, ngettext
from django_tasks import task

from audit import journal
from audit.journal import Actor, draft
from audit.models import Entry, Intent, Outcome
from cells.registry import Cell, cell_with_uuid
from services.backfill import BATCH_SIZE, CellBackfill, fill, look

KIND = "uuid-backfill"
ACTION = gettext_noop("backfill uuids")
#: Seconds of work of a task.
TASK_SECONDS = 2.0
#: Seconds without progress after which a backfill is said to stand still.
STANDS_STILL_AFTER = 60.0


@dataclass(frozen=True)
class Backfill:
    """The backfill of a cell that has been started and has not ended."""

    intent: Intent

    @property
    def cell_uuid(self) -> str:
        return str(self.intent.subject)

    @property
    def username(self) -> str:
        return str(self.intent.entry["username"])

    @property
    def found(self) -> int:
        return int(self.intent.entry["before"]["without_uuid"])

    @property
    def left(self) -> int:
        return int(self.intent.entry["after"]["without_uuid"])

    @property
    def done(self) -> int:
        return max(0, self.found - self.left)

    @property
    def stands_still(self) -> bool:
        """Whether no task has told of it for so long that its worker must be gone, or busy."""
        told_at = float(self.intent.entry["after"]["at"])
        return time.time() - told_at > STANDS_STILL_AFTER


def running() -> dict[str, Backfill]:
    """The backfills that have not ended, by the uuid of their cell."""
    intents = Intent.objects.filter(kind=KIND).order_by("id")
    return {intent.subject: Backfill(intent) for intent in intents}


def start(actor: Actor, cell: Cell, found: int) -> None:
    """Begin to give a uuid to the ``found`` services of a cell that have none."""
    entry = draft(actor, ACTION, subject=cell.name, cell_uuid=cell.uuid, cell_name=cell.name)
    entry.before, entry.after = {"without_uuid": found}, _state(found)
    fill_batches.enqueue(journal.begin(entry, KIND, cell.uuid).pk)


def go_on(backfill: Backfill) -> None:
    """Put the next task of a backfill into the queue that has lost its last one."""
    _note(backfill.intent, backfill.left)
    fill_batches.enqueue(backfill.intent.pk)


@task()
def fill_batches(intent_id: int) -> int:
    """Fill in batches for a moment, and go on later; how many services were given a uuid."""
    intent = Intent.objects.filter(pk=intent_id, kind=KIND).first()
    if intent is None:  # it has ended
        return 0
    cell = cell_with_uuid(intent.subject)
    if cell is None:
        journal.end(intent, Outcome.FAILED, "the cell is not mapped any more")
        return 0
    work = CellBackfill(cell)
    until = time.monotonic() + TASK_SECONDS
    for _work in fill(work, None, BATCH_SIZE):
        if time.monotonic() >= until:
            break
    left = look(cell)
    if error := work.error or left.error:
        given = Backfill(intent).done + work.done
        journal.end(intent, Outcome.FAILED, f"{_given(given)}; {error}")
    elif left.found:
        _note(intent, left.found)
        fill_batches.enqueue(intent_id)
    else:
        _end(intent)
    return work.done


def _state(left: int) -> dict[str, Any]:
    return {"without_uuid": left, "at": time.time()}


def _note(intent: Intent, left: int) -> None:
    """Write down how far a backfill is."""
    intent.entry = {**intent.entry, "after": _state(left)}
    Intent.objects.filter(pk=intent.pk).update(entry=intent.entry)


def _given(services: int) -> str:
    """How many got one, in English: it is stored."""
    with translation.override(settings.LANGUAGE_CODE):
        words = ngettext(
            "%(n)d service was given a uuid", "%(n)d services were given a uuid", services
        )
        return words % {"n": services}


def _end(intent: Intent) -> None:
    given = intent.entry["before"]["without_uuid"]
    intent.entry = {**intent.entry, "after": {"without_uuid": 0}}
    journal.end(intent, Outcome.DONE, _given(given))


def settle(entry: Entry) -> tuple[Outcome, str] | None:
    """Whether an old backfill has ended: one that has not is left to be continued."""
    cell = cell_with_uuid(entry.cell_uuid)
    if cell is None:
        return Outcome.FAILED, "the cell is not mapped any more"
    left = look(cell)
    if left.error or left.found:
        return None
    return Outcome.DONE, "all services have a uuid"


journal.register(KIND, settle)
