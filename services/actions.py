"""What may be done to a service: the rules, and carrying them out.

Each action is declared once, as a ``ServiceAction``: the console, the API and commands all read
its rules here, and nothing else writes to a service's status.  To add one, add it to ``ACTIONS``:
the console then shows its button, its page and its results, and the audit and the notifications
follow.  Knows neither HTTP nor microversions.

Every action is carried out in the same way.  The service is found, and its row is locked in a
transaction of its cell; the rules are applied to the locked row; what is about to be done is
written down in the portal's own database (``audit.journal``); only the columns of the action are
written; and when the cell has committed, placement or nova-compute is told, and the action is put
on record together with its notification.  Actions on one service thus follow one another, on
record and in notifications as in the cell.

The API accepts an action that has no effect (enabling an enabled service is a 200, and notified,
as in Nova); the console does not show a button for it (``has_effect``).  Otherwise both accept and
refuse the same.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from django.contrib.auth.models import AnonymousUser, User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from audit.journal import Actor
from services import execution
from services.changes import Applied, Change
from services.exceptions import Conflict, Invalid, Missing, Refused, Unavailable
from services.execution import not_compute
from services.facts import Facts
from services.locate import ServiceRef
from services.models import NOVA_COMPUTE, Service
from services.next_steps import COMPUTE_SERVICE, NextStep, after_delete, command, set_command

__all__ = [
    "ACTIONS", "DELETE", "DISABLE", "ENABLE", "FORCE_DOWN", "FORCE_UP",
    "Applied", "Change", "Conflict", "Invalid", "Missing", "Refused", "ServiceAction", "ServiceRef",
    "Unavailable", "actions_for", "actions_in", "delete", "disable", "enable", "name_of",
    "set_forced_down", "update",
]  # fmt: skip


# --- the actions ------------------------------------------------------------------------------


class ServiceAction:
    """Something that can be done to a service, and everything there is to say about it."""

    #: In URLs, forms and the audit.
    name: ClassVar[str]
    label: ClassVar[Any]
    #: Django's permission for it in the console.
    permission: ClassVar[str] = "services.change_service"
    dangerous: ClassVar[bool] = False
    asks_reason: ClassVar[bool] = False
    asks_host: bool = False
    #: What to do first, on the page that asks for confirmation: a headline and a text.
    caution: tuple[Any, Any] | None = None
    #: What else names the action in forms.
    form_fields: Mapping[str, str] = MappingProxyType({})
    #: What the page that asks for confirmation says first.
    introduction: str = ""
    #: Why a service on which it has no effect is left alone.
    no_effect: ClassVar[Any] = ""
    #: What ``replace`` allows, as the label of a box to tick; empty if nothing is replaced.
    replaces: ClassVar[Any] = ""
    #: The numbers (of ``services.facts``) that ``blockers`` reads.
    decided_by: ClassVar[tuple[str, ...]] = ()
    #: Those that only ``warnings`` and ``effects`` read.
    shows: ClassVar[tuple[str, ...]] = ()
    #: Whether placement is asked what it has of the host.
    asks_placement: ClassVar[bool] = False
    #: Whether the servers on the host can be evacuated when it is done.
    is_evacuated_after: ClassVar[bool] = False

    def applies_to(self, service: Service) -> bool:
        """Whether it can be done to a service of this kind at all."""
        return service.binary == NOVA_COMPUTE

    def has_effect(self, service: Service) -> bool:
        """Whether it would change anything in the service as it is."""
        return True

    def blockers(self, facts: Facts) -> list[Refused]:
        """Why it cannot be done; it is carried out only if there is nothing here."""
        return [] if self.applies_to(facts.service) else [not_compute(facts.service.binary)]

    def warnings(self, facts: Facts) -> list[str]:
        """What to consider first."""
        return []

    def effects(self, facts: Facts) -> list[str]:
        """What will happen."""
        return []

    def change(self, reason: str) -> Change:
        """The update that it is, if it is one; ``reason`` is what was given as the reason."""
        raise NotImplementedError

    def keeps(self, service: Service, reason: str, *, replace: bool) -> str:
        """Why a service is left as it is, in words; empty if the action is carried out.

        ``replace`` says that what someone else has set may be replaced.
        """
        return "" if self.has_effect(service) else str(self.no_effect)

    def after(self, facts: Facts) -> list[NextStep]:
        """What is left to do when it is done."""
        return []

    def client_options(self, reason: str) -> list[str]:
        """The options of ``openstack compute service set`` for the same."""
        return []

    def client_command(self, service: Service, reason: str) -> str:
        """The OpenStack client's command that does the same; empty if it has none."""
        return set_command(service, self.client_options(reason))

    def apply(
        self, ref: ServiceRef, actor: Actor, reason: str = "", *, replace: bool = True
    ) -> Applied:
        """Do it; returns the service as it is then, or as it was last.  Raises ``Refused``."""
        return execution.update(ref, self.change(reason), actor, self.name, [self])


