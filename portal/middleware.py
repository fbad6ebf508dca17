"""Middleware: request ids, and paths as Nova's router reads them."""

import re
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from portal import logs
from portal.api.not_found import Preflight
from portal.api.versioning import HEADER

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
        logs.request_id.set(request_id)
        response = self.get_response(request)
        if _in_api(request) and not isinstance(response, Preflight):
            response["x-openstack-request-id"] = request_id
            response["x-compute-request-id"] = request_id
        return response


REQUESTS = Counter(
    "nova_portal_requests",
    "Requests answered, by route, microversion (empty where there is none) and status.",
    ["method", "route", "microversion", "status"],
)
DURATION = Histogram(
    "nova_portal_request_duration_seconds",
    "How long answers took, by route.",
    ["method", "route"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

#: Other methods are counted together: clients can invent as many as they like.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class RequestMetricsMiddleware:
    """Count requests, and measure how long they take."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        response = self.get_response(request)
        method = request.method if request.method in METHODS else "other"
        route = route_of(request)
        REQUESTS.labels(method, route, microversion_of(response), response.status_code).inc()
        DURATION.labels(method, route).observe(time.monotonic() - started)
        return response


def route_of(request: HttpRequest) -> str:
    """The pattern that the path matched, with names for its variable parts: there are few."""
    match = request.resolver_match
    if match is None:
        return ""
    return re.sub(r"<\w+:", "<", simplify_regex(match.route.replace(".*", "*")))


def microversion_of(response: HttpResponse) -> str:
    """The microversion of an answer of the API; empty where it is not one that is served."""
    if response.status_code == HTTPStatus.NOT_ACCEPTABLE:
        return ""
    version: str = response.headers.get(HEADER, "")
    return version.removeprefix("compute ")


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
