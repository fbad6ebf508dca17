"""The three plans: what each is called, what stands in its way, and what it will do.

The rules of the actions that a plan consists of are those of ``services.actions``; what a plan
adds is what must be true of the servers, and of the rest of the cell.
"""

import datetime
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from cells.locate import key_of
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from hypervisors.models import Instance
from maintenance.models import Maintenance, Method, PlanName
from maintenance.movers import mover_for
from maintenance.moves import method_for
from maintenance.observation import INSTANCE_FIELDS
from services.actions import DELETE, DISABLE, FORCE_DOWN, ServiceAction, in_progress
from services.facts import Facts
from services.models import NOVA_COMPUTE, Service, up_at


@dataclass(frozen=True)
class Options:
    """What the person who requests a maintenance chooses; see ``maintenance.models``."""

    reason: str = ""
    ticket: str = ""
    starts_at: datetime.datetime | None = None
    until: datetime.datetime | None = None
    move_stopped: bool = False
    target: str = ""
    at_once: int = field(default_factory=lambda: settings.MAINTENANCE_MOVES_PER_HOST)
    #: Of several hosts: how many at a time, and whether to go on after one has failed.
    hosts_at_once: int = 1
    stop_on_failure: bool = True


@dataclass(frozen=True)
class ServerPlan:
    """What is going to be done with a server; ``cause`` says why nothing is."""

    uuid: str
    name: str
    vm_state: str
    method: Method | None
    cause: str


@dataclass
class Preflight:
    """What a plan would do to a host.  With ``blockers`` it is not begun at all."""

    facts: Facts
    servers: list[ServerPlan] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    reason: str = ""
    #: Whether others are requested with it.
    is_one_of_many: bool = False
    #: Whether the portal cannot ask Nova's API.
    is_by_hand: bool = False

    @property
    def key(self) -> str:
        """The key of the service."""
        return key_of(self.facts.cell, self.facts.service)

    @property
    def host(self) -> str:
        return self.facts.service.host or ""

    @property
    def movable(self) -> list[ServerPlan]:
        return [server for server in self.servers if server.method]

    @property
    def staying(self) -> list[ServerPlan]:
        return [server for server in self.servers if not server.method]


class Plan:
    """What can be done with a host as a whole."""

    name: ClassVar[PlanName]
    label: ClassVar[Any]
    #: What is begun with; its permission is needed, and its rules hold.
    action: ClassVar[ServiceAction]
    #: All actions whose permission is needed.
    actions: ClassVar[tuple[ServiceAction, ...]]
    dangerous: ClassVar[bool] = False
    #: Whether the name of the host has to be typed.
    asks_host: ClassVar[bool] = False
    caution: ClassVar[tuple[Any, Any] | None] = None
    #: What is done with the servers, the host, and at the end.
    needs_targets: ClassVar[bool] = True
    #: The names of actions after which it is offered for the same hosts.
    follows: ClassVar[tuple[str, ...]] = ()

    @property
    def permissions(self) -> list[str]:
        """Django's permissions for it."""
        return ["maintenance.add_maintenance", *(action.permission for action in self.actions)]

    @property
    def asks_placement(self) -> bool:
        """Whether placement is asked about the host, too."""
        return any(action.asks_placement for action in self.actions)

    @property
    def decided_by(self) -> tuple[str, ...]:
        """The numbers of ``services.facts`` that the preflight reads."""
        return ("servers", "migrations", "evacuations", "nodes")

    def blockers(self, facts: Facts) -> list[str]:
        """Why it cannot be begun, as far as the service is concerned."""
        return [refusal.message for refusal in self.action.blockers(facts)]

    def effects(self, facts: Facts) -> list[str]:
        """What happens to the host, in order."""
        return []

    def commands(self, preflight: "Preflight") -> list[str]:
        """The OpenStack client's commands for the same, where the portal cannot ask Nova itself.

        None where something else stands in the way, too: they would be the wrong thing to do.
        """
        if not preflight.is_by_hand or len(preflight.blockers) > 1:
            return []
        service = preflight.facts.service
        first = self.action.client_command(service, preflight.reason)
        moves = [self._command(server) for server in preflight.movable]
        return [first, *moves] if self.action.has_effect(service) else moves

    def _command(self, server: ServerPlan) -> str:
        uuid = shlex.quote(server.uuid)
        if server.method == Method.EVACUATION:
            return f"openstack server evacuate {uuid}"
        if server.method == Method.LIVE:
            return f"openstack server migrate --live-migration {uuid}"
        return f"openstack server migrate --wait {uuid} && openstack server migrate confirm {uuid}"


