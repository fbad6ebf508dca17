from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        """Keep the groups' permissions complete when an app is migrated."""
        from portal.roles import grant

        post_migrate.connect(grant, dispatch_uid="portal.roles")


class PortalAdminConfig(AdminConfig):
    default_site = "portal.console.site.Console"
