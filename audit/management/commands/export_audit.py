"""``manage.py export_audit``: the audit as JSON lines or CSV."""

import argparse
import csv
import datetime
import json
from collections.abc import Callable
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from audit.journal import as_dict
from audit.models import Entry
from cells.escaping import csv_value
from cells.management.base import Documented, add_format

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


class Command(Documented):
    help = "Writes the audit, in the order in which it was written: JSON in lines, or CSV."
    examples = ("export_audit --since 2026-01-01 > audit.jsonl", "export_audit --format csv")

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, metavar="TIME", help="from this time on")
        parser.add_argument("--until", type=moment, metavar="TIME", help="before this time")
        add_format(parser, formats=("json", "csv"))

    def handle(self, *args: Any, **options: Any) -> None:
        entries = Entry.objects.order_by("id")
        if options["since"]:
            entries = entries.filter(at__gte=options["since"])
        if options["until"]:
            entries = entries.filter(at__lt=options["until"])
        write = self.csv_writer() if options["format"] == "csv" else self.write_line
        last = 0
        # In batches: MySQL's driver would hold the whole result of one query in memory.
        while batch := list(entries.filter(id__gt=last)[:BATCH_SIZE]):
            for entry in batch:
                write(as_dict(entry))
            last = batch[-1].id

    def write_line(self, entry: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(entry, ensure_ascii=False))

    def csv_writer(self) -> Callable[[dict[str, Any]], None]:
        """What writes an entry as a row, with objects as JSON; the heading is written at once."""
        names = list(as_dict(Entry()))
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(names)

        def write(entry: dict[str, Any]) -> None:
            values = (entry[name] for name in names)
            writer.writerow(
                json.dumps(value) if isinstance(value, dict | list) else csv_value(value)
                for value in values
            )

        return write
