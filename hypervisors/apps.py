from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class HypervisorsConfig(AppConfig):
    name = "hypervisors"
    verbose_name = _("Hypervisors")

    def ready(self) -> None:
        self.register_rules()
        self.register_api()
        self.register_console_pages()
        self.register_metrics()

    def register_rules(self) -> None:
        """Let Nova's policy decide what the console offers."""
        from portal.roles import register_rules

        register_rules(
            {
                "hypervisors.view_computenode": "os_compute_api:os-hypervisors:list-detail",
                "hypervisors.view_instance": "os_compute_api:os-hypervisors:servers",
            }
        )

    def register_api(self) -> None:
        """Serve os-hypervisors."""
        from hypervisors.views import HypervisorViewSet
        from portal.api.routers import router

        router.register("os-hypervisors", HypervisorViewSet)

    def register_metrics(self) -> None:
        from hypervisors.metrics import READER, ProblemCollector
        from portal.metrics import register_cell_reader, register_collector

        register_cell_reader(READER)
        register_collector(ProblemCollector())

    def register_console_pages(self) -> None:
        from hypervisors.fleet_views import FLEET_PERMISSIONS, index
        from hypervisors.row_panels import problems_panel
        from hypervisors.search import find_hypervisors, find_servers
        from hypervisors.timeline import timeline_panel
        from portal.console.site import console

        console.register_search(
            find_hypervisors, permission="hypervisors.view_computenode", order=10
        )
        console.register_search(find_servers, permission="hypervisors.view_instance", order=30)
        console.register_index(index)
        for model in ("hypervisors.computenode", "services.service"):
            console.register_panel(model, problems_panel)
            console.register_panel(model, timeline_panel)
        console.register_urls("hypervisors.console_urls")
        console.register_page(
            _("Hypervisors"),
            "admin:hypervisors_computenode_changelist",
            permissions=["hypervisors.view_computenode"],
            order=10,
        )
        console.register_page(
            _("Problems"), "admin:problems", permissions=FLEET_PERMISSIONS, order=30
        )
