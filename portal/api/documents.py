"""The OpenAPI document of each microversion, and the page that shows it: ``/docs/``."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from portal.api.renderers import PrettyJSONRenderer
from portal.api.routers import router
from portal.api.versioning import PICKER
from portal.microversions import HISTORY, MAX_VERSION, MIN_VERSION, Version


class DocumentGenerator(SchemaGenerator):
    """Describes the endpoints that a microversion has, as it has them."""

    def __init__(self, version: Version) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            patterns=[path("v2.1/", include(router.urls))],
            api_version=f"microversion {version}",
        )
        self.described_version = version

    def create_view(self, callback: Any, method: str, request: Any = None) -> Any:
        view = super().create_view(callback, method, request)  # type: ignore[no-untyped-call]
        view.described_version = self.described_version
        view.versioning_class = None  # the version is one of the document, not of its paths
        return view


@lru_cache(maxsize=32)
def document(version: Version) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the compute API at that microversion."""
    generator: Any = DocumentGenerator(version)
    made: dict[str, Any] = generator.get_schema(public=True)
    return made


def version_of(text: str) -> Version:
    """The version that a document is asked for; raises ``ValueError`` if it is not served."""
    if text in ("", "latest"):
        return MAX_VERSION
    version = Version.parse(text)
    if not MIN_VERSION <= version <= MAX_VERSION:
        raise ValueError(text)
    return version


def with_version(
    view: Callable[[HttpRequest, Version], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Call ``view`` with the version that the query string names, or refuse it with 400."""

    @require_safe
    def wrapped(request: HttpRequest) -> HttpResponse:
        try:
            version = version_of(request.GET.get(PICKER, ""))
        except ValueError:
            text = f"{PICKER}: from {MIN_VERSION} to {MAX_VERSION}, or latest\n"
            return HttpResponse(text, status=400, content_type="text/plain")
        return view(request, version)

    return wrapped


@with_version
def openapi(request: HttpRequest, version: Version) -> HttpResponse:
    """``/docs/openapi.json?microversion=2.53``."""
    content = PrettyJSONRenderer().render(document(version))
    return HttpResponse(content, content_type="application/json")


@csp_update({"img-src": ["'self'", "data:"]})  # icons in Swagger's style sheet
@with_version
def browse(request: HttpRequest, version: Version) -> HttpResponse:
    """``/docs/``: the document as a page, where requests can be tried."""
    versions = sorted({*dict(HISTORY), MAX_VERSION, version}, reverse=True)
    context = {"version": version, "versions": versions, "history": dict(HISTORY)}
    return render(request, "docs/openapi.html", context)
