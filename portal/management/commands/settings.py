"""``manage.py settings``: each setting, its value and where it comes from."""

from typing import Any

from django.core.management.base import BaseCommand

from portal.environment import SOURCES


class Command(BaseCommand):
    help = (
        "Print each setting, its value (passwords masked), and its origin: the environment, "
        "an option of nova.conf, or the default."
    )
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        settings = sorted(SOURCES, key=lambda setting: setting.name)
        width = max(len(setting.name) for setting in settings)
        for setting in settings:
            self.stdout.write(f"{setting.name:{width}}  {setting.shown or '-'}  ({setting.origin})")
