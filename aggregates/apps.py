from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AggregatesConfig(AppConfig):
    name = "aggregates"
    verbose_name = _("Aggregates")

    def ready(self) -> None:
        """Serve os-aggregates."""
        from aggregates.views import AggregateViewSet
        from portal.api.routers import router

        router.register("os-aggregates", AggregateViewSet)
