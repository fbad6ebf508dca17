"""The routes of the compute API, registered by each app in its ``AppConfig.ready``."""

from urllib.parse import quote, urlencode

from django.core.exceptions import ImproperlyConfigured
from rest_framework.routers import SimpleRouter

from portal.api.versioning import PICKER
from portal.api.views import NovaViewSet
from portal.microversions import Version


class NovaRouter(SimpleRouter):
    """DRF's routes of a viewset, without trailing slashes.

    The links of the browsable API are also derived from the registered viewsets.
    """

    registry: list[tuple[str, type[NovaViewSet], str]]  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)

    def register(  # type: ignore[override]
        self, prefix: str, viewset: type[NovaViewSet], basename: str | None = None
    ) -> None:
        """Serve ``viewset`` below ``prefix``, which is its name in Nova (``os-services``).

        Raises ``ImproperlyConfigured`` if a routed method is not an ``endpoint``.
        """
        for route in self.get_routes(viewset):
            for action in self.get_method_map(viewset, route.mapping).values():
                if not hasattr(getattr(viewset, action), "endpoint"):
                    raise ImproperlyConfigured(f"{viewset.__name__}.{action} is not an @endpoint")
        super().register(prefix, viewset, basename or prefix)

    def list_paths(self, version: Version) -> list[str]:
        """Paths without an id at ``version``: entry points of the browsable API."""
        paths = ["/v2.1/"]
        for prefix, viewset, _ in self.registry:
            for route in self.get_routes(viewset):
                action = self.get_method_map(viewset, route.mapping).get("get")
                if route.detail or action is None:
                    continue
                if getattr(viewset, action).endpoint.versions.at(version):
                    paths.append("/v2.1/" + route.url.format(prefix=prefix, trailing_slash=""))
        return paths

    def object_url(self, name: str, id: str, microversion: str) -> str:
        """The page for the object with this id, found under the collection or member ``name``.

        Its URL in the API if it has one, else in the console; empty if it has neither.
        """
        for prefix, viewset, _ in self.registry:
            if name in (viewset.collection_name, viewset.member_name):
                if hasattr(viewset, "retrieve"):
                    query = urlencode({PICKER: microversion})
                    return f"/v2.1/{prefix}/{quote(id)}?{query}"
                return viewset.console_url(id)
        return ""


router = NovaRouter()
