"""What may be done to a service: the rules, the write, the record and the notification.

The API, the console and commands all come here; nothing else writes to a service's status.  Knows
neither HTTP nor microversions.

Every action goes the same way.  The service is looked for, its row is locked in a transaction of
its cell, the rules are checked against the locked row, what will be done is written down in the
portal's own database (``audit.journal.begin``), only the columns of the action are written, and
when the cell has committed the action is put on record together with its notification.  Actions
on one service thus follow one another, on record and in notifications as in the cell.
"""

import datetime
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, DataError, router, transaction
from django.db.models import F
from django.utils import timezone

from audit import journal
from audit.journal import Actor
from audit.models import Entry, Intent, Outcome
from cells.databases import cause_of
from cells.locate import Ambiguous, Found, MayBeMissing, NotFound, by_id, by_uuid
from cells.models import AggregateHost, HostMapping
from cells.registry import Cell, all_cells, cell_with_id, forget_cells
from cells.scatter_gather import AcrossCells
from services import notifications
from services.models import NOVA_COMPUTE, Service

logger = logging.getLogger(__name__)

#: What databases can store as a reason.
REASON = re.compile("[^\0\ud800-\udfff]{1,255}")


class Refused(Exception):
    """The action was not carried out; ``message`` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(Refused):
    """It makes no sense as it was asked for."""


class Missing(Refused):
    """There is no such service, or it is gone by now."""


class Conflict(Refused):
    """Something on the host forbids it for now."""


class Unavailable(Refused):
    """A cell that has to be asked does not answer."""


@dataclass(frozen=True)
class ServiceRef:
    """Which service is meant: by ``uuid``, by ``host`` and ``binary``, or by ``id``.

    With ``cell``, ``id`` is that cell's; without it the id must be the only one of all cells.
    ``text`` is how the caller wrote it, for messages.
    """

    uuid: str = ""
    host: str = ""
    binary: str = ""
    id: int | None = None
    cell: Cell | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.uuid or (str(self.id) if self.id is not None else self.host)


@dataclass(frozen=True)
class Change:
    """What to update; ``None`` leaves things as they are.

    ``status`` is ``enabled`` or ``disabled``; ``reason`` goes with ``disabled``, which without
    one removes the reason there was.
    """

    status: str | None = None
    reason: str | None = None
    forced_down: bool | None = None

    @property
    def action(self) -> str:
        """The action's name in the audit."""
        if self.forced_down is None:
            return {"enabled": "enable", "disabled": "disable"}.get(self.status or "", "update")
        if self.status is not None:
            return "update"
        return "force-down" if self.forced_down else "force-up"

    def check(self) -> None:
        """Raise ``Invalid`` when it contradicts itself, asks for nothing or cannot be stored."""
        if self.status == "enabled" and self.reason:
            raise Invalid("Specifying 'disabled_reason' with status 'enabled' is invalid.")
        if self.status is None and self.forced_down is None:
            raise Invalid(
                "No updates were requested. Fields 'status' or 'forced_down' should be specified."
            )
        if self.reason is not None and not REASON.fullmatch(self.reason):
            raise Invalid(
                "Invalid input for field/attribute disabled_reason: it must have 1 to 255 "
                "characters, none of them NUL or half of a surrogate pair."
            )

    def columns(self) -> dict[str, Any]:
        """The columns that it sets."""
        columns: dict[str, Any] = {}
        if self.status is not None:
            columns |= {"disabled": self.status == "disabled", "disabled_reason": self.reason}
        if self.forced_down is not None:
            columns["forced_down"] = self.forced_down
        return columns


def enable(ref: ServiceRef, actor: Actor) -> Found[Service]:
    """Let the scheduler use the host again; the reason for disabling it is removed."""
    return update(ref, Change(status="enabled"), actor)


def disable(ref: ServiceRef, actor: Actor, reason: str | None = None) -> Found[Service]:
    """Keep new servers away from the host, for ``reason`` (at most 255 characters)."""
    return update(ref, Change(status="disabled", reason=reason), actor)


