"""Cells, tokens, users and groups in the console."""

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.forms import AdminPasswordChangeForm
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
from cells.probes import CellProbe, probe_cells
from portal.console.admin import BoundedQueryMixin, ReadOnlyAdminMixin
from portal.console.html import NOTHING, ago, badge, copyable, moment
from portal.console.sorting import SortColumn, sorted_table
from portal.models import ApiToken, default_expiry, is_of_keystone
from portal.passwords import revoke_tokens
from portal.roles import may_administer, may_have_tokens

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: What makes a user an administrator, or opens other pages.
ROLE_FIELDS = ("is_staff", "is_superuser", "groups", "user_permissions")


@admin.register(ApiToken)
class ApiTokenAdmin(BoundedQueryMixin):
    """Tokens for ``X-Auth-Token``: issued and revoked, never shown again or changed.

    Everyone who has an account of the portal and may enter has their own; a superuser has
    everyone's.
    """

    list_display = (
        "name",
        "user",
        "project_id",
        "may",
        "created",
        "expires",
        "last_used",
        "in_force",
    )
    list_filter = ("read_only",)
    search_fields = ("name", "user__username", "project_id")
    list_select_related = ("user",)
    fields = ("user", "name", "read_only", "project_id", "expires_at")
    formfield_overrides = {
        models.DateTimeField: {
            "form_class": forms.DateTimeField,
            "widget": forms.DateTimeInput(
                format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local"}
            ),
            "required": True,
            "initial": default_expiry,
            "help_text": _("In UTC."),
        }
    }

    @admin.display(description=_("Rights"), ordering="read_only")
    def may(self, token: ApiToken) -> "StrOrPromise":
        return _("read") if token.read_only else _("read and change")

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, token: ApiToken) -> str:
        return moment(token.created_at)

    @admin.display(description=_("Expires"), ordering="expires_at")
    def expires(self, token: ApiToken) -> str:
        return moment(token.expires_at) if token.expires_at else NOTHING

    @admin.display(description=_("Last used"), ordering="last_used_at")
    def last_used(self, token: ApiToken) -> str:
        return ago(token.last_used_at)

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
            users = User.objects.filter(is_active=True, keystone_account=None)
            if not request.user.is_superuser:
                users = users.filter(username=request.user.get_username())
            kwargs |= {"queryset": users, "initial": request.user.pk}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_have_tokens(request.user)

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return may_have_tokens(request.user) and (
            obj is None or obj.user_id == request.user.pk or request.user.is_superuser
        )

    has_delete_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_have_tokens(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Issue the token and show its text, this once."""
        token, text = ApiToken.objects.issue(
            obj.user,
            name=obj.name,
            expires_at=obj.expires_at,
            project_id=obj.project_id,
            read_only=obj.read_only,
        )
        obj.pk = token.pk
        shown = format_html(
            "{} {}", _("The new token, shown only this once:"), copyable(text, _("Copy the token"))
        )
        self.message_user(request, shown, messages.SUCCESS)


admin.site.unregister(User)
admin.site.unregister(Group)


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """Django's; an end of logging in by password revokes the tokens as a new password does."""

    def save(self, commit: bool = True) -> Any:
        user = super().save(commit)
        if commit:
            revoke_tokens(user)
        return user


@admin.register(User)
class UserAdmin(BoundedQueryMixin, auth_admin.UserAdmin):  # type: ignore[type-arg]
    """Users.  Plain lists to choose from, since screen readers do not understand Django's own.

    Only superusers give and take roles, and change those who have the role of an administrator:
    otherwise whoever may change users could become one.  Nobody changes users of Keystone, who have
    neither a password nor roles here.
    """

    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    change_password_form = PasswordForm

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *ROLE_FIELDS)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without the password, and its button, for whoever may not change the user."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [
            (
                title,
                {**options, "fields": [name for name in options["fields"] if name != "password"]},
            )
            for title, options in fieldsets
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (
            super().has_change_permission(request, obj)
            and self._is_below(request, obj)
            and (obj is None or not is_of_keystone(obj))
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_below(request, obj)

    def _is_below(self, request: HttpRequest, user: User | None) -> bool:
        return bool(request.user.is_superuser) or user is None or not may_administer(user)


@admin.register(Group)
class GroupAdmin(BoundedQueryMixin, auth_admin.GroupAdmin):
    """Groups: the API's roles, and what their members may do in the console.

    Only superusers change them.
    """

    filter_horizontal = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)


PROBE_COLUMNS: tuple[SortColumn[CellProbe], ...] = (
    SortColumn("name", _("Cell"), lambda probe: probe.cell.name),
    SortColumn("status", _("Status"), lambda probe: (probe.healthy, probe.reachable)),
    SortColumn("latency", _("Latency"), lambda probe: probe.latency, largest_first=True),
    SortColumn("database", _("Database"), lambda probe: (probe.cell.engine, probe.cell.server)),
    SortColumn("schema", _("Schema"), lambda probe: probe.schema),
    SortColumn("rows", _("Rows"), lambda probe: sum(probe.rows.values()), largest_first=True),
    SortColumn(
        "uuid",
        _("Without a uuid"),
        lambda probe: sum(probe.without_uuid.values()),
        largest_first=True,
    ),
    SortColumn("id", _("UUID"), lambda probe: probe.cell.uuid),
)


def _how_well(probe: CellProbe) -> tuple[Any, ...]:
    """Least for the worst: silent, unreadable, then the slowest."""
    return (probe.reachable, probe.healthy, -(probe.latency or 0))


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
        table = sorted_table(request, probe_cells(), PROBE_COLUMNS, _how_well)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Cells"),
            "headings": table.headings,
            "probes": [(probe, executor_for(probe.cell).breaker) for probe in table.rows],
            "now": timezone.now(),
        }
        return TemplateResponse(request, "admin/cells/cellmapping/cells.html", context)