class EmptyForWork(Plan):
    name = PlanName.EMPTY
    label = gettext_lazy("Empty for work")
    action = DISABLE
    actions: ClassVar[tuple[ServiceAction, ...]] = (DISABLE,)

    def blockers(self, facts: Facts) -> list[str]:
        blockers = super().blockers(facts)
        if facts.is_compute and facts.servers and not facts.service.is_up(facts.now):
            blockers.append(_("it is down: servers can only be evacuated from a dead host"))
        return blockers

    def effects(self, facts: Facts) -> list[str]:
        return [
            _("the service is disabled with the reason"),
            _("the host stays empty until you return it; then its status is restored"),
        ]


class DeadHost(Plan):
    name = PlanName.EVACUATE
    label = gettext_lazy("Evacuate a dead host")
    action = FORCE_DOWN
    actions = (FORCE_DOWN,)
    dangerous = True
    asks_host = True
    caution = FORCE_DOWN.caution
    follows = (FORCE_DOWN.name,)

    def blockers(self, facts: Facts) -> list[str]:
        blockers = super().blockers(facts)
        if facts.is_reporting:
            seen = facts.service.last_seen_up or facts.service.created_at or facts.now
            said = {
                "ago": round((facts.now - seen).total_seconds()),
                "silent": round(settings.SERVICE_DOWN_TIME),
            }
            blockers.append(
                _(
                    "it still reports: it was heard %(ago)d s ago, and counts as dead after "
                    "%(silent)d s of silence"
                )
                % said
            )
        return blockers

    def effects(self, facts: Facts) -> list[str]:
        return [
            _("the service is forced down, unless it is already"),
            _(
                "when the host reports again and has noticed the evacuations, it is forced up; "
                "not before"
            ),
        ]


class Retire(EmptyForWork):
    name = PlanName.RETIRE
    label = gettext_lazy("Retire")
    actions = (DISABLE, DELETE)
    dangerous = True
    asks_host = True
    caution = (
        gettext_lazy("The host is removed from Nova."),
        gettext_lazy(
            "When it is empty and its nova-compute has been stopped, its service is deleted, and "
            "with it its compute nodes, its mapping and its places in aggregates. Type the name "
            "of each host to confirm."
        ),
    )

    def effects(self, facts: Facts) -> list[str]:
        return [
            _("the service is disabled with the reason"),
            _("when the host is empty, the portal waits until you have stopped its nova-compute"),
            *DELETE.effects(facts),
        ]


#: By name, in the order in which they are offered.
PLANS: dict[str, Plan] = {plan.name: plan for plan in (EmptyForWork(), DeadHost(), Retire())}


def plans_for(user: Any) -> list[Plan]:
    """The plans that ``user`` may begin."""
    return [plan for plan in PLANS.values() if user.has_perms(plan.permissions)]


# --- preflight --------------------------------------------------------------------------------


