"""How many requests there are, how they are answered, and how long that takes."""

import re
import time
from collections.abc import Callable
from functools import cache
from http import HTTPStatus

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from portal.api.versioning import HEADER

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
REFUSED = Counter(
    "nova_portal_requests_refused",
    "Requests refused with 503 because a worker had as many as it takes (MAX_IN_FLIGHT).",
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
    return "" if match is None else _in_words(match.route)


@cache
def _in_words(route: str) -> str:
    return re.sub(r"<\w+:", "<", simplify_regex(route.replace(".*", "*")))


def microversion_of(response: HttpResponse) -> str:
    """The microversion of an answer of the API; empty where it is not one that is served."""
    if response.status_code == HTTPStatus.NOT_ACCEPTABLE:
        return ""
    version: str = response.headers.get(HEADER, "")
    return version.removeprefix("compute ")