def set_forced_down(ref: ServiceRef, forced_down: bool, actor: Actor) -> Found[Service]:
    """Declare the host dead (fence it first!), or let its heartbeats count again."""
    return update(ref, Change(forced_down=forced_down), actor)


def update(ref: ServiceRef, change: Change, actor: Actor) -> Found[Service]:
    """Change a nova-compute service, and return it as it is then.

    What is set already is not written.  Raises ``Invalid``, ``Missing`` or ``Unavailable``.
    """
    entry = journal.draft(actor, change.action, service_uuid=ref.uuid, host=ref.host)
    entry.binary = ref.binary
    with _on_record(entry) as attempt:
        if ref.binary not in ("", NOVA_COMPUTE):
            raise _not_compute(ref.binary)
        found = find(ref)
        _describe(entry, found)
        if found.row.binary != NOVA_COMPUTE:
            raise _not_compute(found.row.binary)
        change.check()
        with transaction.atomic(using=found.cell.alias, durable=True):
            service = _locked(ref, found)
            if change.forced_down is False:
                _check_evacuations(service)
            now = _describe(entry, Found(found.cell, service))
            columns = change.columns()
            changed = {name for name, value in columns.items() if getattr(service, name) != value}
            for name, value in columns.items():
                setattr(service, name, value)
            if changed:
                service.updated_at = now
            entry.after = state_of(service)
            attempt.begin(notifications.message(actor, service, "update"))
            if changed:
                Service.objects.using(found.cell.alias).filter(id=service.id).update(
                    updated_at=now, **{name: columns[name] for name in changed}
                )
    return Found(found.cell, service)


def delete(ref: ServiceRef, actor: Actor) -> None:
    """Delete a service; with a nova-compute go its compute nodes, its places in aggregates and
    its host mapping.

    Raises ``Missing``, ``Invalid`` (the id is in several cells), ``Conflict`` (servers or
    migrations are on the host) or ``Unavailable``.

    The rows of the cell go in one transaction.  Those of the API database go in another, which
    is carried out before the cell's commits and committed after it: a failure before the cell
    has committed undoes both, one after it is finished from the intent (``settle``).
    """
    entry = journal.draft(actor, "delete", service_uuid=ref.uuid)
    with _on_record(entry) as attempt:
        found = find(ref)
        _describe(entry, found)
        with (
            transaction.atomic(using=router.db_for_write(HostMapping), durable=True),
            transaction.atomic(using=found.cell.alias, durable=True),
        ):
            service = _locked(ref, found)
            now = _describe(entry, Found(found.cell, service))
            is_compute = service.binary == NOVA_COMPUTE
            if is_compute:
                _check_host_is_free(service)
            attempt.begin(notifications.message(actor, service, "delete"))
            if is_compute and service.host:
                _forget_host(service.host)
            _soft_delete(service, now)


def find(ref: ServiceRef) -> Found[Service]:
    """The service that is meant.  Raises ``Missing``, ``Invalid`` or ``Unavailable``."""
    services = AcrossCells(Service.objects.all(), [ref.cell] if ref.cell else None)
    try:
        if ref.uuid:
            return by_uuid(services, ref.uuid)
        if ref.id is not None:
            return by_id(services, ref.id)
        return _by_host(ref)
    except NotFound:
        raise _no_such(ref) from None
    except Ambiguous:
        raise Invalid(f"Service id {ref} refers to multiple services.") from None
    except MayBeMissing as error:
        raise Unavailable(f"It may be in a cell that does not answer: {error}") from None


def state_of(service: Service) -> dict[str, Any]:
    """The columns that actions change, as the audit shows them."""
    return {
        "status": "disabled" if service.disabled else "enabled",
        "disabled_reason": service.disabled_reason,
        "forced_down": bool(service.forced_down),
    }


# --- interrupted actions ----------------------------------------------------------------------


