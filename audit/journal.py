"""Putting actions on record.

An action first writes down what it is about to do (``begin``), then does it, then puts its end on
record (``end``).  The portal's database and a cell's cannot commit together; this way a process
that dies in between leaves an intent behind, never a change that nobody knows of.
"""

import datetime
from dataclasses import dataclass
from typing import Any

from django.db import router, transaction

from audit.models import Channel, Entry, Intent, OutboxMessage, Outcome

#: What an intent keeps of its entry.
KEPT = tuple(
    field.name
    for field in Entry._meta.concrete_fields
    if field.name not in ("id", "at", "outcome", "message")
)


@dataclass(frozen=True)
class Actor:
    """Who acts, and through what.  ``project_id`` and ``roles`` are for notifications."""

    username: str
    channel: Channel
    request_id: str = ""
    remote_address: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    roles: tuple[str, ...] = ()


def draft(actor: Actor, action: str, *, service_uuid: str = "", host: str = "") -> Entry:
    """An entry that is not on record yet; the uuid and host are as the caller wrote them."""
    return Entry(
        username=actor.username,
        channel=actor.channel,
        request_id=actor.request_id,
        remote_address=actor.remote_address,
        action=action,
        service_uuid=service_uuid[:255],
        host=host,
    )


def begin(entry: Entry, notification: dict[str, Any] | None) -> Intent:
    """Write down what is about to be done, and the notification to send when it has been."""
    kept = {name: getattr(entry, name) for name in KEPT} | {"at": entry.at.isoformat()}
    with transaction.atomic(using=router.db_for_write(Intent), durable=True):
        return Intent.objects.create(
            service=f"{entry.cell_uuid}:{entry.service_id}",
            entry=kept,
            notification=notification,
        )


def end(intent: Intent, outcome: Outcome, message: str = "") -> Entry | None:
    """Replace the intent by its entry; what is done is also to be notified.

    Returns ``None`` when another process has put the action on record already.
    """
    entry = entry_of(intent)
    entry.outcome, entry.message = outcome, message
    if outcome != Outcome.DONE:
        entry.after = None
    with transaction.atomic(using=router.db_for_write(Intent)):
        gone, _ = Intent.objects.filter(id=intent.id).delete()
        if not gone:
            return None
        entry.save()
        if outcome == Outcome.DONE and intent.notification is not None:
            OutboxMessage.objects.create(
                id=intent.id, service=intent.service, message=intent.notification
            )
    return entry


def entry_of(intent: Intent) -> Entry:
    """The entry that the intent will become; not saved."""
    kept = dict(intent.entry)
    return Entry(at=datetime.datetime.fromisoformat(kept.pop("at")), **kept)


def refuse(entry: Entry, message: str, outcome: Outcome = Outcome.REFUSED) -> None:
    """Put on record an action that ended before it changed anything."""
    entry.outcome, entry.message = outcome, message
    entry.save()


def as_dict(entry: Entry) -> dict[str, Any]:
    """The entry as it is exported, ready for JSON; times in ISO 8601 with their zone."""
    values = {field.name: getattr(entry, field.name) for field in Entry._meta.concrete_fields}
    return values | {"at": entry.at.isoformat()}
