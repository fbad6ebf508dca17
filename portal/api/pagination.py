"""Pagination by ``limit`` and ``marker``, as in all OpenStack APIs."""

from typing import Any, Protocol
from urllib.parse import urlencode

from django.conf import settings
from rest_framework.pagination import BasePagination
from rest_framework.request import Request

from cells.locate import Ambiguous, NotFound
from cells.registry import Cell
from portal.api.faults import BadRequest
from portal.api.renderers import BROWSABLE_ROWS
from portal.api.responses import NovaResponse
from portal.api.schemas import as_integer
from portal.api.views import NovaViewSet

#: The position of a row in Nova's order: its cell, then its id.
Position = tuple[Cell, int]


class MarkerPage(Protocol):
    """The rows of a page; ``marker`` is the value of a field of the last row."""

    def __len__(self) -> int: ...
    def marker(self, field: str) -> object: ...


class Pageable(Protocol):
    """A list that can be paginated.  The positions raise the errors of ``cells.locate``."""

    def page(self, limit: int, after: Position | None) -> MarkerPage: ...
    def position_of_uuid(self, uuid: str) -> Position: ...
    def position_of_id(self, row_id: int) -> Position: ...


class MarkerPagination(BasePagination):
    """At most ``limit`` objects after ``marker``; a full page has a link to the next one.

    Lists are paginated at the versions whose query schema has a ``limit``, of which
    ``API_MAX_LIMIT`` is the default and the maximum.  A marker is an integer id or a uuid at every
    version, as in Nova; links use the version's kind of id.  Pages for browsers have at most
    ``BROWSABLE_ROWS``, at every version.
    """

    limit_query_param = "limit"
    marker_query_param = "marker"

    def paginate_queryset(  # type: ignore[override]
        self, queryset: Pageable, request: Request, view: NovaViewSet
    ) -> MarkerPage | None:
        """The requested page; ``None`` if the version is not paginated.

        Raises ``BadRequest`` for a marker that identifies no object, or several; ``MayBeMissing``.
        """
        self.view = view
        self.next_marker: object = None
        for_browser = request.accepted_renderer.format == "api"
        if self.limit_query_param not in (view.query_schema or {}).get("properties", {}):
            # One more than the page shows, which then says that there are more.
            return queryset.page(BROWSABLE_ROWS + 1, None) if for_browser else None
        limit = as_integer(view.query.get(self.limit_query_param, str(settings.API_MAX_LIMIT)))
        if limit is None:  # thousands of digits
            raise BadRequest("Invalid input received: limit must be an integer")
        limit = min(limit, BROWSABLE_ROWS if for_browser else settings.API_MAX_LIMIT)
        marker = view.query.get(self.marker_query_param)
        after = None if marker is None else self._position(queryset, marker)
        page = queryset.page(limit, after)
        if limit and len(page) == limit:
            self.next_marker = page.marker(view.lookup_field)
        return page

    def get_paginated_response(self, data: list[Any]) -> NovaResponse:
        """The objects of the page, with the link to the next page."""
        body: dict[str, Any] = {self.view.collection_name: data}
        if self.next_marker is not None:
            link = {"rel": "next", "href": self.get_next_link()}
            body[f"{self.view.collection_name}_links"] = [link]
        return NovaResponse(body)

    def get_next_link(self) -> str:
        """The URL of the next page, with the parameters of this one in Nova's order."""
        parameters = dict(sorted(self.view.query.items()))
        parameters |= {self.marker_query_param: str(self.next_marker)}
        request = self.view.request
        return request.build_absolute_uri(f"{request.path_info}?{urlencode(parameters)}")

    def _position(self, queryset: Pageable, marker: str) -> Position:
        row_id = as_integer(marker)
        try:
            if row_id is None:
                return queryset.position_of_uuid(marker)
            return queryset.position_of_id(row_id)
        except NotFound:
            raise BadRequest(f"marker [{marker}] not found") from None
        except Ambiguous as error:
            raise BadRequest(
                f"marker [{marker}] refers to multiple {self.view.collection_name}, {error}. "
                "Use microversion 2.53 and its uuid."
            ) from None
