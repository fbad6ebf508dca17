"""``manage.py heartbeat``: report for the demo fleet's services, as nova-compute would."""

import argparse
import datetime
import logging
import os
import signal
import time
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.db.models import F, Max
from django.utils import timezone

from cells.databases import cause_of, managed_by_nova
from cells.management.base import Documented
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells
from hypervisors.models import ComputeNode
from services.models import Service

logger = logging.getLogger(__name__)

#: nova-compute reports every 10 seconds, and updates its compute nodes every 60.
SERVICE_SECONDS, NODE_SECONDS = 10, 60
#: Services within so many seconds of their cell's latest heartbeat are those that report.  All of
#: them are written at once, so they stay together also when the demo was not running for days.
LATEST_SECONDS = 60


def beat(cell: Cell, now: datetime.datetime) -> None:
    """Report for the services of the cell that were reporting, and update their nodes."""
    latest = datetime.timedelta(seconds=LATEST_SECONDS)
    services = Service.objects.using(cell.alias).exclude(topic=None)
    last_beat = services.aggregate(last=Max("last_seen_up"))["last"]
    if last_beat is None:
        return
    services.filter(last_seen_up__gte=last_beat - latest).update(
        last_seen_up=now, updated_at=now, report_count=F("report_count") + 1
    )
    nodes = ComputeNode.objects.using(cell.alias)
    last_update = nodes.aggregate(last=Max("updated_at"))["last"]
    if last_update is not None and (now - last_update).total_seconds() >= NODE_SECONDS:
        nodes.filter(updated_at__gte=last_update - latest).update(updated_at=now)


class Command(Documented):
    help = (
        "Keeps the services of the demo fleet up: those that were reporting go on reporting, "
        "those that are down stay down.  Runs until it is interrupted."
    )
    examples = ("heartbeat",)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--every", type=float, default=SERVICE_SECONDS, metavar="SECONDS", help="(10)"
        )
        parser.add_argument("--once", action="store_true", help="report once and exit")
        parser.add_argument(
            "--parent", type=int, metavar="PID", help="exit when this process, its parent, is gone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.embedded_cells: set[Cell] = set()
        parent: int | None = options["parent"]
        if not options["once"]:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # every write is whole: just exit
        while True:
            began = time.monotonic()
            self.beat_everywhere()
            if options["once"]:
                return
            while time.monotonic() < began + options["every"]:
                if parent is not None and os.getppid() != parent:
                    return
                time.sleep(min(1, options["every"]))

    def beat_everywhere(self) -> None:
        """Raises ``CommandError`` when a cell is a real Nova's."""
        try:
            answers = ask_cells(all_cells(), self.beat_in)
        except DatabaseError as error:
            logger.warning("heartbeat: %s", cause_of(error))
            return
        for missing in answers.missing:
            logger.warning("heartbeat: %s", missing)
        for cell, is_embedded in answers.by_cell.items():
            if not is_embedded:
                raise CommandError(f"{cell} is a real Nova's: its services report themselves")

    def beat_in(self, cell: Cell) -> bool:
        """Report in a cell; ``False`` for one of a real Nova, where nothing is written."""
        if cell not in self.embedded_cells:
            if managed_by_nova(cell.alias):
                return False
            self.embedded_cells.add(cell)
        beat(cell, timezone.now())
        return True