def preflights(plan: Plan, hosts: Iterable[Facts], options: Options) -> list[Preflight]:
    """What the plan would do to each of the hosts, and what stands in its way."""
    by_cell: dict[Cell, list[Facts]] = defaultdict(list)
    found = {}
    for facts in hosts:
        by_cell[facts.cell].append(facts)
        found[facts.cell, facts.service.id] = Preflight(facts, reason=options.reason)
    answers = ask_cells(
        by_cell, lambda cell: _read(cell, [facts.service.host or "" for facts in by_cell[cell]])
    )
    for missing in answers.missing:
        for facts in by_cell[missing.cell]:
            found[facts.cell, facts.service.id].blockers.append(str(missing))
    for cell, (instances, targets) in answers.by_cell.items():
        emptied = {facts.service.host or "" for facts in by_cell[cell]}
        for facts in by_cell[cell]:
            preflight = found[cell, facts.service.id]
            servers = instances.get(facts.service.host or "", [])
            preflight.servers = [_server_plan(plan, server, options) for server in servers]
            preflight.is_one_of_many = len(found) > 1
            _judge(plan, preflight, [host for host in targets if host not in emptied], options)
    _name_active(found.values())
    return list(found.values())


def _read(cell: Cell, hosts: Sequence[str]) -> tuple[dict[str, list[Instance]], list[str]]:
    """The servers of each host, and the hosts of the cell that are up and enabled."""
    instances: dict[str, list[Instance]] = defaultdict(list)
    rows = Instance.objects.using(cell.alias).filter(host__in=hosts).only(*INSTANCE_FIELDS)
    for row in rows.order_by("id"):
        instances[row.host or ""].append(row)
    up = Service.objects.using(cell.alias).filter(up_at(timezone.now()), binary=NOVA_COMPUTE)
    enabled = up.exclude(disabled=True).order_by("host").values_list("host", flat=True)
    return dict(instances), [host or "" for host in enabled]


def _server_plan(plan: Plan, instance: Instance, options: Options) -> ServerPlan:
    method, cause = method_for(plan.name, instance, move_stopped=options.move_stopped)
    name, state = instance.display_name or instance.uuid, instance.vm_state or ""
    return ServerPlan(instance.uuid, name, state, method, cause)


def _judge(plan: Plan, preflight: Preflight, targets: Sequence[str], options: Options) -> None:
    """Fill in what stands in the way, what to consider and what will happen."""
    facts = preflight.facts
    preflight.blockers += plan.blockers(facts)
    preflight.is_by_hand = mover_for(facts.cell) is None
    if preflight.is_by_hand:
        preflight.blockers.append(
            _("the portal has no credentials for Nova's API ([nova] or NOVA_AUTH_URL is not set)")
        )
    if options.target and options.target not in targets:
        preflight.blockers.append(
            _("%s is not another host of the cell that is up and enabled") % options.target
        )
    elif not targets and preflight.movable:
        preflight.blockers.append(_("no other host of the cell is up and enabled"))
    if facts.migrations and plan.name == PlanName.EVACUATE:
        preflight.warnings.append(in_progress(facts))
    elif facts.migrations:
        words = ngettext(
            "%(n)d migration is in progress and is waited for",
            "%(n)d migrations are in progress and are waited for",
            facts.migrations,
        )
        preflight.warnings.append(words % {"n": facts.migrations})
    preflight.effects = plan.effects(facts)
    if preflight.is_one_of_many and plan.name != PlanName.EVACUATE:
        preflight.effects.insert(1, _("while it waits for its turn, it takes no servers either"))
    if preflight.movable:
        words = ngettext("%(n)d server is moved", "%(n)d servers are moved", len(preflight.movable))
        preflight.effects.insert(1, words % {"n": len(preflight.movable)})


def _name_active(preflights: Iterable[Preflight]) -> None:
    by_key = {preflight.key: preflight for preflight in preflights}
    for active in Maintenance.objects.filter(active_key__in=by_key):
        words = _("a maintenance of it is under way (%(state)s, since %(when)s): stop that first")
        said = {"state": active.state_label, "when": f"{active.created_at:%Y-%m-%d %H:%M}"}
        by_key[active.service_key].blockers.append(words % said)
