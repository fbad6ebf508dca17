from django.apps import AppConfig


class ServicesConfig(AppConfig):
    name = "services"
    verbose_name = "Compute services"

    def ready(self) -> None:
        self.register_actions()
        self.register_api()

    def register_actions(self) -> None:
        """Register the settler of interrupted actions and the transport of notifications."""
        from services import actions, notifications  # noqa: F401

    def register_api(self) -> None:
        """Serve os-services."""
        from portal.api.routers import router
        from services.views import ServiceViewSet

        router.register("os-services", ServiceViewSet)