def settle_interrupted(older_than: datetime.timedelta | None = None) -> int:
    """Put on record what became of actions that were interrupted, and finish deletes.

    Only intents of that age are looked at (by default such as no running action can still have).
    Returns how many were settled; those in cells that do not answer are left for later.
    """
    age = older_than if older_than is not None else interrupted_after()
    settled = 0
    for intent in Intent.objects.filter(begun_at__lte=timezone.now() - age).order_by("id"):
        try:
            settled += settle(intent)
        except DatabaseError as error:
            logger.warning("interrupted %s is not settled yet: %s", intent, cause_of(error))
    return settled


def interrupted_after() -> datetime.timedelta:
    """How old an intent must be for its action to be over for certain.

    No statement of a cell may take longer than five deadlines, and an action has about ten.
    """
    return datetime.timedelta(seconds=60 * settings.CELL_DEADLINE)


def settle(intent: Intent) -> bool:
    """Find out from the cell what became of an interrupted action, and put it on record.

    An interrupted delete whose cell has committed is finished.  ``False`` when the cell does
    not answer.  Raises ``DatabaseError``.
    """
    entry = journal.entry_of(intent)
    cell = next((one for one in all_cells() if one.uuid == entry.cell_uuid), None)
    if cell is None:
        gone = f"interrupted; cell {entry.cell_name} is gone"
        return journal.end(intent, Outcome.UNKNOWN, gone) is not None
    rows = AcrossCells(Service.with_deleted.filter(id=entry.service_id), [cell])
    answers = rows.ask(lambda queryset: queryset.first())
    if answers.missing:
        return False
    service: Service | None = answers.by_cell[cell]
    if entry.action == "delete":
        done = service is None or service.deleted != 0
        if done and entry.binary == NOVA_COMPUTE and entry.host:
            with transaction.atomic(using=router.db_for_write(HostMapping)):
                _forget_host(entry.host)
        outcome = Outcome.DONE if done else Outcome.FAILED
    else:
        state = None if service is None else state_of(service)
        if state == entry.after:
            outcome = Outcome.DONE
        else:
            outcome = Outcome.FAILED if state == entry.before else Outcome.UNKNOWN
    message = "interrupted; what became of it was read from the cell"
    return journal.end(intent, outcome, message) is not None


# --- the way of an action ---------------------------------------------------------------------


class _Attempt:
    """An action on its way; ``intent`` is there once it has begun to change something."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.intent: Intent | None = None

    def begin(self, notification: dict[str, Any] | None) -> None:
        self.intent = journal.begin(self.entry, notification)

    def done(self) -> None:
        if self.intent is not None:
            journal.end(self.intent, Outcome.DONE)
            notifications.wake()


@contextmanager
def _on_record(entry: Entry) -> Iterator[_Attempt]:
    """Put the action on record, however it ends; a cell that fails becomes ``Unavailable``."""
    attempt = _Attempt(entry)
    try:
        yield attempt
    except Refused as refusal:
        unavailable = isinstance(refusal, Unavailable)
        outcome = Outcome.FAILED if unavailable else Outcome.REFUSED
        journal.refuse(entry, refusal.message, outcome)
        raise
    except DataError as error:
        _ended_by(error, attempt)
        raise Invalid(f"The database of the cell cannot store it: {cause_of(error)}") from error
    except DatabaseError as error:
        _ended_by(error, attempt)
        where = f"cell {entry.cell_name}" if entry.cell_name else "the API database"
        raise Unavailable(f"{where} failed: {cause_of(error)}") from error
    attempt.done()


def _ended_by(error: DatabaseError, attempt: _Attempt) -> None:
    """Record a database's failure; whether the cell had committed is asked of the cell."""
    logger.warning("%s failed: %s", attempt.entry, cause_of(error))
    if attempt.intent is None:
        journal.refuse(attempt.entry, cause_of(error), Outcome.FAILED)
        return
    try:
        settle(attempt.intent)
    except DatabaseError as again:
        logger.warning("%s is left to be settled: %s", attempt.intent, cause_of(again))


