"""What every view of the compute API does before its own work, in Nova's order of refusals."""

from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

from rest_framework import viewsets
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cells.executors import CellUnavailable
from portal.api.faults import BadRequest, ItemNotFound
from portal.api.not_found import Preflight, no_such_route
from portal.api.parsers import check_content_type
from portal.api.schemas import validate
from portal.api.versioning import HEADER, LEGACY_HEADER
from portal.microversions import Version, Versioned

Schema = dict[str, Any]


class NovaViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """A resource of the compute API.

    Each action names the policy rule (``policies``), the versions that have it (``exists``), and
    the JSON schemas of its query string and body at each version.
    """

    policy_base: ClassVar[str]
    policies: ClassVar[dict[str, str]]
    exists: ClassVar[dict[str, Versioned[bool]]] = {}
    query_schemas: ClassVar[dict[str, Versioned[Schema]]] = {}
    body_schemas: ClassVar[dict[str, Versioned[Schema]]] = {}
    #: Checks of the URL's id that come before the policy; they raise a fault.
    early_id_checks: ClassVar[dict[str, Versioned[Callable[[str], None]]]] = {}

    request: Request
    lookup_field = "uuid"
    format_kwarg = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Nova names no allowed methods."""
        return {}

    @property
    def policy(self) -> str:
        """Nova's name of the rule that the action is checked against."""
        return f"{self.policy_base}:{self.policies[self.action]}"

    @property
    def version(self) -> Version:
        version: Version = self.request.version  # type: ignore[assignment]
        return version

    @property
    def legacy(self) -> bool:
        """Whether the request came by /v2, which is lenient about bodies."""
        return bool(self.kwargs.get("legacy"))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse in Nova's order: 401, version, content type, body, project, route, schema, 403.

        A method that Nova has no route for never gets here (``http_method_not_allowed``).
        """
        self.perform_authentication(request)
        if not request.user.is_authenticated:
            raise NotAuthenticated
        if self.action is None:
            return
        renderer, media_type = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = renderer, media_type
        request.version, request.versioning_scheme = None, None
        request.version, request.versioning_scheme = self.determine_version(
            request, *args, **kwargs
        )
        check_content_type(request.headers.get("Content-Type"))
        body = request.data if request.method == "PUT" and self._has_body() else None
        self._check_project(request)
        steps = self.exists.get(self.action)
        if steps is not None and not steps.at(self.version):
            raise ItemNotFound
        self.query = self._checked_query(request)
        self.body = self._checked_body(body)
        early = self.early_id_checks.get(self.action)
        check_id = early.at(self.version) if early else None
        if check_id is not None:
            check_id(self.kwargs["id"])
        self.check_permissions(request)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Nova routes by method, so a wrong one is a route that is not there: 404, never 405."""
        return no_such_route(request)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """``OPTIONS`` is answered before anything else, empty, as Nova's CORS filter does."""
        if request.method == "OPTIONS" and "options" not in self.action_map:
            return Preflight()
        return super().dispatch(request, *args, **kwargs)

    def _has_body(self) -> bool:
        return self.request.META.get("CONTENT_LENGTH") not in (None, "", "0")

    def _check_project(self, request: Request) -> None:
        in_url = self.kwargs.get("project_id")
        of_token = getattr(request.auth, "project_id", "")
        if in_url and of_token and in_url != of_token:
            raise BadRequest(
                f"Malformed request URL: URL's project_id '{in_url}' doesn't match Context's "
                f"project_id '{of_token}'"
            )

    def _checked_query(self, request: Request) -> dict[str, str]:
        """The query parameters that the version knows, each with the value that counts (its
        last one); unknown ones are dropped or refused as the schema says.
        """
        try:
            raw = request.META.get("QUERY_STRING", "")
            pairs = parse_qsl(raw, keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            raise BadRequest("Query string is not UTF-8 encoded") from None
        lists: dict[str, list[str]] = {}
        for key, value in pairs:
            if key == "microversion" and request.accepted_renderer.format == "api":
                continue
            lists.setdefault(key, []).append(value)
        steps = self.query_schemas.get(self.action)
        schema = steps.at(self.version) if steps else None
        if schema is None:
            return {}
        if self.legacy:
            schema = schema | {"additionalProperties": True}
        validate(schema, lists, is_body=False)
        return {key: values[-1] for key, values in lists.items() if key in schema["properties"]}

    def _checked_body(self, body: Any) -> Any:
        steps = self.body_schemas.get(self.action)
        schema = steps.at(self.version) if steps else None
        if schema is None:
            return body
        if self.legacy and isinstance(body, dict):
            body = {key: value for key, value in body.items() if key in schema["properties"]}
        validate(schema, body, is_body=True)
        return body

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if not isinstance(response, Response):  # the answer of Nova's router
            return response
        version = getattr(request, "version", None)
        name_type(response)
        if isinstance(version, Version) and not self.legacy:
            response[HEADER] = f"compute {version}"
            response[LEGACY_HEADER] = str(version)
            response["Vary"] = f"{HEADER}, {LEGACY_HEADER}"
        return response

    def link_prefix(self) -> str:
        """What the resource's links begin with: ``http://host/v2.1``, with the project if the URL
        had it.
        """
        base = "/v2" if self.legacy else "/v2.1"
        project = self.kwargs.get("project_id")
        return self.request.build_absolute_uri(f"{base}/{project}" if project else base)

    def next_link(self, path: str, marker: object) -> dict[str, str]:
        """The link to the next page, with the parameters of this one in Nova's order."""
        params = dict(sorted(self.query.items())) | {"marker": str(marker)}
        return {"rel": "next", "href": f"{self.link_prefix()}/{path}?{urlencode(params)}"}


def missing_cells_warnings(missing: list[CellUnavailable]) -> list[str]:
    """What a ``Warning`` header says of cells that an answer does not cover."""
    return list(
        dict.fromkeys(f"cell {one.cell.name} did not answer: {one.cause}" for one in missing)
    )


def warning_header(texts: list[str]) -> dict[str, str]:
    """A ``Warning`` header (RFC 7234, miscellaneous warning) with these texts, in ASCII."""
    if not texts:
        return {}
    plain = " ".join("; ".join(texts).replace("\\", "/").replace('"', "'").split())
    return {"Warning": f'199 - "{plain.encode("ascii", "replace").decode()}"'}


def name_type(response: Response) -> None:
    """Name the type of a JSON answer as Nova does: faults with a charset, the others as asked."""
    if response.accepted_renderer.format == "json":
        response.content_type = (
            response.accepted_media_type
            if response.status_code < 400
            else "application/json; charset=UTF-8"
        )


class UnknownRoute(APIView):
    """Any path below the API that is no resource: 401 first, then 404."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        if not request.user.is_authenticated:
            raise NotAuthenticated

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Every method is answered alike, but for ``OPTIONS``: see ``NovaViewSet``."""
        if request.method == "OPTIONS":
            return Preflight()
        self.args, self.kwargs, self.headers = args, kwargs, {}
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            self.initial(self.request)
        except Exception as error:
            response = self.handle_exception(error)
            response = self.finalize_response(self.request, response)
            name_type(response)
            return response
        return no_such_route(self.request)
