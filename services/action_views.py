"""The console's pages for acting on services: what would happen, doing it, and how it went.

The rules are those of ``services.actions``; these pages only ask first and report afterwards.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from audit.journal import actor_of
from audit.models import Channel, Entry, Outcome
from audit.undoing import undo_url, undone_by
from cells.executors import CellUnavailable
from cells.registry import Cell
from portal.console.changelist import MAX_SELECTED
from portal.console.selection import TooManySelected, selected_keys
from portal.console.site import Console
from portal.console.stored_texts import translated
from services.actions import ACTIONS, Refused, ServiceAction
from services.facts import Facts, FactsByKey, facts_by_key
from services.locate import ref_to
from services.models import Service
from services.next_steps import command
from services.servers import HostServers, servers_on_hosts
from services.undo import AlreadyUndone, Undo, undo_of

#: Where the session keeps results for the page that shows them.
RESULTS = "service_action_results"
#: How many actions' results are kept, so that each tab of the browser can show its own.
KEPT_RESULTS = 5
MAX_REASON_LENGTH = 255
#: What of the form is found again by who has to log in before it can be sent.
FORM_FIELDS = (
    "action",
    "key",
    "all_matching",
    "query",
    "reason",
    "replace",
    "request",
    "entry",
    "back",
)
#: Up to how many services a preview shows at once; more are shown on demand.
MAX_OPEN_ROWS = 10


@dataclass(frozen=True)
class Preview:
    """A service on the page that asks for confirmation."""

    key: str
    service: Service
    cell: Cell
    facts: Facts
    blockers: list[Refused]
    #: Why the service is left as it is; empty if the action is to be carried out.
    kept: str
    warnings: list[str]
    effects: list[str]
    #: The client's command that does the same.
    command: str
    #: What has been typed as the host's name.
    typed: str

    @property
    def is_possible(self) -> bool:
        return not self.blockers and not self.kept

    @property
    def is_typed_right(self) -> bool:
        return self.typed == (self.service.host or "")


@dataclass
class Result:
    """How an action on one service went."""

    key: str
    host: str
    binary: str
    cell: str
    #: ``done``, ``kept`` (left as it was), or ``failed``.
    outcome: str
    message: str = ""
    #: What is left to do: texts and commands.
    next_steps: list[dict[str, str]] = field(default_factory=list)


def act(
    request: HttpRequest, site: AdminSite, keys_of: Callable[[HttpRequest], list[str]] | None = None
) -> HttpResponse:
    """Show what the action would do; when that has been confirmed, do it.

    ``keys_of`` says which services are meant, unless they are those that the request names; it may
    raise ``TooManySelected``.
    """
    params = _sent(request)
    back = _back_url(request, params.get("back", ""))
    try:
        action = _action(request, params)
        keys = keys_of(request) if keys_of else selected_keys(request, site, Service)
    except (AlreadyUndone, TooManySelected) as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(back)
    if isinstance(action, Undo):
        keys = keys or action.keys
    if not keys:
        messages.warning(request, _("No service was selected."))
        return HttpResponseRedirect(back)
    services = facts_by_key(
        keys, (*action.decided_by, *action.shows), placement=action.asks_placement
    )
    previews = [_preview(request, action, key, facts) for key, facts in services.facts.items()]
    errors: list[str] = []
    if request.method == "POST" and "confirm" in request.POST:
        errors = _errors(request, action, previews)
        if not errors:
            results = _carry_out(request, action, previews, services.not_found)
            return HttpResponseRedirect(_keep(request, action, results, back))
    return _confirm(request, site, action, previews, services, errors, back)


def _action(request: HttpRequest, params: QueryDict) -> ServiceAction:
    """The action that a form names.  Raises ``BadRequest``, or ``PermissionDenied``."""
    name = params.get("action", "")
    if name != Undo.name and name not in ACTIONS:
        raise BadRequest(gettext_noop("no such action"))
    permission = Undo.permission if name == Undo.name else ACTIONS[name].permission
    if not request.user.has_perm(permission):
        raise PermissionDenied
    return undo_of(request.user, params) if name == Undo.name else ACTIONS[name]


def _preview(request: HttpRequest, action: ServiceAction, key: str, facts: Facts) -> Preview:
    blockers, reason = action.blockers(facts), _reason(request)
    return Preview(
        key=key,
        service=facts.service,
        cell=facts.cell,
        facts=facts,
        blockers=blockers,
        kept="" if blockers else action.keeps(facts.service, reason, replace=_replace(request)),
        warnings=action.warnings(facts),
        effects=action.effects(facts),
        command=action.client_command(facts.service, reason),
        typed=request.POST.get(f"host:{key}", "").strip(),
    )


def _sent(request: HttpRequest) -> QueryDict:
    """The form, which is in the address where it is only to be shown."""
    return request.POST if request.method == "POST" else request.GET


def _reason(request: HttpRequest) -> str:
    return _sent(request).get("reason", "").strip()


def _replace(request: HttpRequest) -> bool:
    """Whether what others have set may be replaced."""
    return "replace" in _sent(request)


def _errors(request: HttpRequest, action: ServiceAction, previews: Sequence[Preview]) -> list[str]:
    """What is wrong with what has been typed."""
    if (length := len(_reason(request))) > MAX_REASON_LENGTH:
        words = _(
            "The reason has %(length)d characters, and Nova keeps 255; nothing has been done."
        )
        return [words % {"length": length}]
    possible = [preview for preview in previews if preview.is_possible]
    if action.asks_host and possible and not any(preview.is_typed_right for preview in possible):
        return [_("No host name was typed as it is; nothing has been done.")]
    return []


def _confirm(
    request: HttpRequest,
    site: AdminSite,
    action: ServiceAction,
    previews: Sequence[Preview],
    services: FactsByKey,
    errors: Sequence[str],
    back: str,
) -> HttpResponse:
    """The page that asks for confirmation."""
    possible = sum(preview.is_possible for preview in previews)
    context = {
        **site.each_context(request),
        "opts": Service._meta,
        "title": _("%(action)s: confirm") % {"action": action.label},
        "action": action,
        "previews": sorted(previews, key=lambda preview: (preview.is_possible, preview.kept)),
        "outcomes": _outcomes(action, previews),
        "cells": sorted(Counter(preview.cell.name for preview in previews).items()),
        "commands": "\n".join(filter(None, (one.command for one in previews if one.is_possible))),
        "may_replace": bool(action.replaces)
        and any(
            action.keeps(preview.service, "a reason", replace=False)
            and not action.keeps(preview.service, "a reason", replace=True)
            for preview in previews
        ),
        "replace": _replace(request),
        "are_rows_open": action.asks_host or len(previews) <= MAX_OPEN_ROWS,
        "possible": possible,
        "submit": _submit_label(action, possible, len(previews)),
        "not_found": services.not_found,
        "missing": services.missing,
        "back": back,
        "errors": errors,
        "reason": _sent(request).get("reason", ""),
        "list_url": reverse("admin:services_service_changelist"),
    }
    return TemplateResponse(request, "admin/services/service/confirm.html", context)


def _outcomes(action: ServiceAction, previews: Sequence[Preview]) -> list[tuple[str, str, int]]:
    """What will become of the services: a badge's kind, words, and how many there are."""
    counts: Counter[tuple[str, str]] = Counter()
    for preview in previews:
        if preview.blockers:
            counts["bad", _("blocked")] += 1
        elif preview.kept:
            counts["off", _("%(why)s, kept") % {"why": preview.kept}] += 1
        else:
            counts["good", str(action.label)] += 1
        if preview.warnings and preview.is_possible:
            counts["warning", _("with a warning")] += 1
    return [(kind, words, count) for (kind, words), count in counts.items()]


