from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MaintenanceConfig(AppConfig):
    name = "maintenance"
    verbose_name = _("Maintenance")

    def ready(self) -> None:
        self.register_worker()
        self.register_metrics()
        self.register_console_pages()

    def register_console_pages(self) -> None:
        from maintenance.admin import list_actions, panel
        from portal.console.site import console

        console.register_urls("maintenance.urls")
        console.register_page(
            _("Maintenance"),
            "admin:maintenance_maintenance_changelist",
            permissions=["maintenance.view_maintenance"],
            order=35,
        )
        for model, of in (
            ("services.service", "services"),
            ("hypervisors.computenode", "hypervisors"),
        ):
            console.register_list_actions(model, list_actions(of))
            console.register_panel(model, panel)

    def register_metrics(self) -> None:
        from maintenance.metrics import MaintenanceCollector
        from portal.metrics import register_collector

        register_collector(MaintenanceCollector())

    def register_worker(self) -> None:
        """Let every serving process look for steps whose worker has died."""
        from maintenance import worker
        from portal.processes import register_worker

        register_worker("maintenance", worker.start, worker.stop)
