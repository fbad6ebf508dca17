"""Moving the servers of a host: what each needs, asking Nova for it, seeing what came of it.

Nothing here waits.  Each step looks at the cell first and then does what is possible; a request
is written down before it is sent, so that a step that was cut off anywhere is followed by one that
finds out from the cell what Nova has done.
"""

import datetime
import logging
from collections.abc import Iterable

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.locks import held
from audit.models import Outcome
from cloud.compute_api import ComputeRefused, ComputeUnavailable
from hypervisors.models import Instance, Migration
from maintenance import record
from maintenance.leases import DURATION, Lease
from maintenance.models import (
    ENDED,
    UNDER_WAY,
    Fate,
    Maintenance,
    Method,
    PlanName,
    Server,
)
from maintenance.movers import Mover
from maintenance.observation import Observation

logger = logging.getLogger(__name__)

#: After so long, a request of which the cell shows nothing has not reached Nova; longer than the
#: timeout of a request, and than an API server goes on with one whose client is gone.
NOTHING_SEEN = datetime.timedelta(seconds=90)
#: How long a server may be busy with something else before it is left where it is.
BUSY_AT_MOST = datetime.timedelta(minutes=10)
#: How long the source may clean up after a server has arrived elsewhere.
CLEANING_AT_MOST = datetime.timedelta(minutes=5)
#: How often a server is tried when its requests never reached Nova.
ATTEMPTS = 5

#: Which servers Nova moves in which way, from its ``check_instance_state`` (nova/compute/api.py).
LIVE_STATES = frozenset({"active", "paused"})
COLD_STATES = frozenset({"stopped"})
EVACUATED_STATES = frozenset({"active", "stopped", "error"})

#: The tasks that Nova gives a server while it moves it; those of an evacuation are not told from
#: the task that a dead host left behind.
TASKS = {
    Method.LIVE: frozenset({"migrating"}),
    Method.COLD: frozenset({"resize_prep", "resize_migrating", "resize_migrated", "resize_finish"}),
    Method.EVACUATION: frozenset[str](),
}

#: Statuses of migrations that came to nothing.
CAME_TO_NOTHING = frozenset({"error", "failed", "cancelled", "reverted"})


def method_for(plan: str, instance: Instance, *, move_stopped: bool) -> tuple[Method | None, str]:
    """How the server can be moved, or why it cannot."""
    state = instance.vm_state or ""
    if plan == PlanName.EVACUATE:
        if state in EVACUATED_STATES:
            return Method.EVACUATION, ""
        return None, _("Nova does not evacuate servers that are %s") % (state or _("in no state"))
    if state in LIVE_STATES:
        return Method.LIVE, ""
    if state in COLD_STATES:
        if move_stopped:
            return Method.COLD, ""
        return None, _("it is shut off, and servers that are shut off were not to be moved")
    if state == "error":
        return None, _("it is in error: reset its state or rebuild it first")
    if state == "resized":
        return None, _("its resize waits for confirmation: confirm or revert it first")
    return None, _("Nova does not migrate servers that are %s") % (state or _("in no state"))


def note_servers(maintenance: Maintenance, seen: Observation) -> None:
    """Write down the servers on the host that are not yet: also those that were still built."""
    known = set(maintenance.servers.values_list("uuid", flat=True))
    new = [
        instance
        for instance in seen.instances.values()
        if instance.host == maintenance.host and instance.uuid not in known
    ]
    servers = []
    for instance in new:
        method, cause = method_for(
            maintenance.plan, instance, move_stopped=maintenance.move_stopped
        )
        building = method is None and instance.vm_state == "building"
        servers.append(
            Server(
                maintenance=maintenance,
                uuid=instance.uuid,
                name=instance.display_name or "",
                vm_state=instance.vm_state or "",
                method=method or "",
                fate=Fate.WAITING if method or building else Fate.STUCK,
                cause="" if building else cause,
                ended_at=None if method or building else timezone.now(),
            )
        )
    Server.objects.bulk_create(servers, ignore_conflicts=True)
    for server in servers:
        if server.fate == Fate.STUCK:
            _put(server, Outcome.REFUSED, record.SERVER, server.cause)


# --- seeing what came of it -------------------------------------------------------------------


def follow(lease: Lease, mover: Mover, seen: Observation) -> None:
    """See how each server that is not through yet is doing."""
    maintenance = lease.maintenance
    for server in maintenance.servers.filter(fate__in=[Fate.WAITING, *UNDER_WAY]):
        instance = seen.instances.get(server.uuid)
        if instance is None:
            _end(server, Fate.GONE)
        elif server.fate == Fate.WAITING:
            _follow_waiting(server, instance, seen)
        else:
            _follow_move(lease, server, instance, seen, mover)


def _follow_waiting(server: Server, instance: Instance, seen: Observation) -> None:
    maintenance = server.maintenance
    if instance.host == maintenance.host:
        return
    if instance.task_state is None and instance.vm_state != "resized":
        _end(server, Fate.MOVED, _("moved by someone else"), target=instance.host or "")


