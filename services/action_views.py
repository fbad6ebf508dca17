"""The console's pages for acting on services: what would happen, doing it, and how it went.

The rules and the work are ``services.actions``'; here is only asking first and telling after.
"""

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.journal import Actor
from audit.models import Channel
from cells.locate import Found
from portal.roles import roles_of
from services import actions
from services.models import NOVA_COMPUTE, Service
from services.preview import DELETE, DISABLE, ENABLE, FORCE_DOWN, FORCE_UP, Preview, preview

#: Where the results wait for the page that shows them.
RESULTS = "results_of_service_actions"
#: Of how many actions they are kept, so that each tab of the browser tells of its own.
KEPT_RESULTS = 5
#: How many services one page acts on.
AT_ONCE = 500
REASON_LENGTH = 255


@dataclass(frozen=True)
class Action:
    """Something that can be done to services, and the permission it takes."""

    name: str
    label: Any
    permission: str
    #: What the service must be like for it to be offered.
    offered: Callable[[Service], bool]
    dangerous: bool = False


def _is_compute(service: Service) -> bool:
    return service.binary == NOVA_COMPUTE


CHANGE, REMOVE = "services.change_service", "services.delete_service"
ACTIONS = {
    action.name: action
    for action in (
        Action(
            ENABLE,
            gettext_lazy("Enable"),
            CHANGE,
            lambda service: _is_compute(service) and bool(service.disabled),
        ),
        Action(DISABLE, gettext_lazy("Disable"), CHANGE, _is_compute),
        Action(
            FORCE_DOWN,
            gettext_lazy("Force down"),
            CHANGE,
            lambda service: _is_compute(service) and not service.forced_down,
            dangerous=True,
        ),
        Action(
            FORCE_UP,
            gettext_lazy("Force up"),
            CHANGE,
            lambda service: _is_compute(service) and bool(service.forced_down),
        ),
        Action(DELETE, gettext_lazy("Delete"), REMOVE, lambda service: True, dangerous=True),
    )
}


@dataclass
class Result:
    """How an action on one service went."""

    key: str
    host: str
    binary: str
    cell: str
    done: bool
    message: str


def actions_for(user: User | AnonymousUser | Any, service: Service | None = None) -> list[Action]:
    """What ``user`` may do (to ``service``, as it is now)."""
    return [
        action
        for action in ACTIONS.values()
        if user.has_perm(action.permission) and (service is None or action.offered(service))
    ]


def act(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show what the action would do; when that has been confirmed, do it."""
    asked = request.POST if request.method == "POST" else request.GET
    action = ACTIONS.get(asked.get("action", ""))
    if action is None:
        raise BadRequest("no such action")
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    keys = list(dict.fromkeys(asked.getlist("key")))[:AT_ONCE]
    back = _back(request, asked.get("back", ""))
    if not keys:
        messages.warning(request, _("No service was selected."))
        return HttpResponseRedirect(back)
    shown = preview(action.name, keys)
    for one in shown.services:
        one.typed = request.POST.get(f"host:{one.key}", "").strip()
    errors: list[str] = []
    if request.method == "POST" and "confirm" in request.POST:
        reason = request.POST.get("reason", "").strip()
        if len(reason) > REASON_LENGTH:
            errors.append(_("The reason is longer than 255 characters."))
        elif action.name == FORCE_DOWN and shown.services and not _any_typed(shown.services):
            errors.append(_("No host name was typed as it is; nothing has been done."))
        else:
            results = [_carry_out(action, one, reason, request) for one in shown.services] + [
                Result(key, key, "", "", False, _("not found in the cells that answer"))
                for key in shown.gone
            ]
            which = secrets.token_hex(8)
            kept = list(request.session.get(RESULTS, {}).items())[1 - KEPT_RESULTS :]
            request.session[RESULTS] = dict(kept) | {
                which: {
                    "action": action.name,
                    "back": back,
                    "results": [asdict(result) for result in results],
                }
            }
            return HttpResponseRedirect(f"{reverse('admin:services_service_results')}?of={which}")
    context = {
        **site.each_context(request),
        "opts": Service._meta,
        "title": _("%(action)s: confirm") % {"action": action.label},
        "action": action,
        "previews": shown.services,
        "possible": sum(not one.obstacles for one in shown.services),
        "gone": shown.gone,
        "missing": shown.missing,
        "back": back,
        "errors": errors,
        "reason": request.POST.get("reason", ""),
        "asks_reason": action.name == DISABLE,
        "asks_host": action.name == FORCE_DOWN,
        "list_url": reverse("admin:services_service_changelist"),
    }
    return TemplateResponse(request, "admin/services/service/confirm.html", context)


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


def actor_of(request: HttpRequest) -> Actor:
    """Who acts in the console."""
    return Actor(
        username=request.user.get_username(),
        channel=Channel.CONSOLE,
        request_id=getattr(request, "request_id", ""),
        remote_address=request.META.get("REMOTE_ADDR") or None,
        user_id=str(request.user.pk),
        roles=tuple(sorted(roles_of(request.user))),
    )


def _carry_out(action: Action, shown: Preview, reason: str, request: HttpRequest) -> Result:
    service = shown.service
    result = Result(shown.key, service.host or "", service.binary or "", shown.cell.name, False, "")
    if action.name == FORCE_DOWN and not _any_typed([shown]):
        result.message = _("the host name was not typed as it is")
        return result
    actor, ref = actor_of(request), _ref(shown.found)
    try:
        if action.name == ENABLE:
            actions.enable(ref, actor)
        elif action.name == DISABLE:
            actions.disable(ref, actor, reason or None)
        elif action.name in (FORCE_DOWN, FORCE_UP):
            actions.set_forced_down(ref, action.name == FORCE_DOWN, actor)
        else:
            actions.delete(ref, actor)
    except actions.Refused as refusal:
        result.message = refusal.message
    else:
        result.done, result.message = True, _("done")
    return result


def _any_typed(previews: list[Preview]) -> bool:
    """Whether any of the hosts' names was typed as it is."""
    return any(one.typed == (one.service.host or "") for one in previews)


def _ref(found: Found[Service]) -> actions.ServiceRef:
    service = found.row
    if service.uuid:
        return actions.ServiceRef(uuid=service.uuid)
    return actions.ServiceRef(id=service.id, cell=found.cell)


def _back(request: HttpRequest, url: str) -> str:
    """Where to go afterwards: a page of this console, the list of services if none is named."""
    if url.startswith("/") and url_has_allowed_host_and_scheme(url, {request.get_host()}):
        return url
    return reverse("admin:services_service_changelist")
