"""``manage.py heartbeat``: report for the demo fleet's services, as nova-compute would."""

import argparse
import datetime
import os
import signal
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.models import F, Max
from django.utils import timezone

from cells.databases import cause_of, managed_by_nova
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells
from hypervisors.models import ComputeNode
from services.models import Service

#: A row that was written this close (in seconds) to its cell's newest is one that reports.  All
#: of those are written at once, so they stay together even when nobody has reported for days.
TOGETHER = 60
#: nova-compute reports every 10 seconds, and updates its compute nodes every 60.
SERVICES_EVERY, NODES_EVERY = 10, 60


def beat(cell: Cell, now: datetime.datetime) -> int:
    """Report for the services of the cell that are not down; how many those are."""
    services = Service.objects.using(cell.alias).exclude(topic=None)
    newest = services.aggregate(newest=Max("last_seen_up"))["newest"]
    if newest is None:
        return 0
    since = newest - datetime.timedelta(seconds=TOGETHER)
    reporting = services.filter(last_seen_up__gte=since).update(
        last_seen_up=now, updated_at=now, report_count=F("report_count") + 1
    )
    nodes = ComputeNode.objects.using(cell.alias)
    newest = nodes.aggregate(newest=Max("updated_at"))["newest"]
    if newest is not None and (now - newest).total_seconds() >= NODES_EVERY:
        since = newest - datetime.timedelta(seconds=TOGETHER)
        nodes.filter(updated_at__gte=since).update(updated_at=now)
    return int(reporting)


class Command(BaseCommand):
    help = (
        "Keeps the services of the demo fleet up: those that were reporting go on reporting, "
        "those that are down stay down.  Runs until it is interrupted."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--every", type=float, default=SERVICES_EVERY, metavar="SECONDS", help="(10)"
        )
        parser.add_argument("--once", action="store_true", help="report once and end")
        parser.add_argument(
            "--parent", type=int, metavar="PID", help="end when this process, its parent, has ended"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.ours: set[Cell] = set()
        parent: int | None = options["parent"]
        if not options["once"]:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # each write is whole: just end
        while True:
            began = time.monotonic()
            self._beat()
            if options["once"]:
                return
            while time.monotonic() < began + options["every"]:
                if parent is not None and os.getppid() != parent:
                    return
                time.sleep(min(1, options["every"]))

    def _beat(self) -> None:
        try:
            answers = ask_cells(all_cells(), self._beat_in)
        except DatabaseError as error:
            self.stderr.write(f"heartbeat: {cause_of(error)}")
            return
        for one in answers.missing:
            self.stderr.write(f"heartbeat: {one}")

    def _beat_in(self, cell: Cell) -> None:
        if cell not in self.ours:
            if managed_by_nova(cell.alias):
                raise CommandError(f"{cell} is a real Nova's: its services report themselves")
            self.ours.add(cell)
        beat(cell, timezone.now())
