"""Every URL of the portal: the console, and the compute API below /v2.1 and /v2."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from portal.api.documents import browse, openapi
from portal.api.routers import router
from portal.api.version_documents import ProjectVersionViewSet, VersionViewSet, choices, root
from portal.api.views import UnknownRoute
from portal.console.site import PATH as CONSOLE_PATH
from portal.health import healthz
from portal.metrics_view import MetricsView

version_document = VersionViewSet.as_view(
    dict.fromkeys(("get", "post", "put", "patch", "delete", "options"), "show")
)

project_version_document = ProjectVersionViewSet.as_view({"get": "show"})

#: Nova takes a project id in the path only if it is hexadecimal, with or without hyphens.
PROJECT = r"(?P<project_id>[0-9a-f-]+)/"


def api(prefix: str, *, legacy: bool) -> list[URLPattern | URLResolver]:
    """The routes of the API below ``prefix``; ``legacy`` is /v2."""
    options = {"legacy": legacy}
    return [
        path(prefix, version_document, options),
        path(f"{prefix}/", version_document, options),
        re_path(rf"^{prefix}/", include(router.urls), options),
        re_path(rf"^{prefix}/{PROJECT}$", project_version_document, options),
        re_path(rf"^{prefix}/{PROJECT}", include(router.urls), options),
        re_path(rf"^{prefix}/.*$", UnknownRoute.as_view(), options),
    ]


handler400 = "portal.console.errors.bad_request"
handler403 = "portal.console.errors.permission_denied"
handler404 = "portal.console.errors.page_not_found"
handler500 = "portal.unavailable.server_error"

urlpatterns = [
    path("", root),
    path(CONSOLE_PATH, admin.site.urls),
    path("docs/", browse, name="docs"),
    path("docs/openapi.json", openapi, name="openapi"),
    path("healthz", healthz),
    path("metrics", MetricsView.as_view()),
    *api("v2.1", legacy=False),
    *api("v2", legacy=True),
    re_path(r"^.*$", choices),
]
