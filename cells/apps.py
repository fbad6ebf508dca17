from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models import CharField

from cells.databases import limit_statements
from cells.lookups import Among, Like, SameText


class CellsConfig(AppConfig):
    name = "cells"
    verbose_name = "Cells"

    def ready(self) -> None:
        """Register the lookups, and limit how long a statement may take."""
        for lookup in (Among, Like, SameText):
            CharField.register_lookup(lookup)
        connection_created.connect(limit_statements, dispatch_uid="cells.limit_statements")
