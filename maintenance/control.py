"""Beginning, stopping and returning: what people ask for, in the console or by the command."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.journal import Actor
from maintenance import engine, record
from maintenance.models import Batch, Maintenance, State
from maintenance.movers import mover_for
from maintenance.plans import Options, Plan, Preflight
from maintenance.simulator import Simulator
from services.changes import REASON
from services.exceptions import Conflict, Invalid

#: How long a reason may be, so that the ticket fits beside it in Nova's column of 255 characters.
MAX_REASON, MAX_TICKET = 200, 50

#: States from which a host can be returned.
RETURNABLE = (State.EMPTY, State.STOPPED, State.FAILED)


def check(options: Options) -> None:
    """Raise ``Invalid`` for options that make no sense."""
    if not REASON.fullmatch(options.reason) or len(options.reason) > MAX_REASON:
        raise Invalid(_("A reason of 1 to %d characters is needed.") % MAX_REASON)
    if len(options.ticket) > MAX_TICKET:
        raise Invalid(_("The ticket is longer than %d characters.") % MAX_TICKET)
    if options.at_once < 1 or options.hosts_at_once < 1:
        raise Invalid(_("At least one must be moved at a time."))
    starts_at = options.starts_at or timezone.now()
    if options.until is not None and options.until <= starts_at:
        raise Invalid(_("It would end before it begins."))


def start(
    plan: Plan, preflights: Sequence[Preflight], options: Options, actor: Actor
) -> list[Maintenance]:
    """Request the maintenance of hosts that nothing stands in the way of.

    Raises ``Invalid``, and ``Conflict`` when one is under way on a host already; then none is
    requested.
    """
    check(options)
    blocked = [preflight for preflight in preflights if preflight.blockers]
    if blocked:
        raise Conflict(f"{blocked[0].host}: {'; '.join(blocked[0].blockers)}")
    try:
        with transaction.atomic(using=router.db_for_write(Maintenance)):
            batch = _batch(options) if len(preflights) > 1 else None
            made = [_create(plan, preflight, options, actor, batch) for preflight in preflights]
    except IntegrityError:
        raise Conflict(_("A maintenance of one of the hosts is under way already.")) from None
    for maintenance in made:
        engine.enqueue(maintenance.pk, maintenance.starts_at)
    return made


def _batch(options: Options) -> Batch:
    return Batch.objects.create(
        at_once=options.hosts_at_once, stop_on_failure=options.stop_on_failure
    )


def _create(
    plan: Plan, preflight: Preflight, options: Options, actor: Actor, batch: Batch | None
) -> Maintenance:
    facts = preflight.facts
    mover = mover_for(facts.cell)
    starts_at = options.starts_at or timezone.now()
    maintenance = Maintenance.objects.create(
        plan=plan.name,
        cell_uuid=facts.cell.uuid,
        cell_name=facts.cell.name,
        service_key=preflight.key,
        active_key=preflight.key,
        host=preflight.host,
        username=actor.username,
        channel=actor.channel,
        request_id=actor.request_id,
        remote_address=actor.remote_address,
        reason=options.reason,
        ticket=options.ticket,
        starts_at=starts_at,
        until=options.until,
        move_stopped=options.move_stopped,
        target=options.target,
        at_once=options.at_once,
        batch=batch,
        simulated=isinstance(mover, Simulator),
        former=_inherited(preflight),
        due_at=starts_at,
    )
    record.state_changed(maintenance, "")
    return maintenance


def _inherited(preflight: Preflight) -> Any:
    """What the service was like before an earlier maintenance that did not return it."""
    latest = Maintenance.objects.filter(service_key=preflight.key).first()
    service = preflight.facts.service
    left_disabled = (
        latest is not None
        and latest.state in (State.STOPPED, State.FAILED)
        and service.disabled
        and service.disabled_reason == latest.disabled_reason
    )
    return latest.former if latest is not None and left_disabled else None


def stop(maintenance: Maintenance, actor: Actor) -> None:
    """Begin no more moves, await those that are under way, and end.  Raises ``Conflict``."""
    asked = Maintenance.objects.active().filter(pk=maintenance.pk)
    if not asked.update(stop_requested_by=actor.username):
        raise Conflict(_("It has ended already: %s.") % maintenance.state_label)
    record.step(maintenance, record.STOP, "", actor=actor)
    engine.make_due(maintenance)


def give_back(maintenance: Maintenance, actor: Actor) -> None:
    """Return the host: to the scheduler, or after an evacuation to the living.

    Raises ``Conflict`` when it is not the time for it, or there is another maintenance of it.
    """
    latest = Maintenance.objects.filter(service_key=maintenance.service_key).first()
    if latest != maintenance:
        raise Conflict(_("There is a later maintenance of the host."))
    returnable = Maintenance.objects.filter(pk=maintenance.pk, state__in=RETURNABLE)
    changed = returnable.exclude(former=None).update(
        return_requested_by=actor.username,
        stop_requested_by="",
        active_key=maintenance.service_key,
        ended_at=None,
    )
    if not changed:
        raise Conflict(_("It cannot be returned: it is %s.") % maintenance.state_label)
    record.step(maintenance, record.RETURN, "", actor=actor)
    engine.make_due(maintenance)
