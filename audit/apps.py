from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = _("Audit")

    def ready(self) -> None:
        from audit import accounts

        accounts.connect()
        self.register_worker()
        self.register_console_pages()
        self.register_metrics()

    def register_worker(self) -> None:
        """Let every serving process settle interrupted actions and send what is waiting."""
        from audit import worker
        from portal.processes import register_worker

        register_worker("outbox", worker.start, worker.stop)

    def register_metrics(self) -> None:
        from audit.metrics import AuditCollector
        from portal.metrics import register_collector

        register_collector(AuditCollector())

    def register_console_pages(self) -> None:
        from portal.console.site import console

        console.register_urls("audit.console_urls")
        console.register_page(
            _("Audit"), "admin:audit_entry_changelist", permissions=["audit.view_entry"], order=50
        )
