"""Saved views of the console's lists: private to each user, or shared by them with all others.

Only who has saved a view changes it, or a superuser.
"""

from functools import partial
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from portal.console.list_pages import list_url, page_name, query_without, url_name
from portal.models import SavedView

MAX_NAME_LENGTH = 100


def urls(model_admin: "ModelAdmin[Any]") -> list[URLPattern]:
    """The URLs below a list for saving its current view, and for sharing and deleting a view."""
    view, name = model_admin.admin_site.admin_view, url_name(model_admin.opts)
    return [
        path("views/", view(partial(save, model_admin=model_admin)), name=f"{name}_saveview"),
        path(
            "views/<int:view_id>/share/",
            view(partial(share, model_admin=model_admin)),
            name=f"{name}_shareview",
        ),
        path(
            "views/<int:view_id>/delete/",
            view(partial(delete, model_admin=model_admin)),
            name=f"{name}_deleteview",
        ),
    ]


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # the console requires a login


def _seen_by(user: User, model_admin: "ModelAdmin[Any]") -> "QuerySet[SavedView]":
    page = page_name(model_admin.opts)
    return SavedView.objects.filter(Q(user=user) | Q(is_shared=True), page=page)


def saved_views(request: HttpRequest, model_admin: "ModelAdmin[Any]") -> list[SavedView]:
    """The views of the list that the user has saved or others share; ``may_change`` is set."""
    user = _user(request)
    views = list(
        _seen_by(user, model_admin).select_related("user").order_by("name", "user__username")
    )
    for view in views:
        view.may_change = view.is_changed_by(user)  # type: ignore[attr-defined]
    return views


class SavedViewForm(forms.Form):
    """The name of a view to be saved, and whether others see it."""

    name = forms.CharField(
        max_length=MAX_NAME_LENGTH,
        error_messages={"required": gettext_lazy("A name is required to save the view.")},
    )
    share = forms.BooleanField(required=False)


@require_POST
def save(request: HttpRequest, model_admin: "ModelAdmin[Any]") -> HttpResponse:
    """Save a query string of the list under a name.

    A view of that name is replaced only if that is asked for.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    query = query_without(request.POST.get("query", ""))
    page = page_name(model_admin.opts)
    form = SavedViewForm(request.POST)
    if form.is_valid():
        name, is_shared = form.cleaned_data["name"], form.cleaned_data["share"]
        views = SavedView.objects.filter(user=_user(request), page=page, name=name)
        if "replace" not in request.POST and views.exclude(query=query).exists():
            text = _("There is a view “%(name)s” already; it was kept. Tick the box to replace it.")
            messages.warning(request, text % {"name": name})
        else:
            SavedView.objects.update_or_create(
                user=_user(request),
                page=page,
                name=name,
                defaults={"query": query, "is_shared": is_shared},
            )
            messages.success(request, _("Saved as “%(name)s”.") % {"name": name})
    else:
        for error in form.errors["name"]:
            messages.warning(request, str(error))
    return HttpResponseRedirect(list_url(model_admin, query))


def _view_to_change(
    request: HttpRequest, model_admin: "ModelAdmin[Any]", view_id: int
) -> SavedView | None:
    """A view that the user sees; raises ``PermissionDenied`` if it is not theirs to change."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    view = _seen_by(_user(request), model_admin).filter(id=view_id).first()
    if view is not None and not view.is_changed_by(_user(request)):
        raise PermissionDenied
    return view


@require_POST
def share(request: HttpRequest, model_admin: "ModelAdmin[Any]", view_id: int) -> HttpResponse:
    """Share a view with all who may see the list (``shared=1``), or keep it private again."""
    view = _view_to_change(request, model_admin, view_id)
    if view is not None:
        view.is_shared = request.POST.get("shared") == "1"
        view.save(update_fields=["is_shared"])
        said = _("Shared “%(name)s”.") if view.is_shared else _("“%(name)s” is private again.")
        messages.success(request, said % {"name": view.name})
    return HttpResponseRedirect(list_url(model_admin))


@require_POST
def delete(request: HttpRequest, model_admin: "ModelAdmin[Any]", view_id: int) -> HttpResponse:
    """Delete a saved view."""
    view = _view_to_change(request, model_admin, view_id)
    if view is not None:
        view.delete()
        messages.success(request, _("Deleted “%(name)s”.") % {"name": view.name})
    return HttpResponseRedirect(list_url(model_admin))
