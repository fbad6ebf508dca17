"""Which rows of a list an action is for: those that are ticked, or all that match the list.

A list posts the keys of the rows that are ticked (``key``).  Where ``all_matching`` is ticked, its
query string (``query``) says which rows are meant.
"""

from typing import Any, cast

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext as _

from cells.locate import key_of
from portal.console.admin import AcrossCellsAdmin
from portal.console.changelist import MAX_SELECTED
from portal.console.list_pages import list_request


class TooManySelected(Exception):
    """More rows are selected than can be acted on at once; the text is for the user."""

    def __init__(self, selected: int, limit: int) -> None:
        words = _(
            "%(selected)d are selected, and at most %(limit)d can be acted on at once. Nothing has "
            "been done: narrow the list by filters, or act on it in parts."
        )
        super().__init__(words % {"selected": selected, "limit": limit})


def selected_keys(
    request: HttpRequest, site: AdminSite, model: type[Model], limit: int = MAX_SELECTED
) -> list[str]:
    """The keys of the rows of ``model`` that a list or a page of one row has posted.

    Raises ``TooManySelected``; rows of cells that do not answer are not among those that match.
    """
    params = request.POST if request.method == "POST" else request.GET
    keys = list(dict.fromkeys(params.getlist("key")))
    if "all_matching" not in params:
        if len(keys) > limit:
            raise TooManySelected(len(keys), limit)
        return keys
    model_admin = cast(AcrossCellsAdmin, site.get_model_admin(cast(Any, model)))
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    changelist = model_admin.get_changelist_instance(list_request(request, params.get("query", "")))
    if changelist.result_count > limit:
        raise TooManySelected(changelist.result_count, limit)
    rows = changelist.rows_at(changelist.all_places(), [])
    return [key_of(row.cell, row) for row in rows]
