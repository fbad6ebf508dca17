"""Renderers of answers: JSON for clients, pages for browsers."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from django.contrib import admin
from rest_framework import renderers

from portal.api.forms import put_form
from portal.api.responses import JSONList
from portal.api.versioning import HEADER, PICKER
from portal.microversions import HISTORY, MAX_VERSION

#: A page for a browser shows at most so many objects of a list.
BROWSABLE_ROWS = 100


class JSONRenderer(renderers.BaseRenderer):
    """JSON, written by orjson."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if isinstance(data, JSONList):
            return data.to_json()
        return b"" if data is None else _dumps(data)


class BrowsableAPIRenderer(renderers.BrowsableAPIRenderer):
    """DRF's pages, with a choice of microversions, ids as links, and a form for PUT below lists.

    A refusal is a page too, with the way to the login; rendering it asks for no permission.
    """

    template = "rest_framework/portal_api.html"

    def get_default_renderer(self, view: Any) -> Any:
        return PrettyJSONRenderer()

    def get_rendered_html_form(self, *args: Any) -> None:
        """None: see ``put_form``."""

    def get_raw_data_form(self, *args: Any) -> None:
        """None: see ``put_form``."""

    def get_breadcrumbs(self, request: Any) -> list[tuple[str, str]]:
        """None: the pages show the API's paths instead."""
        return []

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Any
    ) -> dict[str, Any]:
        if isinstance(data, JSONList):
            data = data.to_data(at_least=BROWSABLE_ROWS + 1)
        shown, remark = _first_rows(data)
        context = super().get_context(shown, accepted_media_type, renderer_context) | remark
        request = renderer_context["request"]
        context["microversion"] = str(getattr(request, "version", None) or "")
        versions = list(dict.fromkeys(map(str, (*dict(HISTORY), MAX_VERSION))))
        if context["microversion"] and context["microversion"] not in versions:
            versions.append(context["microversion"])
        context["microversions"] = versions
        context |= admin.site.each_context(request)
        status = renderer_context["response"].status_code
        context["needs_login"] = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        context["put_form"] = [] if context["needs_login"] else put_form(renderer_context["view"])
        context["version_header"] = HEADER
        context["query"] = [
            (key, value)
            for key, values in request.query_params.lists()
            for value in values
            if key != PICKER
        ]
        return context


class PrettyJSONRenderer(JSONRenderer):
    """Indented JSON, for people."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else _dumps(data, orjson.OPT_INDENT_2)


def _first_rows(data: Any) -> tuple[Any, dict[str, int]]:
    """An answer as a page shows it and, where its list goes on, how many objects are shown."""
    if not isinstance(data, dict):
        return data, {}
    first = {
        key: value[:BROWSABLE_ROWS]
        for key, value in data.items()
        if isinstance(value, list) and len(value) > BROWSABLE_ROWS
    }
    return data | first, {"rows_shown": BROWSABLE_ROWS} if first else {}


def _dumps(data: Any, option: int | None = None) -> bytes:
    try:
        return orjson.dumps(data, option=option)
    except TypeError:  # half of a surrogate pair, quoted from the request by a refusal
        return json.dumps(data).encode()
