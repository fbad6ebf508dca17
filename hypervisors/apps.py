from django.apps import AppConfig


class HypervisorsConfig(AppConfig):
    name = "hypervisors"
    verbose_name = "Hypervisors"

    def ready(self) -> None:
        self.register_api()

    def register_api(self) -> None:
        """Serve os-hypervisors."""
        from hypervisors.views import HypervisorViewSet
        from portal.api.routers import router

        router.register("os-hypervisors", HypervisorViewSet)