def _describe(entry: Entry, found: Found[Service]) -> datetime.datetime:
    """Fill in what the entry says of the service as it is now; returns the time of it."""
    cell, service = found.cell, found.row
    entry.cell_uuid, entry.cell_name = cell.uuid, cell.name
    entry.service_uuid, entry.service_id = service.uuid or "", service.id
    entry.host, entry.binary = service.host or "", service.binary or ""
    entry.before = state_of(service)
    entry.at = timezone.now()
    return entry.at


def _locked(ref: ServiceRef, found: Found[Service]) -> Service:
    """The row as it is now, locked until the cell's transaction ends."""
    rows = Service.objects.using(found.cell.alias).select_for_update()
    service: Service | None = rows.filter(id=found.row.id).first()
    if service is None:
        raise _no_such(ref)
    return service


def _by_host(ref: ServiceRef) -> Found[Service]:
    """The service of that host in the cell that the host is mapped to."""
    mapping = HostMapping.objects.filter(host__same_text=ref.host).first()
    if mapping is None:
        raise Missing(f"Host '{ref.host}' is not mapped to any cell")
    cell = cell_with_id(mapping.cell_id)
    if cell is None:  # mapped since the mappings were last read
        forget_cells()
        cell = cell_with_id(mapping.cell_id)
    rows = Service.objects.filter(host__same_text=ref.host, binary__same_text=ref.binary)
    answers = AcrossCells(rows, [cell] if cell else []).ask(lambda queryset: queryset.first())
    if answers.missing:
        raise MayBeMissing(answers.missing)
    for answered, row in answers.by_cell.items():
        if row is not None:
            return Found(answered, row)
    raise NotFound(ref.host)


def _no_such(ref: ServiceRef) -> Missing:
    if ref.binary:
        return Missing(f"Could not find binary {ref.binary} on host {ref.host}.")
    return Missing(f"Service {ref} could not be found.")


def _not_compute(binary: str | None) -> Invalid:
    return Invalid(
        f"Updating a {binary} service is not supported. Only nova-compute services can be updated."
    )


def _check_evacuations(service: Service) -> None:
    """A host that was evacuated must first have noticed it, or it would run servers twice."""
    if service.migrations_from.evacuations_to_complete().exists():
        raise Invalid(
            f"Unable to force up host {service.host} as `done` evacuation migration records "
            "remain associated with the host. Ensure the compute service has been restarted, "
            "allowing these records to move to `completed` before retrying this request."
        )


def _check_host_is_free(service: Service) -> None:
    """No server and no migration in progress may be on the host."""
    if service.instances.exists():
        raise Conflict(
            "Unable to delete compute service that is hosting instances. "
            "Migrate or delete the instances first."
        )
    nodes = list(service.compute_nodes.values_list("hypervisor_hostname", flat=True))
    leaving = service.migrations_from.in_progress().filter(source_node__in=nodes)
    coming = service.migrations_to.in_progress().filter(dest_node__in=nodes)
    if leaving.exists() or coming.exists():
        raise Conflict(
            "Unable to delete compute service that has in-progress migrations. "
            "Complete the migrations or delete the instances first."
        )


def _forget_host(host: str) -> None:
    """Take the host out of its aggregates and of the mappings."""
    AggregateHost.objects.filter(host=host).delete()
    HostMapping.objects.filter(host=host).delete()


def _soft_delete(service: Service, now: datetime.datetime) -> None:
    """Mark the service, and the compute nodes of a nova-compute, as Nova marks deleted rows."""
    gone = {"deleted": F("id"), "deleted_at": now}
    alias = service._state.db
    Service.objects.using(alias).filter(id=service.id).update(**gone)
    if service.binary == NOVA_COMPUTE:
        nodes = service.compute_nodes.all()
        nodes = nodes | nodes.model.objects.using(alias).filter(service_id=service.id)
        nodes.update(mapped=0, **gone)
