"""The audit entries of a maintenance, and the messages about its changes of state."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext_noop

from audit import journal
from audit.journal import Actor
from audit.models import Entry, Outcome
from maintenance import webhook
from maintenance.models import Maintenance, Method, PlanName
from maintenance.subjects import actor_of
from services.models import NOVA_COMPUTE

KIND = "maintenance"
#: What was asked of a maintenance, or became of one of its servers.
STOP, RETURN, SERVER, CONFIRM = "stop", "return", "server", "confirm"
#: What the audit calls these, the plans, and the ways in which servers are moved.
ACTIONS: Final[Mapping[str, str]] = {
    PlanName.EMPTY: gettext_noop("maintenance-empty"),
    PlanName.EVACUATE: gettext_noop("maintenance-evacuate"),
    PlanName.RETIRE: gettext_noop("maintenance-retire"),
    STOP: gettext_noop("maintenance-stop"),
    RETURN: gettext_noop("maintenance-return"),
    SERVER: gettext_noop("maintenance-server"),
    CONFIRM: gettext_noop("maintenance-confirm"),
    Method.LIVE: gettext_noop("maintenance-live-migration"),
    Method.COLD: gettext_noop("maintenance-migration"),
    Method.EVACUATION: gettext_noop("maintenance-evacuation"),
}


def entry_of(maintenance: Maintenance, action: str, actor: Actor | None = None) -> Entry:
    """An entry about the host of a maintenance, not on record yet; ``action`` is of ``ACTIONS``."""
    key = maintenance.service_key
    return journal.draft(
        actor or actor_of(maintenance),
        ACTIONS[action],
        cell_uuid=maintenance.cell_uuid,
        cell_name=maintenance.cell_name,
        service_uuid="" if ":" in key else key,
        host=maintenance.host,
        binary=NOVA_COMPUTE,
    )


def step(
    maintenance: Maintenance,
    action: str,
    message: str,
    outcome: Outcome = Outcome.DONE,
    actor: Actor | None = None,
) -> None:
    """Put a step of ``ACTIONS`` on record: that a server was asked to move, where it went."""
    entry = entry_of(maintenance, action, actor)
    entry.outcome, entry.message = outcome, message
    entry.save()


def state_changed(maintenance: Maintenance, before: str, username: str = "") -> None:
    """Put a change of state on record with its message, in the transaction that makes it."""
    entry = entry_of(maintenance, maintenance.plan, actor_of(maintenance, username))
    entry.before, entry.after = {"state": before or None}, {"state": maintenance.state}
    entry.message = ": ".join(filter(None, (maintenance.state, maintenance.message)))
    messages = webhook.messages(event(maintenance, before))
    journal.record_done(entry, KIND, f"maintenance:{maintenance.pk}", messages)


def event(maintenance: Maintenance, before: str) -> dict[str, Any]:
    """The message about a change of state, in the form of Nova's notifications."""
    return {
        "message_id": str(uuid.uuid4()),
        "publisher_id": f"portal:{maintenance.host}",
        "event_type": "maintenance.state",
        "priority": "INFO",
        "payload": as_dict(maintenance) | {"old_state": before or None},
        "timestamp": str(timezone.now().replace(tzinfo=None)),
    }


def as_dict(maintenance: Maintenance) -> dict[str, Any]:
    """A maintenance for JSON: in messages, and printed by the command; times in ISO 8601."""
    return {
        "id": maintenance.pk,
        "plan": maintenance.plan,
        "host": maintenance.host,
        "cell": maintenance.cell_name,
        "cell_uuid": maintenance.cell_uuid,
        "service": maintenance.service_key,
        "state": maintenance.state,
        "message": maintenance.message,
        "reason": maintenance.reason,
        "ticket": maintenance.ticket,
        "requested_by": maintenance.username,
        "requested_at": maintenance.created_at.isoformat(),
        "starts_at": maintenance.starts_at.isoformat(),
        "until": maintenance.until and maintenance.until.isoformat(),
        "ended_at": maintenance.ended_at and maintenance.ended_at.isoformat(),
        "simulated": maintenance.simulated,
    }
