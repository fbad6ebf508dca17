from django.apps import AppConfig


class ServicesConfig(AppConfig):
    name = "services"
    verbose_name = "Compute services"

    def ready(self) -> None:
        self.register_actions()

    def register_actions(self) -> None:
        """Register the settler of interrupted actions and the transport of notifications."""
        from services import actions, notifications  # noqa: F401