def _follow_move(
    lease: Lease, server: Server, instance: Instance, seen: Observation, mover: Mover
) -> None:
    migration = seen.migration_after(server.uuid, server.after_migration)
    source = server.maintenance.host
    # A dead host's servers keep the task that they had; their evacuation is a migration at once.
    is_busy = instance.task_state is not None and not (
        server.method == Method.EVACUATION and migration is None
    )
    is_ours = instance.task_state in TASKS[Method(server.method)]
    has_arrived = migration is not None or is_ours or instance.host != source
    if server.fate == Fate.REQUESTED and has_arrived:
        # Nova has had the request, and its answer was not heard.
        request_id = mover.latest_request(server.uuid, Method(server.method))
        server.fate, server.request_id = Fate.MOVING, request_id
        server.save(update_fields=["fate", "request_id"])
        _put(server, Outcome.DONE, server.method, server.request_id)
    if is_busy:
        return
    if server.method == Method.COLD and instance.vm_state == "resized":
        if migration is None or migration.status == "finished":  # and is not being confirmed
            _confirm(lease, server, instance, mover)
    elif instance.host != source:
        _arrived(server, instance, migration, mover)
    elif migration is not None:
        _came_back(server, migration, mover)
    else:
        _nothing_seen(server, mover)


def _arrived(server: Server, instance: Instance, migration: Migration | None, mover: Mover) -> None:
    """The server is elsewhere; it has been moved when the host it came from has cleaned up, too.

    Until then, the host must not be switched off: placement would go on counting the server there.
    What went wrong on the way is the cause, for somebody to look at: the server is away, but not
    well, or Nova has left something behind.
    """
    causes = []
    if migration is not None and migration.status not in Migration.FINISHED:
        now = timezone.now()
        if server.busy_since is None:
            server.busy_since = now
            server.save(update_fields=["busy_since"])
        if now - server.busy_since < CLEANING_AT_MOST:
            return
        causes.append(_("its migration is still “%s”") % migration.status)
    if instance.vm_state == "error":
        causes.append(_("it is in error there"))
    if migration is not None and migration.status in CAME_TO_NOTHING:
        causes.append(_("its migration ended as “%s”") % migration.status)
    if causes and server.request_id:
        causes.append(mover.failure(server.uuid, server.request_id) or "")
    _end(server, Fate.MOVED, "; ".join(filter(None, causes)), target=instance.host or "")


def _confirm(lease: Lease, server: Server, instance: Instance, mover: Mover) -> None:
    """Confirm a cold migration that is finished; asking again does no harm."""
    now = timezone.now()
    if server.fate == Fate.CONFIRMING and server.busy_since and now - server.busy_since < DURATION:
        return
    server.fate, server.busy_since, server.target = Fate.CONFIRMING, now, instance.host or ""
    server.save(update_fields=["fate", "busy_since", "target"])
    lease.renew()
    try:
        request_id = mover.confirm_resize(server.uuid)
    except ComputeRefused as refusal:
        if refusal.status not in (404, 409):  # it is gone, or confirmed already
            _end(server, Fate.FAILED, _("not confirmed: %s") % refusal)
    except ComputeUnavailable:
        server.busy_since = None
        server.save(update_fields=["busy_since"])
        raise
    else:
        _put(server, Outcome.DONE, record.CONFIRM, request_id)


def _came_back(server: Server, migration: Migration, mover: Mover) -> None:
    """The server is where it was, with a migration since."""
    if migration.status not in CAME_TO_NOTHING:
        return  # not over yet
    cause = mover.failure(server.uuid, server.request_id) if server.request_id else None
    _end(server, Fate.FAILED, cause or _("the migration ended as “%s”") % migration.status)


def _nothing_seen(server: Server, mover: Mover) -> None:
    """The server is where it was, and no migration of it is on record."""
    if server.request_id:  # accepted: Nova may have found no host before it made a migration
        cause = mover.failure(server.uuid, server.request_id)
        if cause is not None:
            _end(server, Fate.FAILED, cause)
            return
    if server.requested_at is not None and timezone.now() - server.requested_at < NOTHING_SEEN:
        return
    if server.request_id or server.attempts >= ATTEMPTS:
        _end(server, Fate.FAILED, _("Nova has been asked, and nothing has happened"))
        return
    server.fate, server.requested_at = Fate.WAITING, None
    server.save(update_fields=["fate", "requested_at"])


# --- asking Nova ------------------------------------------------------------------------------


def begin(lease: Lease, mover: Mover, seen: Observation) -> None:
    """Ask for as many moves as may be under way at once, on the host and in its cell."""
    maintenance = lease.maintenance
    with held(f"moves:{maintenance.cell_uuid}", DURATION) as renew:
        if renew is None:
            return  # another host of the cell is at it
        room = _room(maintenance)
        for server in maintenance.servers.filter(fate=Fate.WAITING):
            if room <= 0 or maintenance.stop_requested_by or not renew():
                return
            instance = seen.instances.get(server.uuid)
            if instance is None or instance.host != maintenance.host:
                continue
            if _is_busy(server, instance):
                _busy(server, instance)
            elif _classified(server, instance):
                _request(lease, server, seen, mover)
                room -= 1


