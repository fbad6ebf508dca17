"""The version documents, with which clients discover the API.

``/``, ``/v2`` and ``/v2.1``, and the latter with a project: ``/v2.1/{project_id}/``.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.csrf import csrf_exempt
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.endpoints import endpoint
from portal.api.not_found import no_such_route
from portal.api.renderers import JSONRenderer
from portal.api.responses import NovaResponse
from portal.api.views import NovaViewSet
from portal.microversions import MAX_VERSION, MIN_VERSION

DESCRIBED_BY = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}


def _media_types(number: str) -> list[dict[str, str]]:
    return [
        {
            "base": "application/json",
            "type": f"application/vnd.openstack.compute+json;version={number}",
        }
    ]


#: Nova's two endpoints: path, document, media types.  The dates are Nova's.
ENDPOINTS: list[tuple[str, dict[str, Any], list[dict[str, str]]]] = [
    (
        "v2",
        {
            "id": "v2.0",
            "status": "DEPRECATED",
            "version": "",
            "min_version": "",
            "updated": "2025-07-04T12:00:00Z",
        },
        _media_types("2"),
    ),
    (
        "v2.1",
        {
            "id": "v2.1",
            "status": "CURRENT",
            "version": str(MAX_VERSION),
            "min_version": str(MIN_VERSION),
            "updated": "2013-07-23T11:33:21Z",
        },
        _media_types("2.1"),
    ),
]


def _self(request: HttpRequest | Request, path: str) -> dict[str, str]:
    return {"rel": "self", "href": request.build_absolute_uri(f"/{path}")}


def _json(data: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(JSONRenderer().render(data), status=status, content_type="application/json")


@csrf_exempt
def root(request: HttpRequest) -> HttpResponse:
    """``/``: all versions; browsers are redirected to the console."""
    if request.headers.get("Accept", "").startswith("text/html"):
        return HttpResponseRedirect("/admin/")
    versions = [
        document | {"links": [_self(request, f"{path}/")]} for path, document, _ in ENDPOINTS
    ]
    return _json({"versions": versions})


@csrf_exempt
def choices(request: HttpRequest) -> HttpResponse:
    """Any other path outside the API: 300 with the available endpoints, as in Nova."""
    if request.headers.get("Accept", "").startswith("text/html"):
        return no_such_route(request)
    return _json(
        {
            "choices": [
                {
                    "id": document["id"],
                    "status": document["status"],
                    "links": [_self(request, path + request.path.rstrip("/"))],
                    "media-types": media_types,
                }
                for path, document, media_types in ENDPOINTS
            ]
        },
        status=300,
    )


class VersionViewSet(NovaViewSet):
    """``/v2.1`` and ``/v2``: the document of a single version, without authentication."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def perform_authentication(self, request: Request) -> None:
        """No authentication is required."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(
            request
        )
        request.version, request.versioning_scheme = None, None
        request.version, request.versioning_scheme = self.determine_version(
            request, *args, **kwargs
        )

    def show(self, request: Request, **kwargs: Any) -> Response:
        """The document of this version."""
        return _document_of(request, legacy=self.legacy)


class ProjectVersionViewSet(NovaViewSet):
    """``/v2.1/{project_id}/``: the same document, for those who have a token of the project.

    Clients ask for it where the endpoint in Keystone's catalogue names the project.
    """

    permission_classes = (AllowAny,)

    @endpoint("show")
    def show(self, request: Request, **kwargs: Any) -> Response:
        """The document of this version."""
        return _document_of(request, legacy=self.legacy)


def _document_of(request: Request, *, legacy: bool) -> NovaResponse:
    path, document, media_types = ENDPOINTS[0 if legacy else 1]
    links = [_self(request, f"{path}/"), DESCRIBED_BY]
    return NovaResponse({"version": document | {"links": links, "media-types": media_types}})
