from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ServicesConfig(AppConfig):
    name = "services"
    verbose_name = _("Compute services")

    def ready(self) -> None:
        self.register_actions()
        self.register_rules()
        self.register_api()
        self.register_console_pages()
        self.register_metrics()

    def register_actions(self) -> None:
        """Register the settlers of actions, how they are undone, and the transport of messages."""
        from services import actions, backfill_tasks, notifications, undo  # noqa: F401

    def register_rules(self) -> None:
        """Let Nova's policy decide what the console offers."""
        from portal.roles import register_rules

        register_rules(
            {
                "services.view_service": "os_compute_api:os-services:list",
                "services.change_service": "os_compute_api:os-services:update",
                "services.delete_service": "os_compute_api:os-services:delete",
            }
        )

    def register_api(self) -> None:
        """Serve os-services."""
        from portal.api.routers import router
        from services.views import ServiceViewSet

        router.register("os-services", ServiceViewSet)

    def register_metrics(self) -> None:
        from portal.metrics import register_cell_reader
        from services.metrics import READER

        register_cell_reader(READER)

    def register_console_pages(self) -> None:
        from portal.console.site import console
        from services.search import find_services

        console.register_search(find_services, permission="services.view_service", order=20)
        console.register_page(
            _("Services"),
            "admin:services_service_changelist",
            permissions=["services.view_service"],
            order=20,
        )
