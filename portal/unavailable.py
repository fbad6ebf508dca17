"""503 for what needs a database that does not answer: in JSON, or in the console's dress.

A cell that does not answer is missing from an answer.  This is about the databases that there is
only one of, the portal's own and Nova's API database.  Any other error stays a 500.
"""

import sys
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _

from cells.backends import guards
from cells.deadlines import each_within
from portal.api.faults import DATABASE_AWAY, RETRY_AFTER, fault_body
from portal.console import errors
from portal.middleware import is_of_api


class DatabaseMiddleware:
    """Limits how long a request waits for a database, and answers when one is away."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        guards.serve()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with each_within(settings.CELL_DEADLINE):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return unavailable(request) if is_away(error) else None


def is_away(error: BaseException | None) -> bool:
    """Whether this error says that a database does not answer."""
    return isinstance(error, (OperationalError, InterfaceError))


def unavailable(request: HttpRequest) -> HttpResponse:
    """The 503, made without a database."""
    retry_after = str(RETRY_AFTER)
    if is_of_api(request):
        body = fault_body(503, DATABASE_AWAY)
        return JsonResponse(body, status=503, headers={"Retry-After": retry_after})
    cause = _(
        "This page needs a database of the portal that does not answer just now; it is looked for "
        "all the time. Nothing was changed, unless the audit says so once it is back."
    )
    page = errors.error_page(request, 503, _("A database does not answer"), cause)
    page["Retry-After"] = retry_after
    return page


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``: errors outside of views, in the middleware, come here alone."""
    if is_away(sys.exc_info()[1]):
        return unavailable(request)
    return errors.server_error(request)
