"""Taking back an action on services, by what the audit has of it.

Each service gets its own former status, reason and forced down again, as far as the action changed
them; one that was changed since then is left alone unless that is asked for.  The rules are those
of the actions that it takes to get there: what was forced up is forced down again only by typing
its name.
"""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import BadRequest
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from audit import undoing
from audit.journal import Actor
from audit.models import Entry, Outcome
from cells.databases import alias_of
from portal.console.stored_texts import translated
from services import execution
from services.actions import (
    DISABLE,
    FORCE_DOWN,
    Applied,
    Change,
    Conflict,
    Refused,
    ServiceAction,
    ServiceRef,
    actions_in,
)
from services.changes import state_of
from services.facts import Facts
from services.models import NOVA_COMPUTE, Service
from services.next_steps import set_command

#: What an update of a service can change, as the audit has it; what belongs together is one.
PARTS = (("status", "disabled_reason"), ("forced_down",))


class AlreadyUndone(Exception):
    """All that was to be taken back is taken back already; the text is for the user."""

    def __init__(self, undo: Entry) -> None:
        super().__init__(_("That was undone by %(user)s already.") % {"user": undo.username})


def former_values(entry: Entry) -> dict[str, Any]:
    """What the action has changed, as it was before; empty if there is nothing to take back."""
    before, after = entry.before or {}, entry.after or {}
    if entry.outcome != Outcome.DONE or entry.binary != NOVA_COMPUTE:
        return {}
    if any(name not in values for values in (before, after) for part in PARTS for name in part):
        return {}  # deleted, or not an update of a service
    changed = [part for part in PARTS if any(before[name] != after[name] for name in part)]
    return {name: before[name] for part in changed for name in part}


def undo_url(user: User | AnonymousUser | Any, entries: Sequence[Entry]) -> str:
    """The page that asks whether to undo the action of these entries; an ``undoing.UndoURL``."""
    if not user.has_perm(Undo.permission) or not any(map(former_values, entries)):
        return ""
    first, *others = entries
    which = {"request": first.request_id} if others else {"entry": first.pk}
    return f"{reverse('admin:services_service_act')}?{urlencode({'action': Undo.name, **which})}"


def undo_of(user: User | AnonymousUser | Any, params: QueryDict) -> "Undo":
    """The action that takes back the entry, or the whole request, that a form names.

    Those who may not see the audit take back only what they did themselves.  Raises ``BadRequest``
    if there is nothing to take back, and ``AlreadyUndone``.
    """
    entries = Entry.objects.all()
    if not user.has_perm("audit.view_entry"):
        entries = entries.filter(username=user.get_username())
    if request_id := params.get("request"):
        chosen, fields = entries.filter(request_id=request_id), {"request": request_id}
    else:
        number = params.get("entry", "")
        if not re.fullmatch("[0-9]{1,18}", number, re.ASCII):
            raise BadRequest(gettext_noop("no such entry"))
        chosen, fields = entries.filter(pk=int(number)), {"entry": number}
    undone = undoing.undone_by(chosen)
    undo = Undo([entry for entry in chosen if entry.pk not in undone], fields)
    if undo.keys:
        return undo
    if undone:
        raise AlreadyUndone(max(undone.values(), key=lambda entry: entry.pk))
    raise BadRequest(gettext_noop("there is nothing to take back"))


class Undo(ServiceAction):
    """Taking back what entries of the audit say, which are those of one action."""

    name = gettext_noop("undo")
    label = gettext_lazy("Restore")
    no_effect = gettext_lazy("as it was before")
    replaces = gettext_lazy("Restore also services that were changed again since then")
    shows = ("servers", "migrations")
    decided_by = ("evacuations",)

    def __init__(self, entries: Iterable[Entry], form_fields: Mapping[str, str]) -> None:
        undone = [entry for entry in entries if former_values(entry)]
        self.form_fields = form_fields
        self.keys = [one.service_uuid or f"{one.cell_uuid}:{one.service_id}" for one in undone]
        self._by_key = dict(zip(self.keys, undone, strict=True))
        self._by_place = {(alias_of(one.cell_uuid), one.service_id): one for one in undone}
        if any(former_values(one).get("forced_down") for one in undone):
            self.asks_host, self.caution = True, FORCE_DOWN.caution
        if undone:
            self.introduction = _introduction(undone[0], len(undone))

    def _entry(self, service: Service) -> Entry | None:
        return self._by_place.get((service._state.db or "", service.id))

    def has_effect(self, service: Service) -> bool:
        entry, state = self._entry(service), state_of(service)
        return entry is not None and any(
            state[name] != value for name, value in former_values(entry).items()
        )

    def keeps(self, service: Service, reason: str, *, replace: bool) -> str:
        """What has been changed since then is someone's doing, too."""
        kept = super().keeps(service, reason, replace=replace)
        entry, state = self._entry(service), state_of(service)
        if kept or replace or entry is None:
            return kept
        after = entry.after or {}
        is_changed = any(state[name] != after[name] for name in former_values(entry))
        return _("changed again since then") if is_changed else ""

    def _change(self, entry: Entry | None) -> Change:
        former = former_values(entry) if entry else {}
        is_disabled = former.get("status") == "disabled"
        return Change(
            status=former.get("status"),
            reason=(former["disabled_reason"] or None) if is_disabled else None,
            forced_down=former.get("forced_down"),
        )

    def _actions(self, service: Service) -> list[ServiceAction]:
        return actions_in(self._change(self._entry(service)))

    def blockers(self, facts: Facts) -> list[Refused]:
        blockers = super().blockers(facts)
        actions = self._actions(facts.service)
        return blockers or [one for action in actions for one in action.blockers(facts)]

    def warnings(self, facts: Facts) -> list[str]:
        return [one for action in self._actions(facts.service) for one in action.warnings(facts)]

    def effects(self, facts: Facts) -> list[str]:
        effects = [
            one
            for action in self._actions(facts.service)
            if action is not DISABLE
            for one in action.effects(facts)
        ]
        change = self._change(self._entry(facts.service))
        if change.reason:
            reason = {"reason": change.reason}
            effects.append(_("it is disabled, with its former reason “%(reason)s”") % reason)
        elif change.status == "disabled":
            effects.append(_("it is disabled, without a reason as before"))
        return effects

    def client_command(self, service: Service, reason: str) -> str:
        change = self._change(self._entry(service))
        options = [
            option
            for action in actions_in(change)
            for option in action.client_options(change.reason or "")
        ]
        return set_command(service, options)

    def apply(
        self, ref: ServiceRef, actor: Actor, reason: str = "", *, replace: bool = True
    ) -> Applied:
        entry = self._by_key.get(ref.uuid) or self._by_place.get(
            (ref.cell.alias if ref.cell else "", ref.id)
        )
        if entry is None:
            raise ref.missing()

        def check(service: Service) -> None:
            if kept := self.keeps(service, reason, replace=replace):
                words = gettext_noop("Nothing was restored: %(why)s.")
                raise Conflict(words % {"why": kept})

        return execution.update(
            ref, self._change(entry), actor, self.name, [self], check=check, undoes=entry.pk
        )


def _introduction(entry: Entry, services: int) -> str:
    """What is taken back, in words."""
    words = ngettext(
        "This takes back “%(action)s” by %(user)s, %(at)s UTC, on %(n)d service.",
        "This takes back “%(action)s” by %(user)s, %(at)s UTC, on %(n)d services.",
        services,
    )
    at = f"{entry.at.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"
    return words % {
        "action": translated(entry.action),
        "user": entry.username,
        "at": at,
        "n": services,
    }


undoing.register(undo_url)
