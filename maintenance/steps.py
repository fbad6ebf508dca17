"""What is done next in each state of a maintenance, in each plan.

A step looks at the cell, does what is possible now and returns the seconds until the next one,
or ``None`` when it waits for a person or has ended.  It can be repeated after any interruption.
"""

import datetime
from collections.abc import Callable

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.locks import held
from cells.locate import Found
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from maintenance import moves
from maintenance.leases import DURATION, Lease
from maintenance.models import (
    STAYED,
    UNDER_WAY,
    Batch,
    Fate,
    Maintenance,
    PlanName,
    State,
)
from maintenance.movers import Mover
from maintenance.observation import migrations_of_host, observe
from maintenance.plans import PLANS
from maintenance.remains import is_being_removed, remains_of
from maintenance.simulator import Simulator
from maintenance.subjects import actor_of, ref_of
from services.actions import DELETE, DISABLE, ENABLE, FORCE_DOWN, FORCE_UP, Missing, Refused
from services.changes import state_of
from services.facts import Facts, count_facts
from services.locate import find
from services.models import Service

#: How long to wait for people, and for hosts that are repaired or switched off.
SLOWLY = 10.0

Step = Callable[[Lease, Cell, Mover], float | None]


def next_step(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Make the next step; returns the seconds until there is another."""
    maintenance = lease.maintenance
    if maintenance.return_requested_by and maintenance.state != State.RETURNING:
        lease.change_state(State.RETURNING, username=maintenance.return_requested_by)
    elif maintenance.stop_requested_by and maintenance.state != State.STOPPING:
        return _stop(lease)
    step = STEPS.get((maintenance.plan, maintenance.state)) or STEPS["", maintenance.state]
    if step is _delete and maintenance.return_requested_by:
        step = _return  # somebody has changed their mind
    try:
        return step(lease, cell, mover)
    except Missing as refusal:
        lease.change_state(State.FAILED, refusal.message)
    except Refused as refusal:
        lease.say(refusal.message)
        return SLOWLY
    return None


# --- planned ----------------------------------------------------------------------------------


def _planned(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Begin when it is time, and when it is this host's turn."""
    maintenance = lease.maintenance
    seconds = (maintenance.starts_at - timezone.now()).total_seconds()
    if seconds > 0:
        return seconds
    if maintenance.batch is None:
        lease.change_state(State.DISABLING)
        return 0
    with held(f"batch:{maintenance.batch.pk}", DURATION) as renew:
        if renew is None:
            return 1
        return _next_of_batch(lease, maintenance.batch)


def _next_of_batch(lease: Lease, batch: Batch) -> float | None:
    others = batch.maintenances.exclude(pk=lease.maintenance.pk)
    failed = others.filter(state__in=[State.FAILED, State.STOPPED]).first()
    if batch.stop_on_failure and failed is not None:
        words = _("not begun: the maintenance of %(host)s is %(state)s")
        _withdraw(lease, words % {"host": failed.host, "state": failed.state_label})
        return None
    at_it = others.filter(state__in=[State.DISABLING, State.EMPTYING, State.STOPPING]).count()
    if at_it >= batch.at_once:
        if lease.maintenance.plan != PlanName.EVACUATE:  # or servers would be moved there, and on
            _keep_servers_away(lease)
        lease.say(_("waiting for its turn"))
        return settings.MAINTENANCE_POLL
    lease.change_state(State.DISABLING)
    return 0


def _withdraw(lease: Lease, message: str, username: str = "") -> None:
    """End what has not begun; the host is as it was."""
    maintenance = lease.maintenance
    if maintenance.former is not None:
        lease.renew()
        _restore(maintenance, find(ref_of(maintenance)).row)
        lease.update(former=None)
    lease.change_state(State.STOPPED, message, username)


# --- away with the servers --------------------------------------------------------------------


def _disable(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Keep new servers away, unless the servers cannot be moved any more."""
    maintenance = lease.maintenance
    plan = PLANS[maintenance.plan]
    blockers = plan.blockers(_facts(find(ref_of(maintenance)), plan.decided_by))
    if blockers:
        lease.change_state(State.FAILED, _("not begun: %s") % "; ".join(blockers))
        return None
    _keep_servers_away(lease)
    lease.change_state(State.EMPTYING)
    return 0


def _keep_servers_away(lease: Lease) -> None:
    """Disable the service, remembering how it was."""
    maintenance = lease.maintenance
    service = find(ref_of(maintenance)).row
    if maintenance.former is None:
        lease.update(former=state_of(service))
    if not service.disabled or service.disabled_reason != maintenance.disabled_reason:
        lease.renew()
        DISABLE.apply(ref_of(maintenance), actor_of(maintenance), maintenance.disabled_reason)


def _force_down(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Declare the host dead, unless it is not."""
    maintenance = lease.maintenance
    facts = _facts(find(ref_of(maintenance)), ())
    if facts.is_reporting:
        lease.change_state(State.FAILED, _("the host reports: it is not dead, so nothing was done"))
        return None
    if maintenance.former is None:
        lease.update(former=state_of(facts.service))
    if not facts.service.forced_down:
        lease.renew()
        FORCE_DOWN.apply(ref_of(maintenance), actor_of(maintenance))
    lease.change_state(State.EMPTYING)
    return 0


def _move(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Move the servers, as many at a time as may be, until each is away or has to stay."""
    maintenance = lease.maintenance
    _look_and_follow(lease, cell, mover, new=True)
    if maintenance.servers.filter(fate__in=[Fate.WAITING, *UNDER_WAY]).exists():
        return settings.MAINTENANCE_POLL
    staying = maintenance.servers.filter(fate__in=STAYED).count()
    if staying:
        lease.change_state(State.FAILED, _staying(staying, maintenance.servers.count()))
        return None
    remarks = []
    asked = maintenance.servers.filter(fate=Fate.MOVED).exclude(request_id="")
    unwell = asked.exclude(cause="").count()
    if unwell:
        words = ngettext(
            "look at %(n)d server that something went wrong with",
            "look at %(n)d servers that something went wrong with",
            unwell,
        )
        remarks.append(words % {"n": unwell})
    if maintenance.plan != PlanName.EVACUATE:  # what a dead host was doing will not be finished
        coming, open_ones = migrations_of_host(cell, maintenance.host, moves.BUSY_AT_MOST)
        if coming:
            lease.say(_other_migrations(coming))
            return settings.MAINTENANCE_POLL
        remarks += [_open_migrations(open_ones)] if open_ones else []
    lease.change_state(State.EMPTY, "; ".join(remarks))
    return None if maintenance.plan == PlanName.EMPTY else 0


def _other_migrations(migrations: int) -> str:
    words = ngettext(
        "waiting for another migration from or to the host",
        "waiting for %(n)d other migrations from or to the host",
        migrations,
    )
    return words % {"n": migrations}


def _open_migrations(migrations: int) -> str:
    words = ngettext(
        "%(n)d migration from or to the host has not ended: a resize that is to be confirmed, say",
        "%(n)d migrations from or to the host have not ended: resizes that are to be confirmed, "
        "say",
        migrations,
    )
    return words % {"n": migrations}


def _look_and_follow(lease: Lease, cell: Cell, mover: Mover, *, new: bool) -> None:
    maintenance = lease.maintenance
    unfinished = maintenance.servers.filter(fate__in=[Fate.WAITING, *UNDER_WAY])
    servers = list(unfinished.values_list("uuid", flat=True))
    if isinstance(mover, Simulator):
        mover.go_on(maintenance.host, servers)
    seen = observe(cell, maintenance.host, servers)
    lease.renew()
    if new:
        moves.note_servers(maintenance, seen)
    moves.follow(lease, mover, seen)
    if new:
        moves.begin(lease, mover, seen)
    lease.say("")


def _staying(staying: int, servers: int) -> str:
    words = ngettext(
        "still on the host: %(staying)d of %(n)d server",
        "still on the host: %(staying)d of %(n)d servers",
        servers,
    )
    return words % {"staying": staying, "n": servers}


# --- stopping ---------------------------------------------------------------------------------


def _stop(lease: Lease) -> float | None:
    """Stop at once if nothing is under way, else wait for what is."""
    maintenance = lease.maintenance
    who = maintenance.stop_requested_by
    if maintenance.state == State.PLANNED:
        _withdraw(lease, _("not begun"), who)
        return None
    if maintenance.servers.filter(fate__in=UNDER_WAY).exists():
        lease.change_state(State.STOPPING, username=who)
        return 0
    left = maintenance.servers.filter(fate__in=[Fate.WAITING, *STAYED]).count()
    message = _staying(left, maintenance.servers.count()) if left else ""
    lease.change_state(State.STOPPED, message, who)
    return None


def _stopping(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Await the moves that are under way, and begin none."""
    _look_and_follow(lease, cell, mover, new=False)
    if lease.maintenance.servers.filter(fate__in=UNDER_WAY).exists():
        return settings.MAINTENANCE_POLL
    return _stop(lease)


# --- empty, and back --------------------------------------------------------------------------


def _stay_empty(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Wait for a person to return the host."""
    return None


def _await_host(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Wait until an evacuated host reports again and has noticed that its servers are gone."""
    maintenance = lease.maintenance
    facts = _facts(find(ref_of(maintenance)), FORCE_UP.decided_by)
    if isinstance(mover, Simulator) and _has_rested(maintenance):
        mover.repair(maintenance.host)
    if not facts.is_reporting:
        lease.say(_("waiting for nova-compute to report again"))
        return SLOWLY
    blockers = FORCE_UP.blockers(facts)
    if blockers:
        lease.say(blockers[0].detail or blockers[0].message)
        return SLOWLY
    lease.change_state(State.RETURNING)
    return 0


def _force_up(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Let the heartbeats of the host count again, once Nova's rules allow it."""
    maintenance = lease.maintenance
    facts = _facts(find(ref_of(maintenance)), FORCE_UP.decided_by)
    if not facts.is_reporting:
        lease.say(_("waiting for nova-compute to report again"))
        return SLOWLY
    if facts.service.forced_down:
        lease.renew()
        FORCE_UP.apply(ref_of(maintenance), actor_of(maintenance, maintenance.return_requested_by))
    lease.change_state(State.DONE)
    return None


def _return(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Give the service the status back that it had, once it reports."""
    maintenance = lease.maintenance
    service = find(ref_of(maintenance)).row
    if not service.is_up():
        lease.say(_("waiting for nova-compute to report"))
        return settings.MAINTENANCE_POLL
    lease.renew()
    _restore(maintenance, service)
    lease.change_state(State.DONE)
    return None


def _restore(maintenance: Maintenance, service: Service) -> None:
    """Give the service the status that it had before."""
    former = maintenance.former or {"status": "enabled", "disabled_reason": None}
    who = maintenance.return_requested_by or maintenance.stop_requested_by
    ref, actor, now = ref_of(maintenance), actor_of(maintenance, who), state_of(service)
    if former["status"] == "disabled":
        if now["status"] != "disabled" or now["disabled_reason"] != former["disabled_reason"]:
            DISABLE.apply(ref, actor, former["disabled_reason"] or "")
    elif now["status"] == "disabled":
        ENABLE.apply(ref, actor)


# --- retiring ---------------------------------------------------------------------------------


def _await_end(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Wait until nova-compute has stopped: it would register again."""
    maintenance = lease.maintenance
    facts = _facts(find(ref_of(maintenance)), DELETE.decided_by)
    if isinstance(mover, Simulator) and _has_rested(maintenance):
        mover.power_off(maintenance.host)
    if facts.service.is_up():
        lease.say(_("stop nova-compute on the host: it would register again"))
        return SLOWLY
    blockers = DELETE.blockers(facts)
    if blockers:
        lease.say(blockers[0].detail or blockers[0].message)
        return SLOWLY
    lease.change_state(State.RETURNING)
    return 0


def _delete(lease: Lease, cell: Cell, mover: Mover) -> float | None:
    """Delete the service and all that Nova keeps of the host, and see that nothing is left."""
    maintenance = lease.maintenance
    try:
        service = find(ref_of(maintenance)).row
    except Missing:
        pass  # deleted by the step that was cut off
    else:
        if service.is_up():
            lease.change_state(State.EMPTY)
            return 0
        lease.renew()
        DELETE.apply(ref_of(maintenance), actor_of(maintenance))
    if is_being_removed(cell, maintenance.host):
        lease.say(_("waiting for placement to lose the host's providers"))
        return SLOWLY
    remains = remains_of(cell, maintenance.host, maintenance.created_at)
    if remains:
        lease.change_state(State.FAILED, _("left behind: %s") % "; ".join(remains))
    else:
        lease.change_state(State.DONE)
    return None


# --- facts ------------------------------------------------------------------------------------


def _facts(found: Found[Service], names: tuple[str, ...]) -> Facts:
    """The numbers by which the rules of an action decide.  Raises ``CellUnavailable``."""
    now = timezone.now()
    answers = ask_cells([found.cell], lambda cell: count_facts(cell, [found.row], names, now))
    for missing in answers.missing:
        raise missing
    return answers.by_cell[found.cell][0]


def _has_rested(maintenance: Maintenance) -> bool:
    """Whether the simulator is to play the host now: a while after its last server has left."""
    last = maintenance.servers.order_by("-ended_at").values_list("ended_at", flat=True).first()
    since = last or maintenance.starts_at
    return timezone.now() - since > datetime.timedelta(seconds=SLOWLY)


STEPS: dict[tuple[str, str], Step] = {
    ("", State.PLANNED): _planned,
    ("", State.DISABLING): _disable,
    (PlanName.EVACUATE, State.DISABLING): _force_down,
    ("", State.EMPTYING): _move,
    ("", State.STOPPING): _stopping,
    ("", State.EMPTY): _stay_empty,
    (PlanName.EVACUATE, State.EMPTY): _await_host,
    (PlanName.RETIRE, State.EMPTY): _await_end,
    ("", State.RETURNING): _return,
    (PlanName.EVACUATE, State.RETURNING): _force_up,
    (PlanName.RETIRE, State.RETURNING): _delete,
}