def _submit_label(action: ServiceAction, possible: int, total: int) -> str:
    """What the button says: to how many services it can be done."""
    if not possible:
        return str(action.label)
    if possible < total:
        words = ngettext(
            "%(action)s %(possible)d of %(total)d service",
            "%(action)s %(possible)d of %(total)d services",
            total,
        )
    else:
        words = ngettext("%(action)s %(total)d service", "%(action)s %(total)d services", total)
    return words % {"action": action.label, "possible": possible, "total": total}


def _carry_out(
    request: HttpRequest,
    action: ServiceAction,
    previews: Sequence[Preview],
    not_found: Sequence[str],
) -> list[Result]:
    """Do it to one service after the other; one that is refused does not stop the rest."""
    actor = actor_of(request, Channel.CONSOLE)
    size = sum(
        not preview.kept and (preview.is_typed_right or not action.asks_host)
        for preview in previews
    )
    results = []
    for preview in previews:
        service, cell = preview.service, preview.cell
        result = Result(preview.key, service.host or "", service.binary or "", cell.name, "failed")
        results.append(result)
        if preview.kept:
            result.outcome, result.message = "kept", preview.kept
            continue
        if action.asks_host and not preview.is_typed_right:
            untyped = _("the host name was not typed as it is")
            result.message = (
                translated(preview.blockers[0].message) if preview.blockers else untyped
            )
            continue
        if size > 1:
            actor = replace(actor, bulk_position=actor.bulk_position + 1, bulk_size=size)
        try:
            applied = action.apply(
                ref_to(cell, service), actor, _reason(request), replace=_replace(request)
            )
        except Refused as refusal:
            result.message = translated(refusal.message)
        else:
            result.outcome, result.message = "done", translated(applied.remark)
            result.next_steps = [asdict(step) for step in action.after(preview.facts)]
    missing = _("not found in the cells that answer")
    return results + [Result(key, key, "", "", "failed", missing) for key in not_found]