class Enable(ServiceAction):
    name = gettext_noop("enable")
    label = gettext_lazy("Enable")
    no_effect = gettext_lazy("already enabled")

    def has_effect(self, service: Service) -> bool:
        return bool(service.disabled)

    def warnings(self, facts: Facts) -> list[str]:
        if facts.service.disabled and not facts.service.is_up(facts.now):
            return [_("it is down: no server will be placed there until it is up")]
        return []

    def effects(self, facts: Facts) -> list[str]:
        effects = [_("the scheduler will place servers on the host again")]
        if facts.service.disabled_reason:
            reason = {"reason": facts.service.disabled_reason}
            effects.append(_("the reason “%(reason)s” is removed") % reason)
        return effects

    def change(self, reason: str) -> Change:
        return Change(status="enabled")

    def client_options(self, reason: str) -> list[str]:
        return ["--enable"]


class Disable(ServiceAction):
    name = gettext_noop("disable")
    label = gettext_lazy("Disable")
    asks_reason = True
    no_effect = gettext_lazy("already disabled")
    replaces = gettext_lazy("Replace the reasons of services that are disabled already")
    shows = ("servers", "migrations")

    def warnings(self, facts: Facts) -> list[str]:
        return [in_progress(facts)] if facts.migrations else []

    def effects(self, facts: Facts) -> list[str]:
        if facts.service.disabled:
            effects = [_("only its reason changes")]
        else:
            effects = [_("the scheduler will place no more servers on the host")]
        if facts.servers:
            effects.append(_("%(servers)s; none is moved or stopped") % {"servers": on_host(facts)})
        return effects

    def change(self, reason: str) -> Change:
        return Change(status="disabled", reason=reason or None)

    def client_options(self, reason: str) -> list[str]:
        return ["--disable"] + (["--disable-reason", reason] if reason else [])

    def keeps(self, service: Service, reason: str, *, replace: bool) -> str:
        """A reason that someone has given is replaced only by another, and only if asked."""
        if service.disabled and not (replace and reason):
            return str(self.no_effect)
        return ""

    def apply(
        self, ref: ServiceRef, actor: Actor, reason: str = "", *, replace: bool = True
    ) -> Applied:
        def check(service: Service) -> None:
            if self.keeps(service, reason, replace=replace):
                raise Conflict(gettext_noop("It is disabled already; its reason was kept."))

        return execution.update(ref, self.change(reason), actor, self.name, [self], check=check)


