"""Carrying out actions on services, by rules that are given, and on record.

The rules themselves are in ``services.actions``.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from django.db import router, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from audit import journal
from audit.journal import Actor
from cells.locate import Found
from cells.models import HostMapping
from services import host_removal
from services.changes import Applied, Change, describe, locked, recorded, soft_delete, write
from services.exceptions import Invalid, Refused
from services.facts import Facts, count_facts
from services.host_removal import HostInPlacement
from services.locate import ServiceRef, find
from services.models import NOVA_COMPUTE, Service
from services.trait_sync import sync_trait


class Rules(Protocol):
    """What forbids an action: see ``services.actions.ServiceAction``."""

    @property
    def decided_by(self) -> tuple[str, ...]: ...

    def blockers(self, facts: Facts) -> list[Refused]: ...


def not_compute(binary: str | None) -> Invalid:
    """Only a nova-compute can be changed."""
    words = gettext_noop(
        "Updating a %(binary)s service is not supported. Only nova-compute services can be updated."
    )
    return Invalid(words % {"binary": binary})


def update(
    ref: ServiceRef,
    change: Change,
    actor: Actor,
    name: str,
    actions: Sequence[Rules],
    *,
    check: Callable[[Service], None] | None = None,
    undoes: int | None = None,
) -> Applied:
    """Change a nova-compute by the rules of ``actions``, and return it as it is then.

    ``name`` is what the audit calls it.  ``check`` may raise ``Refused`` for the locked row.
    ``undoes`` is the audit entry that is taken back, if that is what it is.

    Values that are set already are not written.  When the cell has committed, a nova-compute that
    was enabled or disabled is told (``trait_sync``).  Raises ``Invalid``, ``Missing`` or
    ``Unavailable``.
    """
    names = {"service_uuid": ref.uuid, "host": ref.host, "binary": ref.binary}
    entry = journal.draft(actor, name, **names)
    entry.undoes = undoes
    with recorded(entry) as attempt:
        if ref.binary not in ("", NOVA_COMPUTE):
            raise not_compute(ref.binary)
        started = time.monotonic()
        found = find(ref)
        describe(entry, found)
        if found.row.binary != NOVA_COMPUTE:  # Nova says so before it looks at the change
            raise not_compute(found.row.binary)
        change.check()
        with locked(ref, found, entry, started) as found:
            apply_rules(actions, found)
            if check is not None:
                check(found.row)
            write(found, change, actor, attempt)
        if change.status is not None:
            attempt.remark = sync_trait(found, actor)
    return Applied(found.cell, found.row, attempt.remark)


def delete(ref: ServiceRef, actor: Actor, name: str, action: Rules) -> Applied:
    """Delete a service, and return it as it was; with a nova-compute go its compute nodes, its
    places in aggregates, its host mapping, and what placement has of its nodes.

    Raises ``Missing``, ``Invalid`` (the id is in several cells), ``Conflict`` (servers or
    migrations are on the host) or ``Unavailable``.

    The rows of the cell go in one transaction.  Those of the API database go in another, which
    is carried out before the cell's commits and committed after it: a failure before the cell
    has committed undoes both, one after it is finished from the intent (``changes.settle``).
    Placement is asked before, and changed last (``host_removal``).
    """
    entry = journal.draft(actor, name, service_uuid=ref.uuid)
    with recorded(entry) as attempt:
        found = find(ref)
        describe(entry, found)
        in_placement = host_removal.in_placement(found)
        started = time.monotonic()
        with (
            transaction.atomic(using=router.db_for_write(HostMapping), durable=True),
            locked(ref, found, entry, started) as found,
        ):
            apply_rules([action], found, in_placement)
            soft_delete(found, actor, attempt, in_placement)
        attempt.remark = host_removal.remove_now(in_placement, attempt)
    return Applied(found.cell, found.row, attempt.remark)


def apply_rules(
    actions: Sequence[Rules],
    found: Found[Service],
    in_placement: HostInPlacement | None = None,
) -> None:
    """Raise the first thing that forbids one of the actions to the service, which is locked."""
    names = {name for action in actions for name in action.decided_by}
    [facts] = count_facts(found.cell, [found.row], names, timezone.now())
    for action in actions:
        for blocker in action.blockers(replace(facts, in_placement=in_placement)):
            raise blocker