def _keep(request: HttpRequest, action: ServiceAction, results: Sequence[Result], back: str) -> str:
    """Keep the results in the session; returns the URL of the page that shows them."""
    token = secrets.token_hex(8)
    kept = list(request.session.get(RESULTS, {}).items())[1 - KEPT_RESULTS :]
    request.session[RESULTS] = dict(kept) | {
        token: {
            "action": action.name,
            "label": str(action.label),
            "request_id": actor_of(request, Channel.CONSOLE).request_id,
            "back": back,
            "reason": _reason(request),
            "replace": _replace(request),
            "results": [asdict(result) for result in results],
        }
    }
    return f"{reverse('admin:services_service_results')}?of={token}"


def show_results(request: HttpRequest, site: Console) -> HttpResponse:
    """How an action went, service by service, and what is left to do now."""
    kept: dict[str, Any] | None = request.session.get(RESULTS, {}).get(request.GET.get("of", ""))
    if kept is None:
        return HttpResponseRedirect(reverse("admin:services_service_changelist"))
    action, results = ACTIONS.get(kept["action"]), kept["results"]
    outcomes = Counter(result["outcome"] for result in results)
    left: dict[str, HostServers] = {}
    missing: list[CellUnavailable] = []
    if action is not None and action.is_evacuated_after:
        left, missing = servers_on_hosts(
            result["key"] for result in results if result["outcome"] != "failed"
        )
    context = {
        **site.each_context(request),
        "opts": Service._meta,
        "title": _("%(action)s: results") % {"action": kept["label"]},
        **_undo_of(request, kept["request_id"]),
        "action": action,
        "reason": kept.get("reason", ""),
        "replace": kept.get("replace", False),
        # The rest of an undo is offered by its entry in the audit.
        "not_done": [one["key"] for one in results if action and one["outcome"] == "failed"],
        "results": [
            (result, left.get(result["key"]), _evacuation(left.get(result["key"])))
            for result in results
        ],
        "hosts_with_servers": list(left),
        "list_actions": [
            one
            for one in site.list_actions(request, Service._meta.label_lower)
            if kept["action"] in one.follows
        ],
        "missing": missing,
        "outcomes": outcomes,
        "back": kept["back"],
        "list_url": reverse("admin:services_service_changelist"),
    }
    return TemplateResponse(request, "admin/services/service/results.html", context)


def _undo_of(request: HttpRequest, request_id: str) -> dict[str, Any]:
    """Where to take back what a request of this user has done; or by what that has been done.

    With how much of it is taken back, as long as there is more.
    """
    of_request = Entry.objects.filter(request_id=request_id, username=request.user.get_username())
    entries = list(of_request[:MAX_SELECTED])
    undone = undone_by(entries)
    left = [entry for entry in entries if entry.pk not in undone]
    if url := undo_url(request.user, left):
        done = sum(entry.outcome == Outcome.DONE for entry in entries)
        return {"undo_url": url, "undone": len(undone), "done": done}
    return {"undone_by": max(undone.values(), key=lambda undo: undo.pk, default=None)}


def _evacuation(servers: HostServers | None) -> str:
    """The client's commands that evacuate them."""
    uuids = [] if servers is None else servers.uuids
    return "\n".join(command("openstack", "server", "evacuate", uuid) for uuid in uuids)


def _back_url(request: HttpRequest, url: str) -> str:
    """Where to go afterwards: a page of this console, the list of services if none is named."""
    if url.startswith("/") and url_has_allowed_host_and_scheme(url, {request.get_host()}):
        return url
    return reverse("admin:services_service_changelist")
