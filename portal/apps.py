import sys

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _
from django_tasks import DEFAULT_TASK_BACKEND_ALIAS
from django_tasks.backends.base import BaseTaskBackend


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = _("Portal")

    def ready(self) -> None:
        from portal import checks, keystone_sessions  # noqa: F401  (checks registers them)

        keystone_sessions.connect()
        self.grant_permissions()
        self.register_console_pages()

    def grant_permissions(self) -> None:
        """Keep the groups' permissions complete when an app is migrated."""
        from portal.roles import grant

        post_migrate.connect(grant, dispatch_uid="portal.roles")

    def register_console_pages(self) -> None:
        from portal.console.site import console
        from portal.roles import may_have_tokens

        for label, name, order, permissions in (
            (_("Cells"), "cells_cellmapping", 40, ["cells.view_cellmapping"]),
            (_("Users"), "auth_user", 70, ["auth.view_user"]),
            (_("Groups"), "auth_group", 80, ["auth.view_group"]),
        ):
            console.register_page(
                label, f"admin:{name}_changelist", permissions=permissions, order=order
            )
        console.register_page(
            _("Tokens"),
            "admin:portal_apitoken_changelist",
            permissions=[],  # everyone has their own
            is_for=may_have_tokens,
            order=60,
        )


class PortalAdminConfig(AdminConfig):
    default_site = "portal.console.site.Console"

    def ready(self) -> None:
        check_task_backend()  # before the modules that are imported now declare tasks
        super().ready()


def check_task_backend() -> None:
    """End the program with one line if ``TASK_BACKEND`` names no backend of django-tasks.

    The settings cannot see to that: backends import Django's settings themselves.
    """
    name = str(settings.TASKS[DEFAULT_TASK_BACKEND_ALIAS]["BACKEND"])
    try:
        backend = import_string(name)
    except ImportError as error:
        sys.exit(f"TASK_BACKEND: {name!r} cannot be used: {error}")
    if not (isinstance(backend, type) and issubclass(backend, BaseTaskBackend)):
        sys.exit(f"TASK_BACKEND: {name!r} is not a task backend")
