"""``manage.py export_audit``: the audit as JSON lines."""

import argparse
import datetime
import json
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from audit.journal import as_dict
from audit.models import Entry

#: Entries read in one query.
BATCH_SIZE = 2000


def moment(text: str) -> datetime.datetime:
    """Parse a date or a time in ISO 8601; without a zone it is UTC."""
    try:
        day = parse_date(text)
        found = datetime.datetime.combine(day, datetime.time()) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date or time in ISO 8601")
    return found if found.tzinfo else timezone.make_aware(found, datetime.UTC)


class Command(BaseCommand):
    help = "Writes the audit as JSON lines, in the order in which it was written."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, metavar="TIME", help="from this time on")
        parser.add_argument("--until", type=moment, metavar="TIME", help="before this time")

    def handle(self, *args: Any, **options: Any) -> None:
        entries = Entry.objects.order_by("id")
        if options["since"]:
            entries = entries.filter(at__gte=options["since"])
        if options["until"]:
            entries = entries.filter(at__lt=options["until"])
        last = 0
        # In batches: MySQL's driver would hold the whole result of one query in memory.
        while batch := list(entries.filter(id__gt=last)[:BATCH_SIZE]):
            for entry in batch:
                self.stdout.write(json.dumps(as_dict(entry), ensure_ascii=False))
            last = batch[-1].id
