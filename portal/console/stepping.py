"""From a row's page to the rows before and after it in the list that it was opened from."""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from cells.locate import key_of
from portal.console.changelist import AcrossCellsChangeList
from portal.console.list_pages import (
    AT_VAR,
    FILTERS_VAR,
    list_request,
    list_url,
    origin_of,
    origin_query,
    url_name,
)

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList


class Steps(NamedTuple):
    """The number of a row in its list, and the links to those around it, ``before`` if any."""

    at: int
    before: str
    after: str


def urls(model_admin: "ModelAdmin[Any]") -> list[URLPattern]:
    """The URL below a list that leads to the row after or before another."""
    view = model_admin.admin_site.admin_view(partial(step, model_admin=model_admin))
    return [path("step/", view, name=f"{url_name(model_admin.opts)}_step")]


def steps(model_admin: "ModelAdmin[Any]", request: HttpRequest, key: str) -> Steps | None:
    """The links of the page of the row with this key, if it was opened from a list."""
    query, at = origin_of(request)
    if not at:
        return None
    url = reverse(f"admin:{url_name(model_admin.opts)}_step")

    def link(by: int) -> str:
        return f"{url}?{urlencode({FILTERS_VAR: query, AT_VAR: at, 'key': key, 'by': by})}"

    return Steps(at, link(-1) if at > 1 else "", link(1))


def step(request: HttpRequest, model_admin: "ModelAdmin[Any]") -> HttpResponse:
    """The row that is now after (``by=1``) or before (``by=-1``) the row with ``key``.

    That was number ``at`` of the list; where it has left the list, its place tells which is meant.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    query, at = origin_of(request)
    by, key = request.GET.get("by"), request.GET.get("key", "")
    if not at or by not in ("1", "-1"):
        raise BadRequest(gettext_noop("no place in a list"))
    listing: ChangeList = model_admin.get_changelist_instance(list_request(request, query))
    first = max(0, at - 3)  # a row may have come or gone since
    rows = cast(AcrossCellsChangeList, listing).rows_between(first, at + 2)
    keys = {key_of(row.cell, row): first + number for number, row in enumerate(rows, 1)}
    is_there = key in keys
    number = keys[key] + int(by) if is_there else at if by == "1" else at - 1
    places = {number: key for key, number in keys.items()}
    if number not in places:
        messages.info(request, _("There is no further row in this list."))
        if not is_there:
            return HttpResponseRedirect(list_url(model_admin, query))
        number = keys[key]
    url = reverse(f"admin:{url_name(model_admin.opts)}_change", args=[places[number]])
    return HttpResponseRedirect(f"{url}?{origin_query(query, number)}")
