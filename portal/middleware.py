"""What every request gets."""

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

from portal.not_found import Preflight

_request_id: ContextVar[str] = ContextVar("request_id", default="-")

API_ROOTS = ("v2.1", "v2")


class RequestIdMiddleware:
    """Give each request an id, and put it on the answers of the API as Nova does.

    ``request.request_id`` is what the audit record and the logs carry.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = f"req-{uuid.uuid4()}"
        request.request_id = request_id  # type: ignore[attr-defined]
        _request_id.set(request_id)
        response = self.get_response(request)
        if _in_api(request) and not isinstance(response, Preflight):
            response["x-openstack-request-id"] = request_id
            response["x-compute-request-id"] = request_id
        return response


class MergeSlashesMiddleware:
    """Read several slashes in a path of the API as one, as Nova's router does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "//" in request.path_info and _in_api(request):
            request.path_info = re.sub("//+", "/", request.path_info)
        return self.get_response(request)


def _in_api(request: HttpRequest) -> bool:
    return request.path_info.partition("/")[2].partition("/")[0] in API_ROOTS


class RequestIdFilter(logging.Filter):
    """Gives log records ``request_id``: that of the request being answered, or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True
