"""``manage.py settings``: each setting, its value and where it comes from."""

import argparse
from typing import Any

from cells.management.base import (
    Column,
    Documented,
    add_format,
    write_csv,
    write_json,
    write_table,
)
from portal.environment import SOURCES


class Command(Documented):
    help = (
        "Print each setting, its value (passwords masked), and its origin: the environment, "
        "an option of nova.conf, or the default."
    )
    examples = ("settings", "settings --format json")
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_format(parser)

    def handle(self, **options: Any) -> None:
        settings = sorted(SOURCES, key=lambda setting: setting.name)
        rows = [[setting.name, setting.shown, setting.origin] for setting in settings]
        names = ("setting", "value", "origin")
        if options["format"] == "json":
            write_json(self.stdout, [dict(zip(names, row, strict=True)) for row in rows])
        elif options["format"] == "csv":
            write_csv(self.stdout, names, rows)
        else:
            columns = (Column(names[0]), Column(names[1], folds=True), Column(names[2]))
            texts = [[name, shown or "-", f"({origin})"] for name, shown, origin in rows]
            write_table(self.stdout, columns, texts)
