"""The admin site that is the console."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from portal.permissions import ADMIN_ROLE, READER_ROLE, roles_of


class Console(admin.AdminSite):
    """Django's admin under the portal's name."""

    site_header = _("Nova cells")
    site_title = _("Nova cells")
    index_title = _("Overview")
    site_url = None
    enable_nav_sidebar = False

    #: The pages in the navigation: name, URL and the permission that shows them.
    PAGES = (
        (
            _("Hypervisors"),
            "admin:hypervisors_computenode_changelist",
            "hypervisors.view_computenode",
        ),
        (_("Services"), "admin:services_service_changelist", "services.view_service"),
        (_("Audit"), "admin:audit_entry_changelist", "audit.view_entry"),
    )

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff, and whoever is in one of the groups that the portal itself knows."""
        user = request.user
        return bool(user.is_active) and (
            bool(user.is_staff) or bool(roles_of(user) & {ADMIN_ROLE, READER_ROLE})
        )

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        pages = [
            {"name": name, "url": url, "current": request.path.startswith(url)}
            for name, view, permission in self.PAGES
            if request.user.has_perm(permission)
            for url in [reverse(view)]
        ]
        return super().each_context(request) | {"console_pages": pages}
