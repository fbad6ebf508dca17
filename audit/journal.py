"""Putting actions on record, whatever they act on.

The portal's database and a cell's cannot commit together.  So an action first writes down what it
is about to do (``Attempt.begin``), then does it, and then its end is put on record.  A process
that dies in between leaves an intent behind, never a change that nobody knows of; what became of
it is found out later (``settle_interrupted``).

An app whose actions are put on record

- raises ``Refused`` (or a subclass) for what its rules forbid,
- does its work within ``with recorded(entry, kind) as attempt:``, and calls ``attempt.begin`` just
  before it changes anything, naming the subject and the messages to send when it is done,
- registers a ``Settler`` for its kind of action.
"""

import datetime
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from django.conf import settings
from django.db import DatabaseError, router, transaction
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.translation import gettext_noop

from audit import outbox
from audit.models import Channel, Entry, Intent, OutboxMessage, Outcome
from audit.outbox import Message
from cells.databases import blaming, cause_of
from portal.roles import identity_of

logger = logging.getLogger(__name__)

#: The database that the journal is in, for who reads of its errors.
OWN_DATABASE = gettext_noop("the portal's own database")
NOT_ON_RECORD = gettext_noop(
    "done; it will be put on record when the portal's own database answers"
)
#: The columns of an entry that its intent keeps.
KEPT = tuple(
    field.name
    for field in Entry._meta.concrete_fields
    if field.name not in ("id", "at", "outcome", "message")
)


class Refused(Exception):
    """The action was not carried out, and nothing was changed.

    ``message`` says why; ``detail`` adds, in the reader's language, what the console knows of it.
    """

    outcome: ClassVar[Outcome] = Outcome.REFUSED

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


# --- who --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Actor:
    """Who acts, and through what.  ``project_id`` and ``roles`` are for notifications.

    In a bulk action, ``bulk_position`` and ``bulk_size`` number what is acted on.
    """

    username: str
    channel: Channel
    request_id: str = ""
    remote_address: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    roles: tuple[str, ...] = ()
    bulk_position: int = 0
    bulk_size: int = 0
    #: The user's id and the project's id and name, of who is known to Keystone; for the audit.
    keystone: tuple[str, str, str] = ("", "", "")


def actor_of(request: HttpRequest, channel: Channel) -> Actor:
    """Who sent ``request``, which may be one of REST framework's."""
    user = request.user
    identity = identity_of(user)
    return Actor(
        username=user.get_username(),
        channel=channel,
        request_id=getattr(request, "request_id", ""),
        remote_address=request.META.get("REMOTE_ADDR") or None,
        user_id=identity.user_id,
        project_id=identity.project_id
        or getattr(getattr(request, "auth", None), "project_id", "")
        or None,
        roles=tuple(sorted(identity.roles)),
        keystone=(identity.user_id, identity.project_id or "", identity.project_name or "")
        if identity.is_of_keystone
        else ("", "", ""),
    )


# --- what -------------------------------------------------------------------------------------


def draft(actor: Actor, action: str, **columns: str) -> Entry:
    """An entry that is not on record yet; text that is too long for its column is cut."""
    kept = {
        name: text[: getattr(Entry._meta.get_field(name), "max_length", None)]
        for name, text in columns.items()
    }
    user_id, project_id, project_name = actor.keystone
    return Entry(
        username=actor.username[:150],
        keystone_user_id=user_id,
        keystone_project_id=project_id,
        keystone_project=project_name,
        channel=actor.channel,
        request_id=actor.request_id,
        remote_address=actor.remote_address,
        bulk_position=actor.bulk_position,
        bulk_size=actor.bulk_size,
        action=action,
        **kept,
    )


def begin(entry: Entry, kind: str, subject: str, messages: Sequence[Message] = ()) -> Intent:
    """Write down what is about to be done to ``subject``, and what to send when it is done."""
    intent = _intent(entry, kind, subject, messages)
    with blaming(OWN_DATABASE), transaction.atomic(using=router.db_for_write(Intent), durable=True):
        intent.save()
    return intent


def _intent(entry: Entry, kind: str, subject: str, messages: Sequence[Message]) -> Intent:
    kept = {name: getattr(entry, name) for name in KEPT} | {"at": entry.at.isoformat()}
    return Intent(
        kind=kind, subject=subject, entry=kept, messages=[asdict(message) for message in messages]
    )


def end(intent: Intent, outcome: Outcome, message: str = "") -> Entry | None:
    """Replace the intent by its entry, and by its messages if the action is done.

    Returns ``None`` when another process has put the action on record already.  If that took an
    action for interrupted that is done after all, a second entry says so.
    """
    entry = entry_of(intent)
    entry.outcome, entry.message = outcome, message
    if outcome != Outcome.DONE:
        entry.after = None
    with blaming(OWN_DATABASE), transaction.atomic(using=router.db_for_write(Intent)):
        deleted, _ = Intent.objects.filter(id=intent.id).delete()
        if not deleted:
            if outcome != Outcome.DONE or (wrong := _recorded_otherwise(entry)) is None:
                return None
            correction = f"corrects entry {wrong.pk} ({wrong.outcome})"
            entry.message = f"{message}; {correction}" if message else correction
        entry.save()
        if outcome == Outcome.DONE:
            OutboxMessage.objects.bulk_create(
                OutboxMessage(sequence=intent.id, subject=intent.subject, **one)
                for one in intent.messages
            )
    outbox.wake()
    return entry


