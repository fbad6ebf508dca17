"""The pages of lists: their URLs, how each user wants them, and where a row was opened from.

The page of a row that is opened from a list has the list's query string (``_changelist_filters``,
as in Django) and the row's number in it (``at``), so that the way back, and to the rows before and
after it, keeps filters and order.
"""

import copy
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IS_FACETS_VAR
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from portal.models import ListPreference

#: Query parameters of lists in addition to Django's, and of the page of a row.
PER_PAGE_VAR, COLUMNS_VAR = "per_page", "columns"
FILTERS_VAR, AT_VAR = "_changelist_filters", "at"
#: Parameters that a saved view drops.
TRANSIENT_PARAMS = (PAGE_VAR, ERROR_FLAG, IS_FACETS_VAR)


def url_name(opts: Any) -> str:
    """The prefix of the URL names of a model in the admin."""
    return f"{opts.app_label}_{opts.model_name}"


def page_name(opts: Any) -> str:
    """The URL name of a model's list, by which saved views and preferences are kept."""
    return f"{url_name(opts)}_changelist"


def list_url(model_admin: "ModelAdmin[Any]", query: str = "") -> str:
    """The list with that query string."""
    url = reverse(f"admin:{page_name(model_admin.opts)}")
    return f"{url}?{query}" if query else url


def query_without(query: str, *names: str) -> str:
    """A list's query string as it was posted, without these parameters and those of no view."""
    params = QueryDict(query.removeprefix("?"), mutable=True)
    for name in (*TRANSIENT_PARAMS, *names):
        params.pop(name, None)
    return params.urlencode()


def list_request(request: HttpRequest, query: str) -> HttpRequest:
    """The user's request for the list with that query string."""
    listing = copy.copy(request)
    listing.GET = QueryDict(query.removeprefix("?"))
    return listing


def preference(request: HttpRequest, opts: Any) -> ListPreference | None:
    """How the user wants the list of a model, if they have said so."""
    if request.user.pk is None:
        return None
    wanted = ListPreference.objects.filter(user_id=request.user.pk, page=page_name(opts))
    return wanted.first()


def origin_of(request: HttpRequest) -> tuple[str, int | None]:
    """The query string of the list that a row was opened from, and the row's number in it."""
    at = request.GET.get(AT_VAR, "")
    return request.GET.get(FILTERS_VAR, ""), int(at) if at.isdecimal() and len(at) < 10 else None


def origin_query(query: str, at: int) -> str:
    """What the URL of a row has of the list that it is opened from."""
    filters = {FILTERS_VAR: query} if query else {}
    return urlencode({**filters, AT_VAR: at})
