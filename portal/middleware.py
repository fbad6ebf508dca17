"""Middleware: request ids, and paths as Nova's router reads them."""

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

from portal.api.not_found import Preflight

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
        if "//" in request.path_info:
            merged = re.sub("//+", "/", request.path_info)
            if _root_of(merged) in API_ROOTS:
                request.path_info = merged
        return self.get_response(request)


def _in_api(request: HttpRequest) -> bool:
    return _root_of(request.path_info) in API_ROOTS


def _root_of(path: str) -> str:
    return path.partition("/")[2].partition("/")[0]


class RequestIdFilter(logging.Filter):
    """Gives log records ``request_id``: that of the request being answered, or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True
