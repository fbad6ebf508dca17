"""Cells, tokens, users and groups in the console."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from cells.executors import executor_for
from cells.models import CellMapping
from cells.probes import probe_cells
from portal.console.admin import BoundedQueryMixin, ReadOnlyAdminMixin
from portal.console.html import NOTHING, badge, copyable, moment
from portal.models import ApiToken


@admin.register(ApiToken)
class ApiTokenAdmin(BoundedQueryMixin):
    """Tokens for ``X-Auth-Token``: issued and revoked, never shown again or changed.

    A superuser issues them for anyone, others for themselves.
    """

    list_display = ("name", "user", "project_id", "created", "expires", "in_force")
    search_fields = ("name", "user__username", "project_id")
    list_select_related = ("user",)
    fields = ("user", "name", "project_id", "expires_at")
    formfield_overrides = {
        models.DateTimeField: {
            "form_class": forms.DateTimeField,
            "widget": forms.DateTimeInput(attrs={"type": "datetime-local"}),
            "help_text": _("In UTC; empty for a token that does not expire."),
        }
    }

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, token: ApiToken) -> str:
        return moment(token.created_at)

    @admin.display(description=_("Expires"), ordering="expires_at")
    def expires(self, token: ApiToken) -> str:
        return moment(token.expires_at) if token.expires_at else NOTHING

    @admin.display(description=_("In force"))
    def in_force(self, token: ApiToken) -> str:
        if token.expires_at is not None and token.expires_at <= timezone.now():
            return badge("off", _("expired"))
        if not token.user.is_active:
            return badge("off", _("user is not active"))
        return badge("good", _("yes"))

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ApiToken]":
        tokens: QuerySet[ApiToken] = super().get_queryset(request)
        user = cast(User, request.user)  # the console lets nobody else in
        return tokens if user.is_superuser else tokens.filter(user=user)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            users = User.objects.filter(is_active=True)
            if not request.user.is_superuser:
                users = users.filter(username=request.user.get_username())
            kwargs |= {"queryset": users, "initial": request.user.pk}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Issue the token and show its text, this once."""
        token, text = ApiToken.objects.issue(
            obj.user, name=obj.name, expires_at=obj.expires_at, project_id=obj.project_id
        )
        obj.pk = token.pk
        shown = format_html(
            "{} {}", _("The new token, shown only this once:"), copyable(text, _("Copy the token"))
        )
        self.message_user(request, shown, messages.SUCCESS)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(BoundedQueryMixin, auth_admin.UserAdmin):  # type: ignore[type-arg]
    """Users.  Plain lists to choose from, since screen readers do not understand Django's own."""

    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")


@admin.register(Group)
class GroupAdmin(BoundedQueryMixin, auth_admin.GroupAdmin):
    """Groups: the API's roles, and what their members may do in the console."""

    filter_horizontal = ()


@admin.register(CellMapping)
class CellMappingAdmin(ReadOnlyAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    """The cells and how each of them is.  Nothing here changes them: mappings are Nova's."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="cells_cellmapping_changelist")]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Every cell, probed now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        probes = probe_cells()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Cells"),
            "probes": [(probe, executor_for(probe.cell).breaker) for probe in probes],
            "now": timezone.now(),
        }
        return TemplateResponse(request, "admin/cells/cellmapping/cells.html", context)
