"""``manage.py demo``: create the demo fleet."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError
from rich.console import Console

from cells.database_urls import DatabaseURLError
from cells.databases import cause_of
from cells.management.base import Documented, progress_bar
from hypervisors.demo.builder import CellRows
from hypervisors.demo.databases import (
    FleetExists,
    NovaOwns,
    Progress,
    create,
    create_embedded,
    urls_from,
)
from hypervisors.demo.fleet import Fleet
from portal.api.authentication import DEMO_USER

MAX_CELLS, MAX_HOSTS_PER_CELL, MAX_INSTANCES_PER_HOST = 1000, 20_000, 1000


def number_between(least: int, most: int) -> Any:
    """An argparse type: a whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}, not {number}")
        return number

    return parse


class Command(Documented):
    help = (
        "Creates a demo fleet: cell0 and more cells, each its own database, with hosts in every "
        "state that real clouds know.  The same options and seed give the same fleet."
    )
    examples = ("demo --if-none", "demo --cells 100 --hosts-per-cell 1000 --replace")

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--cells", type=number_between(1, MAX_CELLS), default=4, help="besides cell0 (4)")
        add(
            "--hosts-per-cell",
            type=number_between(0, MAX_HOSTS_PER_CELL),
            default=25,
            help="(25)",
        )
        add(
            "--instances-per-host",
            type=number_between(0, MAX_INSTANCES_PER_HOST),
            default=4,
            help="on average (4)",
        )
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
            help="create the databases there instead of as SQLite files; {name} in it becomes "
            "api, cell0, cell1 ... (postgresql://user:secret@host/nova_{name})",
        )
        add("--replace", action="store_true", help="replace the fleet there is")
        add("--if-none", action="store_true", help="do nothing if there is a fleet")

    def handle(self, *args: Any, **options: Any) -> None:
        template: str | None = options["database_url_template"]
        if not (settings.EMBEDDED or template):
            raise CommandError(
                "the portal is attached to a Nova (NOVA_API_DATABASE_URL is set), "
                "where no fleet is ever created"
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
        self.totals: Counter[str] = Counter()
        try:
            with self.progress(fleet) as progress:
                if template is None:
                    create_embedded(fleet, replace=options["replace"], progress=progress)
                else:
                    urls = urls_from(template, fleet)
                    create(fleet, urls, replace=options["replace"], progress=progress)
        except FleetExists as error:
            if not options["if_none"]:
                raise CommandError(f"{error}; --replace replaces it") from None
            return
        except (NovaOwns, DatabaseURLError) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(cause_of(error)) from None
        totals = self.totals
        self.stdout.write(
            f"cell0 and {fleet.cells} cells: {totals['services']} services, "
            f"{totals['nodes']} compute nodes, {totals['instances']} instances "
            f"({time.monotonic() - began:.1f} s)"
        )

    @contextmanager
    def progress(self, fleet: Fleet) -> Iterator[Progress]:
        """What to call with each cell that is done: a bar on a terminal, else a line each."""
        if not sys.stderr.isatty():
            yield self.write_line
            return
        with progress_bar(Console(stderr=True), transient=True) as bar:
            task = bar.add_task("cells", total=len(fleet))

            def advance(rows: CellRows) -> None:
                self.count(rows)
                bar.update(task, description=rows.name, advance=1)

            yield advance

    def write_line(self, rows: CellRows) -> None:
        self.count(rows)
        self.stderr.write(f"{rows.name}: {len(rows.services)} services")

    def count(self, rows: CellRows) -> None:
        self.totals["services"] += len(rows.services)
        self.totals["nodes"] += len(rows.nodes)
        self.totals["instances"] += len(rows.instances)


def make_demo_user() -> None:
    """The demo's administrator; without a usable password, so only ``DemoBackend`` lets it in."""
    user, created = User.objects.get_or_create(
        username=DEMO_USER, defaults={"is_staff": True, "is_superuser": True}
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
