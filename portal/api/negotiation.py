"""JSON for clients, pages for browsers."""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from portal.api.parsers import JSON_TYPES


class NovaNegotiation(BaseContentNegotiation):
    """JSON whatever ``Accept`` says, as in Nova, except for browsers.

    A client that prefers HTML and sends no token gets the browsable API.
    """

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None
    ) -> Any:
        by_format = {renderer.format: renderer for renderer in renderers}
        first = request.headers.get("Accept", "").partition(",")[0].partition(";")[0].strip()
        is_browser = first == "text/html" and "X-Auth-Token" not in request.headers
        if is_browser and "api" in by_format:
            return by_format["api"], "text/html"
        return by_format["json"], first if first in JSON_TYPES else JSON_TYPES[0]
