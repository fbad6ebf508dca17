from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        self.register_worker()

    def register_worker(self) -> None:
        """Let every serving process settle interrupted actions and send what is waiting."""
        from audit import worker
        from portal.processes import register_worker

        register_worker("outbox", worker.start, worker.stop)
