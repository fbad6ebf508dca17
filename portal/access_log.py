"""The access line of each request."""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from cells.log_fields import located_in
from portal.logs import ACCESS
from portal.request_metrics import microversion_of, route_of

access = logging.getLogger(ACCESS)


class AccessLogMiddleware:
    """Write a line for each request that was answered, in the words of Nova's request log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        located_in.set("")
        response = self.get_response(request)
        seconds = time.monotonic() - started
        size = "-" if response.streaming else len(response.content)
        access.info(
            '%s "%s %s" status: %s len: %s microversion: %s time: %.6f',
            request.META.get("REMOTE_ADDR") or "-",
            request.method,
            request.get_full_path(),
            response.status_code,
            size,
            microversion_of(response) or "-",
            seconds,
            extra={
                "client": request.META.get("REMOTE_ADDR", ""),
                "method": request.method,
                "path": request.get_full_path(),
                "status": response.status_code,
                "bytes": None if response.streaming else size,
                "microversion": microversion_of(response),
                "milliseconds": round(1000 * seconds, 3),
            },
        )
        return response

    def process_view(self, request: HttpRequest, *args: Any) -> None:
        """Note the route, now that there is one, for all lines about the request."""
        request.route = route_of(request)  # type: ignore[attr-defined]
