from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        """Let Django's MySQL backend use PyMySQL, which installs without a compiler."""
        import pymysql

        pymysql.install_as_MySQLdb()


class PortalAdminConfig(AdminConfig):
    default_site = "portal.console.Console"
