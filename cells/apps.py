import django.db
from django.apps import AppConfig
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db.backends.signals import connection_created
from django.db.models import CharField, IntegerField
from django.utils.translation import gettext_lazy as _

from cells.databases import close_old_connections, note_opened
from cells.lookups import Among, Like, SameText


class CellsConfig(AppConfig):
    name = "cells"
    verbose_name = _("Cells")

    def ready(self) -> None:
        """Register the lookups; close old connections, however many cells."""
        for lookup in (Among, Like, SameText):
            CharField.register_lookup(lookup)
        IntegerField.register_lookup(Among)
        connection_created.connect(note_opened, dispatch_uid="cells.note_opened")
        for signal in (request_started, request_finished):
            signal.disconnect(django.db.close_old_connections)
            signal.connect(close_old_connections, dispatch_uid="cells.close_old_connections")
        if not settings.DEBUG:  # nothing is recorded, so nothing is to be forgotten
            request_started.disconnect(django.db.reset_queries)
