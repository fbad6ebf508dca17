"""What every view of the compute API does before its own work, in Nova's order of refusals."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from rest_framework import viewsets
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cells.executors import CellUnavailable
from cloud.identity import Identity
from portal.api.endpoints import Endpoint
from portal.api.faults import BadRequest, ItemNotFound
from portal.api.filters import ValidatedQueryFilterBackend
from portal.api.not_found import Preflight, no_such_route
from portal.api.openapi import EndpointSchema
from portal.api.parsers import check_content_type
from portal.api.schemas import Schema, validate
from portal.api.serializers import Plan, VersionedSerializer
from portal.api.versioning import HEADER, LEGACY_HEADER, PICKER
from portal.headers import missing_cells_warnings, stale_mappings_warnings, warning_header
from portal.microversions import Version, Versioned


class NovaViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """A resource of the compute API.  Each method that is routed to is declared an ``endpoint``."""

    #: Nova's name of the policy rules of the resource, without that of the endpoint.
    policy_base: ClassVar[str]
    #: What answers call a list of these objects, and one of them.
    collection_name: ClassVar[str]
    member_name: ClassVar[str]

    #: The field that the id in the URL is looked up in; ``lookup_fields`` by version.
    lookup_field = "uuid"
    lookup_fields: ClassVar[Versioned[str]] = Versioned({"2.1": "id", "2.53": lookup_field})
    lookup_url_kwarg = "id"
    filter_backends = (ValidatedQueryFilterBackend,)
    schema = EndpointSchema()

    request: Request
    format_kwarg = None
    #: The parameters in the query string that passed the schema, and the schema, if there is one.
    query: dict[str, str]
    query_schema: Schema | None
    body: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.warnings: list[str] = []

    @classmethod
    def console_url(cls, id: str) -> str:
        """Where a browser finds an object that has no URL of its own; empty if nowhere."""
        return ""

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None: Nova names no allowed methods."""
        return {}

    @property
    def endpoint(self) -> Endpoint:
        """What the method that answers the request declares."""
        declared: Endpoint = getattr(self, self.action).endpoint
        return declared

    @property
    def policy(self) -> str:
        """Nova's name of the rule that the endpoint is checked against."""
        return f"{self.policy_base}:{self.endpoint.policy}"

    @property
    def version(self) -> Version:
        version: Version = self.request.version  # type: ignore[assignment]
        return version

    @property
    def legacy(self) -> bool:
        """Whether the request came by /v2, which is lenient about bodies."""
        return bool(self.kwargs.get("legacy"))

    def get_serializer_class(self) -> type[VersionedSerializer]:
        """The serializer of the endpoint, or else of the resource."""
        return self.endpoint.serializer or super().get_serializer_class()  # type: ignore[return-value]

    def get_plan(self, first: tuple[str, ...] = ()) -> Plan:
        """How the serializer renders rows at the version of the request; see ``Plan``."""
        return self.get_serializer_class().plan(self.version, first)

    # --- requests ---------------------------------------------------------------------------

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse in Nova's order: 401, version, content type, body, project, route, schema, 403.

        A method that Nova has no route for is answered by ``http_method_not_allowed``.
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
        request._request.microversion = request.version  # type: ignore[attr-defined]  # for the log
        check_content_type(request.headers.get("Content-Type"))
        body = request.data if request.method == "PUT" and self._has_body() else None
        self._check_project(request)
        if not self.endpoint.versions.at(self.version):
            raise ItemNotFound
        self.lookup_field = self.lookup_fields.at(self.version) or self.lookup_field
        self.query = self._checked_query(request)
        self.body = self._checked_body(body)
        if check_id := self._at_version(self.endpoint.early_id_check):
            check_id(self.kwargs[self.lookup_url_kwarg])
        self.check_permissions(request)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Nova routes by method, so for a wrong one there is no route: 404, never 405."""
        return no_such_route(request)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """``OPTIONS`` is answered before anything else, empty, as Nova's CORS filter does."""
        if request.method == "OPTIONS" and "options" not in self.action_map:
            return Preflight()
        return super().dispatch(request, *args, **kwargs)

    def _at_version(self, steps: Versioned[Any] | None) -> Any:
        return steps.at(self.version) if steps else None

    def _has_body(self) -> bool:
        return self.request.META.get("CONTENT_LENGTH") not in (None, "", "0")

    def _check_project(self, request: Request) -> None:
        in_url = self.kwargs.get("project_id")
        of_token = getattr(request.auth, "project_id", "")
        # A token of the portal's own may be for all projects; one of Keystone's may have none.
        for_all = not of_token and not isinstance(request.auth, Identity)
        if in_url and in_url != of_token and not for_all:
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
            if key == PICKER and request.accepted_renderer.format == "api":
                continue
            lists.setdefault(key, []).append(value)
        schema = self.query_schema = self._at_version(self.endpoint.query)
        if schema is None or not lists:  # no parameter is required
            return {}
        lenient = {"additionalProperties": True} if self.legacy else {}
        validate(schema | lenient, lists, is_body=False)
        return {key: values[-1] for key, values in lists.items() if key in schema["properties"]}

    def _checked_body(self, body: Any) -> Any:
        schema = self._at_version(self.endpoint.body)
        if schema is None:
            return body
        if self.legacy and isinstance(body, dict):
            body = {key: value for key, value in body.items() if key in schema["properties"]}
        validate(schema, body, is_body=True)
        return body

    # --- answers ----------------------------------------------------------------------------

    def warn_of(self, missing: Iterable[CellUnavailable]) -> None:
        """Let the answer say that it does not cover these cells."""
        self.warnings += missing_cells_warnings(missing)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if not isinstance(response, Response):  # the answer of Nova's router
            return response
        response.add_post_render_callback(forget_context)
        version = getattr(request, "version", None)
        name_type(response)
        if isinstance(version, Version) and not self.legacy:
            response[HEADER] = f"compute {version}"
            response[LEGACY_HEADER] = str(version)
            response["Vary"] = f"{HEADER}, {LEGACY_HEADER}"
        if response.status_code < 400:
            for name, value in warning_header([*self.warnings, *stale_mappings_warnings()]).items():
                response[name] = value
        return response


def forget_context(response: Response) -> None:
    """Let go of what an answer was rendered with, now that it has been.

    In REST framework the answer refers to itself there, and its view to itself and to the answer,
    so all of a list would be kept until the collector of garbage looks at what is old: hundreds of
    megabytes in a large fleet.
    """
    context = response.renderer_context  # type: ignore[attr-defined]
    vars(context["view"]).clear()
    context.clear()


def name_type(response: Response) -> None:
    """Label a JSON answer as Nova does: faults with a charset, others as the client asked.

    A 401 has none: it is keystonemiddleware's.
    """
    if response.accepted_renderer.format != "json":
        return
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.content_type = "application/json"
    elif response.status_code >= HTTPStatus.BAD_REQUEST:
        response.content_type = "application/json; charset=UTF-8"
    else:
        response.content_type = response.accepted_media_type


class UnknownRoute(APIView):
    """Any path below the API where there is no resource: 401 first, then 404."""

    format_kwarg = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        if not request.user.is_authenticated:
            raise NotAuthenticated

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Every method is answered alike, except ``OPTIONS``: see ``NovaViewSet``."""
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
