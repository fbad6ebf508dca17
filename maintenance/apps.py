from django.apps import AppConfig


class MaintenanceConfig(AppConfig):
    name = "maintenance"
    verbose_name = "Maintenance"

    def ready(self) -> None:
        self.register_worker()

    def register_worker(self) -> None:
        """Let every serving process look for steps whose worker has died."""
        from maintenance import worker
        from portal.processes import register_worker

        register_worker("maintenance", worker.start, worker.stop)
