from django.apps import AppConfig


class AggregatesConfig(AppConfig):
    name = "aggregates"
    verbose_name = "Aggregates"

    def ready(self) -> None:
        """Serve os-aggregates."""
        from aggregates.views import AggregateViewSet
        from portal.api.routers import router

        router.register("os-aggregates", AggregateViewSet)