def _room(maintenance: Maintenance) -> int:
    under_way = Server.objects.filter(fate__in=UNDER_WAY).exclude(maintenance__state__in=ENDED)
    in_cell = under_way.filter(maintenance__cell_uuid=maintenance.cell_uuid).count()
    on_host = under_way.filter(maintenance=maintenance).count()
    return min(maintenance.at_once - on_host, settings.MAINTENANCE_MOVES_PER_CELL - in_cell)


def _is_busy(server: Server, instance: Instance) -> bool:
    """Whether something else is being done to it; the task of a dead host's server is not done."""
    if server.maintenance.plan == PlanName.EVACUATE:
        return False
    return instance.task_state is not None or instance.vm_state == "building"


def _busy(server: Server, instance: Instance) -> None:
    """Wait for what else is being done to the server, but not for ever."""
    now = timezone.now()
    if server.busy_since is None:
        server.busy_since = now
    elif now - server.busy_since > BUSY_AT_MOST:
        doing = instance.task_state or instance.vm_state
        _end(server, Fate.STUCK, _("it has been busy for ten minutes: %s") % doing)
        return
    server.cause = _("waiting: it is %s") % (instance.task_state or instance.vm_state)
    server.save(update_fields=["busy_since", "cause"])


def _classified(server: Server, instance: Instance) -> bool:
    """Choose the method by the state that the server is in now."""
    maintenance = server.maintenance
    method, cause = method_for(maintenance.plan, instance, move_stopped=maintenance.move_stopped)
    if method is None:
        _end(server, Fate.STUCK, cause)
        return False
    server.method, server.vm_state = method, instance.vm_state or ""
    return True


def _request(lease: Lease, server: Server, seen: Observation, mover: Mover) -> None:
    """Ask Nova to move the server, once."""
    lease.renew()
    if lease.maintenance.stop_requested_by:
        return
    columns = {
        "fate": Fate.REQUESTED,
        "method": server.method,
        "vm_state": server.vm_state,
        "cause": "",
        "request_id": "",
        "busy_since": None,
        "after_migration": seen.latest_migration(server.uuid),
        "attempts": server.attempts + 1,
        "requested_at": timezone.now(),
    }
    # The condition lets only one worker ask, whatever has happened to leases.
    mine = Server.objects.filter(pk=server.pk, fate=Fate.WAITING)
    if not mine.update(**columns):
        return
    for name, value in columns.items():
        setattr(server, name, value)
    target = lease.maintenance.target
    ask = {
        Method.LIVE: mover.live_migrate,
        Method.COLD: mover.cold_migrate,
        Method.EVACUATION: mover.evacuate,
    }[Method(server.method)]
    try:
        server.request_id = ask(server.uuid, target)
    except ComputeRefused as refusal:
        _refused(server, refusal)
    except ComputeUnavailable as error:
        if not error.sent:
            server.fate, server.attempts = Fate.WAITING, server.attempts - 1
            server.save(update_fields=["fate", "attempts"])
        raise
    else:
        server.fate = Fate.MOVING
        server.save(update_fields=["fate", "request_id"])
        _put(server, Outcome.DONE, server.method, server.request_id)


def _refused(server: Server, refusal: ComputeRefused) -> None:
    if refusal.status == 409 and server.attempts < ATTEMPTS:  # something else is being done to it
        server.fate, server.cause = Fate.WAITING, str(refusal)
        server.save(update_fields=["fate", "cause"])
        return
    _end(server, Fate.STUCK, str(refusal))


# --- writing down -----------------------------------------------------------------------------


def _end(server: Server, fate: Fate, cause: str = "", target: str = "") -> None:
    server.fate, server.cause, server.ended_at = fate, cause, timezone.now()
    server.target = target or server.target
    server.save(update_fields=["fate", "cause", "target", "ended_at", "method", "vm_state"])
    outcome = {Fate.FAILED: Outcome.FAILED, Fate.STUCK: Outcome.REFUSED}.get(fate, Outcome.DONE)
    words = {
        Fate.MOVED: f"is on {server.target}" + (f": {cause}" if cause else ""),
        Fate.GONE: "was deleted meanwhile",
    }.get(fate, cause)
    _put(server, outcome, record.SERVER, words)


def _put(server: Server, outcome: Outcome, action: str, text: str) -> None:
    message = f"server {server.uuid}" + (f": {text}" if text else "")
    record.step(server.maintenance, action, message, outcome)


def counts(servers: Iterable[Server]) -> dict[str, int]:
    """How many servers have each fate."""
    found: dict[str, int] = dict.fromkeys(Fate.values, 0)
    for server in servers:
        found[server.fate] += 1
    return found