class ForceDown(ServiceAction):
    name = gettext_noop("force-down")
    label = gettext_lazy("Force down")
    no_effect = gettext_lazy("already forced down")
    dangerous = True
    asks_host = True
    is_evacuated_after = True
    caution = (
        gettext_lazy("Fence the host first."),
        gettext_lazy(
            "A host that is forced down while it still runs can corrupt its servers: they are "
            "started elsewhere on the same volumes. Type the name of each host to confirm that "
            "it is off."
        ),
    )
    shows = ("servers", "migrations")

    def has_effect(self, service: Service) -> bool:
        return not service.forced_down

    def warnings(self, facts: Facts) -> list[str]:
        reporting = _(
            "it still reports: is the host really fenced? Evacuated servers would run twice"
        )
        return (
            ([reporting] if facts.is_reporting else [])
            + ([on_host(facts)] if facts.servers else [])
            + ([in_progress(facts)] if facts.migrations else [])
        )

    def effects(self, facts: Facts) -> list[str]:
        return [_("the service counts as down whatever it reports, and servers may be evacuated")]

    def change(self, reason: str) -> Change:
        return Change(forced_down=True)

    def client_options(self, reason: str) -> list[str]:
        return ["--down"]


class ForceUp(ServiceAction):
    name = gettext_noop("force-up")
    label = gettext_lazy("Force up")
    no_effect = gettext_lazy("not forced down")
    decided_by = ("evacuations",)

    def has_effect(self, service: Service) -> bool:
        return bool(service.forced_down)

    def blockers(self, facts: Facts) -> list[Refused]:
        """A host that was evacuated must have noticed it first, or it would run servers twice."""
        blockers = super().blockers(facts)
        if facts.evacuations:
            blockers.append(
                Invalid(
                    gettext_noop(
                        "Unable to force up host %(host)s as `done` evacuation migration records "
                        "remain associated with the host. Ensure the compute service has been "
                        "restarted, allowing these records to move to `completed` before retrying "
                        "this request."
                    )
                    % {"host": facts.service.host},
                    ngettext(
                        "%(n)d evacuation is done that the host has not noticed",
                        "%(n)d evacuations are done that the host has not noticed",
                        facts.evacuations,
                    )
                    % {"n": facts.evacuations},
                )
            )
        return blockers

    def effects(self, facts: Facts) -> list[str]:
        return [_("its heartbeats count again")]

    def change(self, reason: str) -> Change:
        return Change(forced_down=False)

    def client_options(self, reason: str) -> list[str]:
        return ["--up"]


class Delete(ServiceAction):
    name = gettext_noop("delete")
    label = gettext_lazy("Delete")
    permission = "services.delete_service"
    dangerous = True
    asks_host = True
    caution = (
        gettext_lazy("Stop the service first."),
        gettext_lazy(
            "A service that still runs registers again and comes back without its aggregates. "
            "Deleting cannot be undone here. Type the name of each host to confirm that it is to "
            "go."
        ),
    )
    decided_by = ("servers", "migrations")
    shows = ("nodes",)
    asks_placement = True

    def applies_to(self, service: Service) -> bool:
        return True

    def blockers(self, facts: Facts) -> list[Refused]:
        """No server and no migration in progress may be on the host of a nova-compute, and
        placement must be able to follow.
        """
        blockers: list[Refused] = []
        if facts.servers:
            blockers.append(
                Conflict(
                    gettext_noop(
                        "Unable to delete compute service that is hosting instances. Migrate or "
                        "delete the instances first."
                    ),
                    on_host(facts),
                )
            )
        if facts.migrations:
            blockers.append(
                Conflict(
                    gettext_noop(
                        "Unable to delete compute service that has in-progress migrations. "
                        "Complete the migrations or delete the instances first."
                    ),
                    in_progress(facts),
                )
            )
        return blockers + (facts.in_placement.blockers() if facts.in_placement else [])

    def warnings(self, facts: Facts) -> list[str]:
        warnings = facts.in_placement.warnings() if facts.in_placement else []
        if facts.is_reporting:
            warnings.append(
                _("it still reports: stop it first, or it will come back as a new service")
            )
        return warnings

    def effects(self, facts: Facts) -> list[str]:
        effects = [_("the service is removed")]
        if facts.is_compute:
            effects.append(
                ngettext(
                    "with it %(n)d hypervisor, the host's mapping and its places in aggregates",
                    "with it %(n)d hypervisors, the host's mapping and its places in aggregates",
                    facts.nodes,
                )
                % {"n": facts.nodes}
            )
            effects += (
                [_("placement was not asked")]
                if facts.in_placement is None
                else facts.in_placement.effects()
            )
        if facts.aggregates:
            names = {"names": ", ".join(facts.aggregates)}
            effects.append(_("it is taken out of the aggregates %(names)s") % names)
        return effects

    def after(self, facts: Facts) -> list[NextStep]:
        return after_delete(facts)

    def client_command(self, service: Service, reason: str) -> str:
        return command(*COMPUTE_SERVICE, "delete", service.uuid) if service.uuid else ""

    def apply(
        self, ref: ServiceRef, actor: Actor, reason: str = "", *, replace: bool = True
    ) -> Applied:
        return execution.delete(ref, actor, self.name, self)


