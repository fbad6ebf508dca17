"""``manage.py demo``: make the embedded demo fleet."""

import argparse
import sys
import time
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cells.database_urls import DatabaseURLError
from cells.databases import cause_of
from hypervisors.demo.databases import FleetExists, NovaOwns, create, create_embedded, urls_from
from hypervisors.demo.fleet import CellRows, Fleet
from portal.api.authentication import DEMO_USER

MOST_CELLS, MOST_HOSTS = 1000, 20_000


def whole(least: int, most: int) -> Any:
    """An argparse type: a whole number between these."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}, not {number}")
        return number

    return parse


class Command(BaseCommand):
    help = (
        "Makes a demo fleet: cell0 and more cells, each its own database, with hosts in every "
        "state that real clouds have.  The same options and seed make the same fleet."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--cells", type=whole(1, MOST_CELLS), default=4, help="besides cell0 (4)")
        add("--hosts-per-cell", type=whole(0, MOST_HOSTS), default=25, help="(25)")
        add("--instances-per-host", type=whole(0, 1000), default=4, help="on average (4)")
        add("--seed", type=int, default=1, help="(1)")
        add(
            "--uuidless-cell",
            type=int,
            metavar="N",
            help="the cell whose services have no uuid yet; 0 for none (the last one)",
        )
        add(
            "--database-url-template",
            metavar="URL",
            help="make the databases there instead of as SQLite files; {name} in it becomes "
            "api, cell0, cell1 ... (postgresql://user:secret@host/nova_{name})",
        )
        add("--replace", action="store_true", help="put the fleet in the place of one there is")
        add("--if-none", action="store_true", help="do nothing if there is a fleet already")

    def handle(self, *args: Any, **options: Any) -> None:
        template: str | None = options["database_url_template"]
        if not (settings.EMBEDDED or template):
            raise CommandError(
                "the portal is attached to a Nova (NOVA_API_DATABASE_URL is set), "
                "where no fleet is ever made"
            )
        if template and "{name}" not in template:
            raise CommandError("--database-url-template: must contain {name}")
        uuidless = options["uuidless_cell"]
        fleet = Fleet(
            cells=options["cells"],
            hosts_per_cell=options["hosts_per_cell"],
            seed=options["seed"],
            instances_per_host=options["instances_per_host"],
            uuidless_cell=options["cells"] if uuidless is None else uuidless,
        )
        if template is None:
            call_command("migrate", database="default", verbosity=0)
            make_demo_user()
        began = time.monotonic()
        self.counts = [0, 0, 0]
        try:
            with self.progress(fleet) as progress:
                if template is None:
                    create_embedded(fleet, replace=options["replace"], progress=progress)
                else:
                    urls = urls_from(template, fleet)
                    create(fleet, urls, replace=options["replace"], progress=progress)
        except FleetExists as error:
            if not options["if_none"]:
                raise CommandError(f"{error}; --replace puts a new one in its place") from None
            return
        except (NovaOwns, DatabaseURLError) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(cause_of(error)) from None
        services, nodes, instances = self.counts
        self.stdout.write(
            f"cell0 and {fleet.cells} cells: {services} services, {nodes} compute nodes, "
            f"{instances} instances ({time.monotonic() - began:.1f} s)"
        )

    def progress(self, fleet: Fleet) -> Any:
        """A context manager giving what to call with each cell that is done."""
        if sys.stderr.isatty():
            return _Bar(self, len(fleet))
        return nullcontext(self.line)

    def line(self, rows: CellRows) -> None:
        self.count(rows)
        self.stderr.write(f"{rows.name}: {len(rows.services)} services")

    def count(self, rows: CellRows) -> None:
        for index, table in enumerate(rows.tables[:3]):
            self.counts[index] += len(table)


class _Bar:
    """A progress bar on a terminal."""

    def __init__(self, command: Command, total: int) -> None:
        self.command = command
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.task = self.bar.add_task("cells", total=total)

    def __enter__(self) -> Any:
        self.bar.start()
        return self.advance

    def __exit__(self, *args: object) -> None:
        self.bar.stop()

    def advance(self, rows: CellRows) -> None:
        self.command.count(rows)
        self.bar.update(self.task, description=rows.name)
        self.bar.advance(self.task)


def make_demo_user() -> None:
    """The demo's administrator; without a usable password, so only ``DemoBackend`` lets it in."""
    user, created = User.objects.get_or_create(
        username=DEMO_USER, defaults={"is_staff": True, "is_superuser": True}
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
