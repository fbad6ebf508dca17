"""503 for what needs a database that does not answer: in JSON, or in the console's dress.

A cell that does not answer is missing from an answer.  This is about the databases that there is
only one of, the portal's own and Nova's API database.  A database that lacks migrations of
the portal is named.  Any other error stays a 500.
"""

import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _

from cells.backends import guards
from cells.databases import is_in_trouble, lacks_schema
from cells.deadlines import each_within
from portal import schema
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

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        """Answer no view without the tables that views need."""
        return unavailable(request) if schema.is_incomplete() else None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return unavailable(request) if is_away(error) else None


def is_away(error: BaseException | None) -> bool:
    """Whether this error says that a database does not answer, or lacks our migrations."""
    return is_in_trouble(error) or (lacks_schema(error) and schema.is_incomplete(look=True))


def unavailable(request: HttpRequest) -> HttpResponse:
    """The 503, made without a database."""
    retry_after = str(RETRY_AFTER)
    is_incomplete = schema.is_incomplete()
    if is_of_api(request):
        body = fault_body(503, schema.INCOMPLETE if is_incomplete else DATABASE_AWAY)
        return JsonResponse(body, status=503, headers={"Retry-After": retry_after})
    cause = (
        _(schema.INCOMPLETE)
        if is_incomplete
        else _(
            "This page needs a database that does not answer just now: the portal's own or Nova's "
            "API database. The portal keeps trying to reach it. Nothing was changed, unless the "
            "audit says so once it is back."
        )
    )
    page = errors.error_page(request, 503, _("A database does not answer"), cause)
    page["Retry-After"] = retry_after
    return page


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``: errors outside of views, in the middleware, come here alone."""
    if is_away(sys.exc_info()[1]):
        return unavailable(request)
    return errors.server_error(request)
