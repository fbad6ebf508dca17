"""Changing a service in the databases, on record.

The pieces that ``services.actions`` carries out its actions with; no rule is here but those that
a ``Change`` makes sense and can be stored.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import (
    DatabaseError,
    DataError,
    OperationalError,
    connections,
    router,
    transaction,
)
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from audit import journal
from audit.journal import Actor, Attempt
from audit.models import Entry, Outcome
from audit.outbox import Message
from cells.aggregates import aggregates_of_hosts
from cells.databases import blamed, blaming, cause_of
from cells.deadlines import within
from cells.executors import executor_for
from cells.locate import Found
from cells.models import AggregateHost, HostMapping
from cells.registry import Cell, cell_with_uuid
from cells.scatter_gather import AcrossCells
from services import host_removal, notifications
from services.exceptions import Invalid, Unavailable
from services.host_removal import HostInPlacement
from services.locate import ServiceRef
from services.models import NOVA_COMPUTE, Service

#: The kind of these actions, to the journal.
KIND = "service"

#: How Nova's API database is called where it fails.
API_DATABASE = gettext_noop("the API database")

#: What databases can store as a reason.
REASON = re.compile("[^\0\ud800-\udfff]{1,255}")


@dataclass(frozen=True)
class Change:
    """What to update; ``None`` leaves things as they are.

    ``status`` is ``enabled`` or ``disabled``; ``reason`` goes with ``disabled``, which without
    one removes the reason there was.
    """

    status: str | None = None
    reason: str | None = None
    forced_down: bool | None = None

    def check(self) -> None:
        """Raise ``Invalid`` when it contradicts itself, asks for nothing or cannot be stored."""
        if self.status == "enabled" and self.reason:
            raise Invalid(
                gettext_noop("Specifying 'disabled_reason' with status 'enabled' is invalid.")
            )
        if self.status is None and self.forced_down is None:
            raise Invalid(
                gettext_noop(
                    "No updates were requested. Fields 'status' or 'forced_down' should be "
                    "specified."
                )
            )
        if self.reason is not None and not REASON.fullmatch(self.reason):
            raise Invalid(
                gettext_noop(
                    "Invalid input for field/attribute disabled_reason: it must have 1 to 255 "
                    "characters, none of them NUL or half of a surrogate pair."
                )
            )

    def columns(self) -> dict[str, Any]:
        """The columns that it sets."""
        columns: dict[str, Any] = {}
        if self.status is not None:
            columns |= {"disabled": self.status == "disabled", "disabled_reason": self.reason}
        if self.forced_down is not None:
            columns["forced_down"] = self.forced_down
        return columns


@dataclass(frozen=True)
class Applied(Found[Service]):
    """The service after an action, and what is to be said of what followed from it, if anything:
    another service of the cloud that did not do its part.
    """

    remark: str = ""


def state_of(service: Service) -> dict[str, Any]:
    """The columns that actions change, as the audit shows them."""
    return {
        "status": "disabled" if service.disabled else "enabled",
        "disabled_reason": service.disabled_reason,
        "forced_down": bool(service.forced_down),
    }


# --- an action's transaction ------------------------------------------------------------------


@contextmanager
def recorded(entry: Entry) -> Iterator[Attempt]:
    """``journal.recorded`` for a service; a database that fails becomes a refusal."""
    try:
        with journal.recorded(entry, KIND) as attempt:
            yield attempt
    except DataError as error:
        words = gettext_noop("The database of the cell cannot store it: %(cause)s")
        raise Invalid(words % {"cause": cause_of(error)}) from error
    except DatabaseError as error:
        words = gettext_noop("%(where)s failed: %(cause)s")
        where = blamed(error) or API_DATABASE
        raise Unavailable(words % {"where": where, "cause": cause_of(error)}) from error


def describe(entry: Entry, found: Found[Service]) -> None:
    """Fill in what the entry says of the service as it is now."""
    cell, service = found.cell, found.row
    entry.cell_uuid, entry.cell_name = cell.uuid, cell.name
    entry.service_uuid, entry.service_id = service.uuid or "", service.id
    entry.host, entry.binary = service.host or "", service.binary or ""
    entry.before = state_of(service)
    entry.at = timezone.now()


@contextmanager
def locked(
    ref: ServiceRef, found: Found[Service], entry: Entry, started: float
) -> Iterator[Found[Service]]:
    """The service as it is now, in a transaction of its cell that keeps its row locked.

    It has to end within ``ACTION_DEADLINE`` of ``started``, of ``time.monotonic()``.
    """
    alias = found.cell.alias
    with (
        _failures_of(found.cell),
        within(settings.ACTION_DEADLINE, since=started),
        transaction.atomic(using=alias, durable=True),
    ):
        rows = Service.objects.using(alias).select_for_update()
        service = rows.filter(id=found.row.id).first()
        if service is None:
            raise ref.missing()
        now_found: Found[Service] = Found(found.cell, service)
        describe(entry, now_found)
        yield now_found


@contextmanager
def _failures_of(cell: Cell) -> Iterator[None]:
    """Let everyone know if the cell turns out to be away.

    If it has answered others meanwhile, it is not: the action had no time left, or waited for its
    turn on the row.
    """
    breaker, started = executor_for(cell).breaker, time.time()
    try:
        with blaming(gettext_noop("cell %(name)s") % {"name": cell.name}):
            yield
    except OperationalError as error:
        is_lost = connections[cell.alias].connection is None
        if is_lost and (breaker.answered_at or 0) < started:
            breaker.failed(cause_of(error))
        raise


def write(found: Found[Service], change: Change, actor: Actor, attempt: Attempt) -> None:
    """Update the service, in the columns that differ; one that is as wanted is not written."""
    cell, service, entry = found.cell, found.row, attempt.entry
    columns = change.columns()
    changed = {name: value for name, value in columns.items() if getattr(service, name) != value}
    if changed:
        changed["updated_at"] = entry.at
    for name, value in changed.items():
        setattr(service, name, value)
    entry.after = state_of(service)
    begin(attempt, found, actor, "update")
    if changed:
        Service.objects.using(cell.alias).filter(id=service.id).update(**changed)


def soft_delete(
    found: Found[Service], actor: Actor, attempt: Attempt, in_placement: HostInPlacement | None
) -> None:
    """Mark the service as deleted, in the way of Nova, and with a nova-compute all of its host.

    Those are its compute nodes, its places in aggregates and its host mapping.  What placement
    has of it is written down to be removed.
    """
    alias, service = found.cell.alias, found.row
    deleted = {"deleted": F("id"), "deleted_at": attempt.entry.at}
    is_compute = service.binary == NOVA_COMPUTE
    if is_compute and service.host:
        attempt.entry.before = (attempt.entry.before or {}) | _places_of(service)
    begin(attempt, found, actor, "delete", host_removal.messages(in_placement))
    if is_compute and service.host:
        with blaming(API_DATABASE):
            forget_host(service.host)
    Service.objects.using(alias).filter(id=service.id).update(**deleted)
    if is_compute:
        nodes = service.compute_nodes.all()
        nodes = nodes | nodes.model.objects.using(alias).filter(service_id=service.id)
        nodes.update(mapped=0, **deleted)


def begin(
    attempt: Attempt,
    found: Found[Service],
    actor: Actor,
    event: str,
    messages: Sequence[Message] = (),
) -> None:
    """Write down the intent, with the notification of the service as it is going to be, and
    further ``messages``.
    """
    notified = notifications.messages(actor, found.row, event)
    attempt.begin(subject_of(found.cell, found.row), [*notified, *messages])


def subject_of(cell: Cell, service: Service) -> str:
    """What names the service in the journal, with or without a uuid."""
    return f"{cell.uuid}:{service.id}"


def _places_of(service: Service) -> dict[str, Any]:
    """The aggregates that a host is taken out of, so that it can be put back."""
    host = service.host or ""
    with blaming(API_DATABASE):
        return {"aggregates": list(aggregates_of_hosts([host]).get(host, ()))}


def forget_host(host: str) -> None:
    """Take the host out of its aggregates and of the mappings."""
    AggregateHost.objects.filter(host=host).delete()
    HostMapping.objects.filter(host=host).delete()


# --- interrupted actions ----------------------------------------------------------------------


def settle(entry: Entry) -> tuple[Outcome, str] | None:
    """Find out from the cell what became of an interrupted action; a ``journal.Settler``.

    A delete that the cell has committed is finished in the API database here, and in placement
    by the message that is in the intent.

    An action whose transaction still has the row locked is running yet: it may be waiting for its
    commit, which a cell whose standby is away does not end for hours.
    """
    cell = cell_with_uuid(entry.cell_uuid)
    if cell is None:
        return Outcome.UNKNOWN, f"interrupted; cell {entry.cell_name} is gone"
    rows = AcrossCells(Service.with_deleted.filter(id=entry.service_id), [cell])
    answers = rows.ask(_not_locked)
    if answers.missing:
        return None
    service: Service | None = answers.by_cell[cell]
    outcome = _outcome_of_delete if entry.action == "delete" else _outcome_of_update
    return outcome(entry, service), "interrupted; what became of it was read from the cell"


def _not_locked(services: QuerySet[Service]) -> Service | None:
    """The service; ``DatabaseError`` while a transaction has locked it."""
    alias = services.db
    nowait = connections[alias].features.has_select_for_update_nowait
    with transaction.atomic(using=alias, durable=True):
        return services.select_for_update(nowait=nowait).first()


def _outcome_of_delete(entry: Entry, service: Service | None) -> Outcome:
    if service is not None and service.deleted == 0:
        return Outcome.FAILED
    if entry.binary == NOVA_COMPUTE and entry.host:
        with transaction.atomic(using=router.db_for_write(HostMapping)):
            forget_host(entry.host)
    return Outcome.DONE


def _outcome_of_update(entry: Entry, service: Service | None) -> Outcome:
    state = None if service is None else state_of(service)
    if state == entry.after:
        return Outcome.DONE
    return Outcome.FAILED if state == entry.before else Outcome.UNKNOWN


journal.register(KIND, settle)
