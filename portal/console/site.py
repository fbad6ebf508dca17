"""The admin site that is the console."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, include, path, reverse
from django.utils.translation import gettext_lazy as _

from portal.roles import ADMIN_ROLE, READER_ROLE, roles_of

VIEW_NODES, VIEW_SERVICES = "hypervisors.view_computenode", "services.view_service"


def _saved_for(request: HttpRequest) -> list[Any]:
    from portal.console.saved_views import saved_for

    return saved_for(request)


def may_enter(user: Any) -> bool:
    """Staff, and whoever is in one of the groups that the portal itself knows."""
    return bool(user.is_active) and (
        bool(user.is_staff) or bool(roles_of(user) & {ADMIN_ROLE, READER_ROLE})
    )


class LoginForm(AdminAuthenticationForm):
    """Django's, for everyone who may enter."""

    def confirm_login_allowed(self, user: Any) -> None:
        AuthenticationForm.confirm_login_allowed(self, user)
        if not may_enter(user):
            raise self.get_invalid_login_error()


class Console(admin.AdminSite):
    """Django's admin under the portal's name."""

    site_header = _("Nova cells")
    site_title = _("Nova cells")
    index_title = _("Overview")
    site_url = None
    enable_nav_sidebar = False
    login_form = LoginForm

    #: The pages in the navigation: name, URL and the permissions that show them.
    PAGES = (
        (_("Hypervisors"), "admin:hypervisors_computenode_changelist", (VIEW_NODES,)),
        (_("Services"), "admin:services_service_changelist", (VIEW_SERVICES,)),
        (_("Problems"), "admin:problems", (VIEW_NODES, VIEW_SERVICES)),
        (_("Cells"), "admin:cells_cellmapping_changelist", ("cells.view_cellmapping",)),
        (_("Audit"), "admin:audit_entry_changelist", ("audit.view_entry",)),
        (_("Tokens"), "admin:portal_apitoken_changelist", ("portal.view_apitoken",)),
        (_("Users"), "admin:auth_user_changelist", ("auth.view_user",)),
        (_("Groups"), "admin:auth_group_changelist", ("auth.view_group",)),
    )

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        pages = [
            {"name": name, "url": url, "current": request.path.startswith(url)}
            for name, view, permissions in self.PAGES
            if request.user.has_perms(permissions)
            for url in [reverse(view)]
        ]
        return super().each_context(request) | {
            "console_pages": pages,
            "saved_filter_sets": partial(_saved_for, request),
        }

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from portal.console import saved_views

        return [
            path("", include("hypervisors.console_urls")),
            path("saved/", self.admin_view(saved_views.save), name="save_filter_set"),
            path(
                "saved/<int:set_id>/forget/",
                self.admin_view(saved_views.forget),
                name="forget_filter_set",
            ),
            *super().get_urls(),
        ]