def on_host(facts: Facts) -> str:
    """How many servers there are, in words."""
    words = ngettext("%(n)d server is on it", "%(n)d servers are on it", facts.servers)
    return words % {"n": facts.servers}


def in_progress(facts: Facts) -> str:
    """How many migrations there are, in words."""
    words = ngettext(
        "%(n)d migration is in progress", "%(n)d migrations are in progress", facts.migrations
    )
    return words % {"n": facts.migrations}


ENABLE, DISABLE, FORCE_DOWN, FORCE_UP, DELETE = (
    Enable(),
    Disable(),
    ForceDown(),
    ForceUp(),
    Delete(),
)

#: By name, in the order in which they are shown.
ACTIONS: dict[str, ServiceAction] = {
    action.name: action for action in (ENABLE, DISABLE, FORCE_DOWN, FORCE_UP, DELETE)
}


def actions_for(
    user: User | AnonymousUser | Any, service: Service | None = None
) -> list[ServiceAction]:
    """The actions to show ``user``; beside a ``service``, those that would change it."""
    return [
        action
        for action in ACTIONS.values()
        if user.has_perm(action.permission)
        and (service is None or (action.applies_to(service) and action.has_effect(service)))
    ]


# --- carrying them out ------------------------------------------------------------------------


def enable(ref: ServiceRef, actor: Actor) -> Applied:
    """Let the scheduler use the host again; the reason for disabling it is removed."""
    return update(ref, Change(status="enabled"), actor)


def disable(ref: ServiceRef, actor: Actor, reason: str | None = None) -> Applied:
    """Keep new servers away from the host, for ``reason`` (at most 255 characters)."""
    return update(ref, Change(status="disabled", reason=reason), actor)


def set_forced_down(ref: ServiceRef, forced_down: bool, actor: Actor) -> Applied:
    """Declare the host dead (fence it first!), or let its heartbeats count again."""
    return update(ref, Change(forced_down=forced_down), actor)


def actions_in(change: Change) -> list[ServiceAction]:
    """The actions that a change consists of."""
    actions: list[ServiceAction] = []
    if change.status is not None:
        actions.append(DISABLE if change.status == "disabled" else ENABLE)
    if change.forced_down is not None:
        actions.append(FORCE_DOWN if change.forced_down else FORCE_UP)
    return actions


def name_of(actions: Sequence[ServiceAction]) -> str:
    """The name of an update in the audit."""
    return actions[0].name if len(actions) == 1 else gettext_noop("update")


def update(
    ref: ServiceRef, change: Change, actor: Actor, actions: Sequence[ServiceAction] | None = None
) -> Applied:
    """``execution.update`` by the rules of the actions that the change consists of."""
    actions = actions_in(change) if actions is None else actions
    return execution.update(ref, change, actor, name_of(actions), actions)


def delete(ref: ServiceRef, actor: Actor) -> Applied:
    """Delete a service, and return it as it was; with a nova-compute goes its host."""
    return execution.delete(ref, actor, DELETE.name, DELETE)