def _recorded_otherwise(entry: Entry) -> Entry | None:
    """The entry that says of the same action that it is not done, if that is what is on record."""
    same = Entry.objects.filter(
        at=entry.at,
        username=entry.username,
        request_id=entry.request_id,
        action=entry.action,
        subject=entry.subject,
        cell_uuid=entry.cell_uuid,
        service_id=entry.service_id,
    )
    if same.filter(outcome=Outcome.DONE).exists():
        return None
    return same.order_by("id").last()


def record_done(entry: Entry, kind: str, subject: str, messages: Sequence[Message] = ()) -> None:
    """Put on record what the current transaction does in the portal's own database.

    The entry and its messages are there exactly if the transaction commits, so there is nothing
    to settle.
    """
    intent = _intent(entry, kind, subject, messages)
    intent.save()
    end(intent, Outcome.DONE, entry.message)


def entry_of(intent: Intent) -> Entry:
    """The entry that the intent will become; not saved."""
    kept = dict(intent.entry)
    return Entry(at=datetime.datetime.fromisoformat(kept.pop("at")), **kept)


def refuse(entry: Entry, message: str, outcome: Outcome = Outcome.REFUSED) -> None:
    """Put on record an action that ended before it changed anything."""
    entry.outcome, entry.message = outcome, message
    with blaming(OWN_DATABASE):
        entry.save()


def as_dict(entry: Entry) -> dict[str, Any]:
    """The entry as it is exported, ready for JSON; times in ISO 8601 with their zone."""
    values = {field.name: getattr(entry, field.name) for field in Entry._meta.concrete_fields}
    return values | {"at": entry.at.isoformat()}


# --- carrying out -----------------------------------------------------------------------------


class Attempt:
    """An action being carried out; ``intent`` is ``None`` until it begins to change something.

    ``remark`` goes on record with an action that is done.
    """

    def __init__(self, entry: Entry, kind: str) -> None:
        self.entry = entry
        self.kind = kind
        self.intent: Intent | None = None
        self.remark = ""

    def begin(self, subject: str, messages: Sequence[Message] = ()) -> None:
        """Write down the entry as it is now, the subject, and what to send when it is done."""
        self.intent = begin(self.entry, self.kind, subject, messages)

    def delivered(self, transport: str) -> None:
        """The message for this transport has been delivered already, and is not to be sent."""
        if self.intent is not None:
            kept = [one for one in self.intent.messages if one["transport"] != transport]
            self.intent.messages = kept


@contextmanager
def recorded(entry: Entry, kind: str) -> Iterator[Attempt]:
    """Put the action of the block on record, however it ends: done, ``Refused`` or failed.

    Both kinds of exception are raised again.  What is done but cannot be put on record just now is
    done nevertheless: its intent is settled later.  Whatever the block says is said in English.
    """
    attempt = Attempt(entry, kind)
    try:
        with translation.override(settings.LANGUAGE_CODE):
            yield attempt
    except Refused as refusal:
        if attempt.intent is None:
            refuse(entry, refusal.message, refusal.outcome)
        else:
            end(attempt.intent, refusal.outcome, refusal.message)
        raise
    except DatabaseError as error:
        _record_failure(attempt, error)
        raise
    if attempt.intent is not None:
        try:
            end(attempt.intent, Outcome.DONE, attempt.remark)
        except DatabaseError as error:
            logger.warning("%s is done and will be put on record: %s", entry, cause_of(error))
            attempt.remark = "; ".join(filter(None, (attempt.remark, NOT_ON_RECORD)))


def _record_failure(attempt: Attempt, error: DatabaseError) -> None:
    """Record a database's failure; whether it had committed is found out from the database."""
    logger.warning("%s failed: %s", attempt.entry, cause_of(error))
    if attempt.intent is None:
        refuse(attempt.entry, cause_of(error), Outcome.FAILED)
        return
    try:
        settle(attempt.intent)
    except DatabaseError as again:
        logger.warning("%s is left to be settled: %s", attempt.intent, cause_of(again))


# --- interrupted actions ----------------------------------------------------------------------

#: Finds out what became of an interrupted action, and finishes it if that is what it takes:
#: returns its outcome and a remark, or ``None`` while that cannot be told.  It may be called
#: several times for one action, by several processes.
Settler = Callable[[Entry], tuple[Outcome, str] | None]

_settlers: dict[str, Settler] = {}


def register(kind: str, settler: Settler) -> None:
    """Name the settler of a kind of action."""
    _settlers[kind] = settler


def settle_interrupted(older_than: datetime.timedelta | None = None) -> int:
    """Put on record what became of interrupted actions; returns how many could be settled.

    Only intents older than ``older_than`` are looked at; by default, those that are too old to
    belong to an action that is still running.
    """
    age = interrupted_after() if older_than is None else older_than
    settled = 0
    for intent in Intent.objects.filter(begun_at__lte=timezone.now() - age).order_by("id"):
        try:
            settled += settle(intent)
        except DatabaseError as error:
            logger.warning("interrupted %s is not settled yet: %s", intent, cause_of(error))
    return settled


def interrupted_after() -> datetime.timedelta:
    """How old an intent must be for its action to be over for certain.

    No statement in a cell may take longer than five deadlines, and an action has about ten.
    """
    return datetime.timedelta(seconds=60 * settings.CELL_DEADLINE)


def settle(intent: Intent) -> bool:
    """Put on record what became of an interrupted action; ``False`` while that cannot be told.

    Raises ``DatabaseError``.
    """
    settler = _settlers.get(intent.kind)
    if settler is None:
        logger.warning("nothing here can settle an interrupted %s (%s)", intent.kind, intent)
        return False
    settled = settler(entry_of(intent))
    return settled is not None and end(intent, *settled) is not None
