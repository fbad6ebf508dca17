from django.apps import AppConfig


class CellsConfig(AppConfig):
    name = "cells"
    verbose_name = "Cells"

    def ready(self) -> None:
        """Register the lookups."""
        from cells import lookups  # noqa: F401
