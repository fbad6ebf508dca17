"""Saved views of the console's lists, private to each user."""

from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from portal.models import SavedView

MAX_NAME_LENGTH = 100


def url_name(model_admin: "ModelAdmin[Any]") -> str:
    """The prefix of the URL names of a model in the admin."""
    return f"{model_admin.opts.app_label}_{model_admin.opts.model_name}"


def urls(model_admin: "ModelAdmin[Any]") -> list[URLPattern]:
    """The URLs below a list for saving its current view, and for deleting a saved view."""
    view, name = model_admin.admin_site.admin_view, url_name(model_admin)
    return [
        path("views/", view(partial(save, model_admin=model_admin)), name=f"{name}_saveview"),
        path(
            "views/<int:view_id>/delete/",
            view(partial(delete, model_admin=model_admin)),
            name=f"{name}_deleteview",
        ),
    ]


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # the console requires a login


def _page(model_admin: "ModelAdmin[Any]") -> str:
    return f"{url_name(model_admin)}_changelist"


def list_url(model_admin: "ModelAdmin[Any]") -> str:
    return reverse(f"admin:{_page(model_admin)}")


def saved_views(request: HttpRequest, model_admin: "ModelAdmin[Any]") -> list[SavedView]:
    """The user's saved views of the list."""
    return list(SavedView.objects.filter(user=_user(request), page=_page(model_admin)))


class SavedViewForm(forms.Form):
    """The name of a view to be saved."""

    name = forms.CharField(
        max_length=MAX_NAME_LENGTH,
        error_messages={"required": gettext_lazy("A name is required to save the view.")},
    )


@require_POST
def save(request: HttpRequest, model_admin: "ModelAdmin[Any]") -> HttpResponse:
    """Save a query string of the list under a name.

    A view of that name is replaced only if that is asked for.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    params = parse_qsl(request.POST.get("query", "").lstrip("?"), keep_blank_values=True)
    query = urlencode([(key, value) for key, value in params if key not in (PAGE_VAR, ERROR_FLAG)])
    form = SavedViewForm(request.POST)
    if form.is_valid():
        name = form.cleaned_data["name"]
        views = SavedView.objects.filter(user=_user(request), page=_page(model_admin), name=name)
        if "replace" not in request.POST and views.exclude(query=query).exists():
            text = _("There is a view “%(name)s” already; it was kept. Tick the box to replace it.")
            messages.warning(request, text % {"name": name})
        else:
            SavedView.objects.update_or_create(
                user=_user(request), page=_page(model_admin), name=name, defaults={"query": query}
            )
            messages.success(request, _("Saved as “%(name)s”.") % {"name": name})
    else:
        for error in form.errors["name"]:
            messages.warning(request, str(error))
    return HttpResponseRedirect(f"{list_url(model_admin)}?{query}")


@require_POST
def delete(request: HttpRequest, model_admin: "ModelAdmin[Any]", view_id: int) -> HttpResponse:
    """Delete one of the user's saved views."""
    view = SavedView.objects.filter(
        user=_user(request), page=_page(model_admin), id=view_id
    ).first()
    if view is not None:
        view.delete()
        messages.success(request, _("Deleted “%(name)s”.") % {"name": view.name})
    return HttpResponseRedirect(list_url(model_admin))
