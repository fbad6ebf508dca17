"""Middleware: request ids, proxies, paths as Nova's router reads them, and text for the console."""

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from csp.middleware import CSPMiddleware
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_noop

from cells.log_fields import current_cell
from cloud.identity import Identity
from portal.api.not_found import Preflight
from portal.proxies import forwarded

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)

API_ROOTS = ("v2.1", "v2")
#: What a service of the cloud sends as the id of the request that it is answering itself.
GLOBAL_ID = re.compile(r"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class RequestIdMiddleware:
    """Give each request an id, and put it on the answers of the API as Nova does.

    ``request.request_id`` is what the audit record and the logs carry.  An id that is sent in
    ``X-OpenStack-Request-ID`` is the ``global_request_id`` of the logs, and never the id: a client
    could send the same one for every request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = f"req-{uuid.uuid4()}"
        request.request_id = request_id  # type: ignore[attr-defined]
        sent = request.headers.get("X-OpenStack-Request-ID", "")
        request.global_request_id = sent if GLOBAL_ID.fullmatch(sent) else ""  # type: ignore[attr-defined]
        begun = _request.set(request)
        try:
            response = self.get_response(request)
        finally:
            _request.reset(begun)
        if is_of_api(request) and not isinstance(response, Preflight):
            response["x-openstack-request-id"] = request_id
            response["x-compute-request-id"] = request_id
        return response


class CompressionMiddleware(GZipMiddleware):
    """Compress pages, but no answers of the API: Nova does not, and its clients are near.

    Some of them, such as the versions at ``/``, are outside of it, but none of those is text.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        is_text = response.headers.get("Content-Type", "").startswith("text/")
        is_part = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if is_of_api(request) or is_part or not is_text:
            return response
        return super().process_response(request, response)


class PagePolicyMiddleware(CSPMiddleware):
    """Give pages their Content-Security-Policy; it says nothing about other answers."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)


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


class ProxyMiddleware:
    """Give each request its client's address and scheme, by the word of trusted proxies only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forwarded(request)
        return self.get_response(request)


class StorableTextMiddleware:
    """Refuse what no database can look for in the console: NUL, and halves of surrogate pairs.

    The API, which reads everything as UTF-8, answers these by the rules of its own schemas.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if is_of_api(request):
            request.POST = QueryDict()  # there are no forms, so nobody reads a body as one
        else:
            self._read_form(request)
        return self.get_response(request)

    def _read_form(self, request: HttpRequest) -> None:
        """Read it once; a malformed one is empty for the page that says so, which reads it too."""
        charset = (request.content_params or {}).get("charset", "utf-8")
        try:
            if charset.lower() not in ("utf-8", "utf8"):
                raise BadRequest(gettext_noop("forms must be in UTF-8"))
            request.POST  # noqa: B018  (reading it is what may fail)
        except Exception:
            request.POST = QueryDict()
            raise

    def process_view(self, request: HttpRequest, *args: Any) -> None:
        """Look at the parameters, those of a form too."""
        if is_of_api(request):
            return
        texts = [request.path_info]
        for parameters in (request.GET, request.POST):
            for name, values in parameters.lists():
                texts += (name, *values)
        if any(UNSTORABLE.search(text) for text in texts):
            raise BadRequest(gettext_noop("a parameter has a character that cannot be stored"))


def current_request() -> HttpRequest | None:
    """The request that this thread is answering."""
    return _request.get()


def is_of_api(request: HttpRequest) -> bool:
    """Whether the request is to the compute API."""
    return _root_of(request.path_info) in API_ROOTS


def _root_of(path: str) -> str:
    return path.partition("/")[2].partition("/")[0]


class RequestFilter(logging.Filter):
    """Gives records what is known of the request that is being answered, and the cell.

    It asks no database: the user is who has been authenticated by now, if anybody.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        known = record.__dict__
        known.setdefault("cell", current_cell())
        # Django's own line about an answer comes when the request is over, and has it.
        request = current_request() or known.get("request")
        if not isinstance(request, HttpRequest):
            known.pop("project", None)  # OpenStack's libraries write the name of their own there
            return True
        record.request_id = getattr(request, "request_id", "")
        record.global_request_id = getattr(request, "global_request_id", "")
        record.user, record.project = _user_and_project(request)
        record.route = getattr(request, "route", "")
        known.setdefault("microversion", str(getattr(request, "microversion", None) or ""))
        return True


def _user_and_project(request: HttpRequest) -> tuple[str, str]:
    """Ids for a user of Keystone, as in Nova's log; the name of a user of the portal."""
    user: Any = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):  # of a session; read when somebody asks for it
        user = request.__dict__.get("_cached_user")
    if not getattr(user, "is_authenticated", False):
        return "", ""
    auth = getattr(request, "auth", None)
    name = auth.user_id if isinstance(auth, Identity) else user.get_username()
    return name, getattr(auth, "project_id", None) or ""
