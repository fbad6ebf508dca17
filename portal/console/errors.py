"""The pages of refused and failed requests, in the console's dress: cause, request id, way on.

They must not fail themselves, so that of a failed request does without any database.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.csrf import csrf_failure as plain_csrf_failure

from portal.console import kept_forms
from portal.console.site import console, is_of_console
from portal.console.stored_texts import translated

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


def error_page(
    request: HttpRequest, status: int, title: "StrOrPromise", cause: "StrOrPromise"
) -> HttpResponse:
    """The page of a request that ends in an error.

    ``cause`` says in whole sentences what is the matter.  Up to 4xx it has the navigation of the
    user, if there is one.
    """
    context: dict[str, Any] = {
        "site_header": console.site_header,
        "site_title": console.site_title,
        "title": f"{title} ({status})",
        "cause": cause,
        "status": status,
        "request_id": getattr(request, "request_id", ""),
        "may_try_again": status >= 500 and request.method == "GET",
        "form_again": _form_of(request) if status >= 500 else [],
        "path": request.get_full_path(),
    }
    if status < 500:
        context |= _of_user(request)
    with_user = request if "user" in context else None
    return HttpResponse(render_to_string("admin/error.html", context, with_user), status=status)


def _form_of(request: HttpRequest) -> list[tuple[str, str]]:
    """What was sent with a form that shows what it would do first, to have that shown again.

    So that what was typed is not lost, though no database can keep it.  Empty for other forms.
    """
    view = request.resolver_match and request.resolver_match.func
    fields = set(getattr(view, "kept_fields", ())) - {"confirm", "check"}
    if "action" not in fields or request.method != "POST":
        return []
    fields |= {"csrfmiddlewaretoken", kept_forms.SENDER, kept_forms.KEPT}
    sent = [(name, value) for name in sorted(fields) for value in request.POST.getlist(name)]
    return [*sent, ("check", "1")]


def _of_user(request: HttpRequest) -> dict[str, Any]:
    """What the console shows around every page, with the user; empty if that cannot be told."""
    user = getattr(request, "user", None)
    try:
        if user is None or not user.is_authenticated:
            return {"login_url": reverse("admin:login")} if user is not None else {}
        context = {**console.each_context(request), "user": user}
    except DatabaseError:
        return {}
    return {name: value for name, value in context.items() if name != "title"}


# --- handlers, as Django's URLconf names them -----------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A request that makes no sense; only our own words say why."""
    if not is_of_console(request):
        return defaults.bad_request(request, exception)
    cause = _("The console cannot make sense of this address or form.")
    if isinstance(exception, BadRequest) and (said := translated(exception)):
        cause = f"{cause} {said[0].upper()}{said[1:]}."
    return error_page(request, 400, _("Bad request"), cause)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_of_console(request):
        return defaults.permission_denied(request, exception)
    cause = _("You do not have the permission for this. An administrator can give it to you.")
    return error_page(request, 403, _("Not permitted"), cause)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was not sent by a page of this session.

    Its sender finds one of those that are kept (``Console.form_view``) again; nothing is done.
    """
    if not is_of_console(request):
        return plain_csrf_failure(request, reason)
    view = request.resolver_match and request.resolver_match.func
    fields = getattr(view, "kept_fields", ())
    if fields and request.COOKIES:
        may = console.has_permission(request)  # first: asking may end the session that keeps forms
        if again := kept_forms.keep(request, fields):
            if not may:
                return console.ask_to_log_in(again)
            messages.warning(
                request,
                _("You have logged in again since this form was shown. Nothing has been done yet."),
            )
            return HttpResponseRedirect(again)
    cause = _(
        "The form is not of your present session: you have logged in again since it was shown, or "
        "the browser keeps no cookies. Nothing was done. Go back, reload the page, and send the "
        "form again."
    )
    return error_page(request, 403, _("The form has expired"), cause)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_of_console(request):
        return defaults.page_not_found(request, exception)
    cause = _("There is no such page: the address is wrong, or what it showed is gone.")
    return error_page(request, 404, _("Page not found"), cause)


def server_error(request: HttpRequest) -> HttpResponse:
    if not is_of_console(request):
        return defaults.server_error(request)
    cause = _(
        "Something went wrong within the portal. Whether anything was changed is in the audit. The "
        "log has the cause under the id of the request."
    )
    return error_page(request, 500, _("Internal error"), cause)
