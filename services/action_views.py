"""The console's pages for acting on services: what would happen, doing it, and how it went.

The rules are those of ``services.actions``; these pages only ask first and report afterwards.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.journal import actor_of
from audit.models import Channel
from cells.registry import Cell
from services.actions import ACTIONS, Refused, ServiceAction
from services.facts import Facts, FactsByKey, facts_by_key
from services.locate import ref_to
from services.models import Service

#: Where the session keeps results for the page that shows them.
RESULTS = "service_action_results"
#: How many actions' results are kept, so that each tab of the browser can show its own.
KEPT_RESULTS = 5
#: How many services one page acts on.
MAX_SERVICES = 500
MAX_REASON_LENGTH = 255


@dataclass(frozen=True)
class Preview:
    """A service on the page that asks for confirmation."""

    key: str
    service: Service
    cell: Cell
    blockers: list[Refused]
    warnings: list[str]
    effects: list[str]
    #: What has been typed as the host's name.
    typed: str

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
    done: bool
    message: str


def act(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show what the action would do; when that has been confirmed, do it."""
    params = request.POST if request.method == "POST" else request.GET
    action = ACTIONS.get(params.get("action", ""))
    if action is None:
        raise BadRequest("no such action")
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    keys = list(dict.fromkeys(params.getlist("key")))[:MAX_SERVICES]
    back = _back_url(request, params.get("back", ""))
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


def _preview(request: HttpRequest, action: ServiceAction, key: str, facts: Facts) -> Preview:
    return Preview(
        key=key,
        service=facts.service,
        cell=facts.cell,
        blockers=action.blockers(facts),
        warnings=action.warnings(facts),
        effects=action.effects(facts),
        typed=request.POST.get(f"host:{key}", "").strip(),
    )


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()


def _errors(request: HttpRequest, action: ServiceAction, previews: Sequence[Preview]) -> list[str]:
    """What is wrong with what has been typed."""
    if len(_reason(request)) > MAX_REASON_LENGTH:
        return [_("The reason is longer than 255 characters.")]
    if action.asks_host and previews and not any(preview.is_typed_right for preview in previews):
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
    possible = sum(not preview.blockers for preview in previews)
    context = {
        **site.each_context(request),
        "opts": Service._meta,
        "title": _("%(action)s: confirm") % {"action": action.label},
        "action": action,
        "previews": previews,
        "possible": possible,
        "submit": _submit_label(action, possible, len(previews)),
        "not_found": services.not_found,
        "missing": services.missing,
        "back": back,
        "errors": errors,
        "reason": request.POST.get("reason", ""),
        "list_url": reverse("admin:services_service_changelist"),
    }
    return TemplateResponse(request, "admin/services/service/confirm.html", context)


def _submit_label(action: ServiceAction, possible: int, total: int) -> str:
    """What the button says: to how many services it can be done."""
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
    results = []
    for preview in previews:
        service, cell = preview.service, preview.cell
        result = Result(
            preview.key, service.host or "", service.binary or "", cell.name, False, _("done")
        )
        results.append(result)
        if action.asks_host and not preview.is_typed_right:
            result.message = _("the host name was not typed as it is")
            continue
        try:
            applied = action.apply(ref_to(cell, service), actor, _reason(request))
        except Refused as refusal:
            result.message = refusal.message
        else:
            result.done = True
            if applied.remark:
                result.message = _("done; %(remark)s") % {"remark": applied.remark}
    missing = _("not found in the cells that answer")
    return results + [Result(key, key, "", "", False, missing) for key in not_found]


def _keep(request: HttpRequest, action: ServiceAction, results: Sequence[Result], back: str) -> str:
    """Keep the results in the session; returns the URL of the page that shows them."""
    token = secrets.token_hex(8)
    kept = list(request.session.get(RESULTS, {}).items())[1 - KEPT_RESULTS :]
    request.session[RESULTS] = dict(kept) | {
        token: {
            "action": action.name,
            "back": back,
            "results": [asdict(result) for result in results],
        }
    }
    return f"{reverse('admin:services_service_results')}?of={token}"


def show_results(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """How an action went, service by service."""
    kept: dict[str, Any] | None = request.session.get(RESULTS, {}).get(request.GET.get("of", ""))
    if kept is None:
        return HttpResponseRedirect(reverse("admin:services_service_changelist"))
    done = sum(result["done"] for result in kept["results"])
    context = {
        **site.each_context(request),
        "opts": Service._meta,
        "title": _("%(action)s: results") % {"action": ACTIONS[kept["action"]].label},
        "results": kept["results"],
        "done": done,
        "failed": len(kept["results"]) - done,
        "back": kept["back"],
        "list_url": reverse("admin:services_service_changelist"),
    }
    return TemplateResponse(request, "admin/services/service/results.html", context)


def _back_url(request: HttpRequest, url: str) -> str:
    """Where to go afterwards: a page of this console, the list of services if none is named."""
    if url.startswith("/") and url_has_allowed_host_and_scheme(url, {request.get_host()}):
        return url
    return reverse("admin:services_service_changelist")
