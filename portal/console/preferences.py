"""The columns and the length of a list, which are remembered for each user."""

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from portal.console.changelist import ListAdmin, per_page
from portal.console.list_pages import (
    COLUMNS_VAR,
    PER_PAGE_VAR,
    list_url,
    page_name,
    query_without,
    url_name,
)
from portal.models import ListPreference

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def urls(model_admin: "ModelAdmin[Any]") -> list[URLPattern]:
    """The URL below a list for remembering how the user wants it."""
    view = model_admin.admin_site.admin_view(partial(prefer, model_admin=model_admin))
    return [path("columns/", view, name=f"{url_name(model_admin.opts)}_columns")]


@require_POST
def prefer(request: HttpRequest, model_admin: "ModelAdmin[Any]") -> HttpResponse:
    """Remember the columns and the rows per page; with ``reset``, or no columns, forget them."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    user = cast("User", request.user)  # the console requires a login
    page = page_name(model_admin.opts)
    known = cast(ListAdmin, model_admin).columns
    names = [name for name in known if name in request.POST.getlist(COLUMNS_VAR)]
    if "reset" in request.POST or not names:
        ListPreference.objects.filter(user=user, page=page).delete()
        messages.success(request, _("The list has its own columns again."))
    else:
        rows = per_page(request.POST.get(PER_PAGE_VAR), model_admin.list_per_page)
        ListPreference.objects.update_or_create(
            user=user, page=page, defaults={"columns": ",".join(names), "per_page": rows}
        )
    query = query_without(request.POST.get("query", ""), COLUMNS_VAR, PER_PAGE_VAR)
    return HttpResponseRedirect(list_url(model_admin, query))
