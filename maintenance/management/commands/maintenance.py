"""``manage.py maintenance``: empty a host, evacuate a dead one, retire one, and bring it back."""

import argparse
import datetime
import getpass
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO, cast

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rich.console import Console
from rich.table import Table
from rich.text import Text

from audit.journal import Actor, Refused
from audit.models import Channel
from cells.databases import cause_of
from cells.escaping import printable
from cells.locate import key_of
from cells.management.base import Documented, add_format, write_csv
from maintenance import control, engine, record
from maintenance.models import Fate, Maintenance, State
from maintenance.moves import counts
from maintenance.plans import PLANS, Options, Plan, Preflight, preflights
from services.facts import facts_by_key
from services.locate import ServiceRef, find
from services.models import NOVA_COMPUTE

#: Exit codes.
FAILED, REFUSED, IN_PROGRESS = 1, 2, 3
#: States in which a maintenance has reached what was asked for.
GOOD = (State.EMPTY, State.DONE)


def when(text: str) -> datetime.datetime:
    """An argparse type: a time in ISO 8601, in UTC unless it says otherwise."""
    try:
        value = parse_datetime(text)
    except ValueError:
        value = None
    if value is None:
        raise argparse.ArgumentTypeError(f"must be a time like 2026-01-31T18:00, not {text!r}")
    return value if timezone.is_aware(value) else value.replace(tzinfo=datetime.UTC)


class Command(Documented):
    help = (
        "The maintenance of hosts: start (empty a host for work, evacuate a dead one, retire "
        "one), status, stop, return."
    )
    examples = (
        "maintenance start cmp01 --reason 'new disk' --wait",
        "maintenance start cmp01 cmp02 --plan retire --reason 'old' --dry-run",
        "maintenance status --format csv",
        "maintenance return cmp01",
    )
    exit_codes = {
        0: "it is as asked for",
        FAILED: "a maintenance has failed or was stopped",
        REFUSED: "it was refused, or bad usage",
        IN_PROGRESS: "it is under way",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        # Django's own parser class takes arguments of its own.
        start = commands.add_parser("start", help="begin the maintenance of hosts")
        start.add_argument("host", nargs="+", metavar="HOST")
        start.add_argument("--plan", choices=list(PLANS), default="empty", help="(empty)")
        start.add_argument("--reason", required=True)
        start.add_argument("--ticket", default="")
        start.add_argument("--at", type=when, metavar="TIME", help="when to begin (now)")
        start.add_argument("--until", type=when, metavar="TIME", help="when it is to be over")
        start.add_argument(
            "--move-stopped", action="store_true", help="migrate servers that are shut off, too"
        )
        start.add_argument("--target", default="", metavar="HOST", help="(Nova chooses)")
        start.add_argument(
            "--moves",
            type=int,
            default=settings.MAINTENANCE_MOVES_PER_HOST,
            metavar="N",
            help=f"servers at a time ({settings.MAINTENANCE_MOVES_PER_HOST})",
        )
        start.add_argument(
            "--hosts-at-once", type=int, default=1, metavar="K", help="of several hosts (1)"
        )
        start.add_argument(
            "--keep-going", action="store_true", help="go on with other hosts after one has failed"
        )
        start.add_argument(
            "--fenced",
            metavar="HOST",
            action="append",
            default=[],
            help="confirm that this host is off (evacuate), or to be removed (retire)",
        )
        start.add_argument(
            "--dry-run", action="store_true", help="show what would be done, and do nothing"
        )
        status = commands.add_parser(
            "status", help="how far a maintenance is; all that are open without HOST"
        )
        status.add_argument("host", nargs="?", metavar="HOST")
        stop = commands.add_parser("stop", help="begin no more moves, and await the others")
        give_back = commands.add_parser("return", help="give the host back to the scheduler")
        for one in (stop, give_back):
            one.add_argument("host", metavar="HOST")
        for one in (start, status, stop, give_back):
            add_format(one)
            one.add_argument("--wait", action="store_true", help="until it is over, or needs you")

    def handle(self, *args: Any, **options: Any) -> None:
        command = options["command"].replace("return", "give_back")
        try:
            found: list[Maintenance] = getattr(self, command)(options)
            if options["wait"]:
                self.wait(found)
        except Refused as refusal:
            raise CommandError(refusal.message, returncode=REFUSED) from None
        except DatabaseError as error:
            raise CommandError(cause_of(error), returncode=FAILED) from None
        self.show(found, options["format"])
        sys.exit(exit_code(found, options))

    # --- the commands ---

    def start(self, options: dict[str, Any]) -> list[Maintenance]:
        plan = PLANS[options["plan"]]
        chosen = Options(
            reason=options["reason"],
            ticket=options["ticket"],
            starts_at=options["at"],
            until=options["until"],
            move_stopped=options["move_stopped"],
            target=options["target"],
            at_once=options["moves"],
            hosts_at_once=options["hosts_at_once"],
            stop_on_failure=not options["keep_going"],
        )
        checked = preflight(plan, options["host"], chosen)
        if options["format"] == "table" or options["dry_run"]:
            self.show_preflights(plan, checked, options["format"])
        if options["dry_run"]:
            sys.exit(REFUSED if any(one.blockers for one in checked) else 0)
        unconfirmed = [host for host in options["host"] if host not in options["fenced"]]
        if plan.asks_host and unconfirmed:
            raise CommandError(
                f"{plan.caution[0] if plan.caution else ''} "
                f"Confirm it: --fenced {' --fenced '.join(unconfirmed)}",
                returncode=REFUSED,
            )
        return control.start(plan, checked, chosen, actor())

    def status(self, options: dict[str, Any]) -> list[Maintenance]:
        if options["host"]:
            return [latest(options["host"])]
        return list(Maintenance.objects.open())

    def stop(self, options: dict[str, Any]) -> list[Maintenance]:
        maintenance = latest(options["host"])
        control.stop(maintenance, actor())
        return [maintenance]

    def give_back(self, options: dict[str, Any]) -> list[Maintenance]:
        maintenance = latest(options["host"])
        control.give_back(maintenance, actor())
        return [maintenance]

    # --- waiting and showing ---

    def wait(self, maintenances: Sequence[Maintenance]) -> None:
        """Until each has ended or waits for a person; what has lost its worker is queued again."""
        said: dict[int, str] = {}
        while True:
            for maintenance in maintenances:
                maintenance.refresh_from_db()
                if maintenance.return_requested_by and maintenance.state in control.RETURNABLE:
                    continue  # its return has not begun yet
                line = summary(maintenance)
                if said.get(maintenance.pk) != line:
                    said[maintenance.pk] = line
                    self.stderr.write(line)
            if all(is_at_rest(maintenance) for maintenance in maintenances):
                return
            engine.requeue_lost()
            time.sleep(1)

    def show_preflights(self, plan: Plan, checked: Sequence[Preflight], form: str) -> None:
        if form == "json":
            self.stdout.write(json.dumps([preflight_as_dict(one) for one in checked], indent=2))
            return
        for one in checked:
            self.stdout.write(f"{one.host} ({one.facts.cell.name}): {plan.label}")
            lines = [f"blocked: {text}" for text in one.blockers]
            lines += [f"warning: {text}" for text in one.warnings]
            lines += [f"stays: {server.name}: {server.cause}" for server in one.staying]
            lines += [f"will: {text}" for text in one.effects] if not one.blockers else []
            lines += plan.commands(one)
            for line in lines:
                self.stdout.write(printable(f"  {line}"))

    def show(self, maintenances: Sequence[Maintenance], form: str) -> None:
        for maintenance in maintenances:
            maintenance.refresh_from_db()
        if form == "json":
            self.stdout.write(json.dumps([as_dict(one) for one in maintenances], indent=2))
            return
        if form == "csv":
            rows = [record.as_dict(one) for one in maintenances]
            names = list(rows[0]) if rows else []
            write_csv(self.stdout, names, [list(row.values()) for row in rows])
            return
        if not maintenances:
            self.stdout.write("no maintenance is under way")
            return
        if len(maintenances) == 1:
            self.show_one(maintenances[0])
            return
        # What is read by a program, or kept in a file, is not cut to 80 columns.
        width = None if self.stdout.isatty() else 200
        console = Console(file=cast(TextIO, self.stdout), width=width)
        table = Table("host", "cell", "plan", "state", "servers", "reason", "by", "remark")
        for one in maintenances:
            texts = (
                one.host,
                one.cell_name,
                one.get_plan_display(),
                str(one.state_label) + (" (simulated)" if one.simulated else ""),
                progress(one),
                one.disabled_reason,
                one.username,
                one.message,
            )
            table.add_row(*(Text(printable(text)) for text in texts))  # they are no markup
        console.print(table)

    def show_one(self, maintenance: Maintenance) -> None:
        """A maintenance and each of its servers, a line each, so that nothing is cut off."""
        simulated = " (simulated)" if maintenance.simulated else ""
        remark = f": {maintenance.message}" if maintenance.message else ""
        lines = [
            f"{maintenance.host} ({maintenance.cell_name}): {maintenance.get_plan_display()}",
            f"  state:   {maintenance.state_label}{simulated}{remark}",
            f"  servers: {progress(maintenance)} moved",
            f"  reason:  {maintenance.disabled_reason}",
            f"  by:      {maintenance.username}, {maintenance.created_at:%Y-%m-%d %H:%M} UTC",
        ]
        for server in sorted(maintenance.servers.all(), key=lambda one: one.order):
            words = [str(server.fate_label), server.uuid, server.name]
            words += [f"to {server.target}"] if server.target else []
            words += [f"by {server.get_method_display()}"] if server.method else []
            words += [server.request_id] if server.request_id else []
            line = "  ".join(words)
            lines.append(f"  - {line}" + (f": {server.cause}" if server.cause else ""))
        for line in lines:
            self.stdout.write(printable(line))


def actor() -> Actor:
    """Who runs the command."""
    return Actor(username=getpass.getuser(), channel=Channel.COMMAND)


def preflight(plan: Plan, hosts: Sequence[str], options: Options) -> list[Preflight]:
    """What the plan would do to these hosts.  Raises ``Refused``."""
    keys = []
    for host in dict.fromkeys(hosts):
        found = find(ServiceRef(host=host, binary=NOVA_COMPUTE))
        keys.append(key_of(found.cell, found.row))
    services = facts_by_key(keys, plan.decided_by, placement=plan.asks_placement)
    if services.missing:
        raise CommandError(str(services.missing[0]), returncode=REFUSED)
    return preflights(plan, services.facts.values(), options)


def latest(host: str) -> Maintenance:
    """The latest maintenance of a host."""
    found = Maintenance.objects.filter(host=host).first()
    if found is None:
        raise CommandError(f"there has been no maintenance of {host}", returncode=REFUSED)
    return found


def is_at_rest(maintenance: Maintenance) -> bool:
    """Whether nothing happens until a person does something."""
    return maintenance.due_at is None


def progress(maintenance: Maintenance) -> str:
    """How many servers of how many have left the host."""
    found = counts(maintenance.servers.all())
    return f"{found[Fate.MOVED] + found[Fate.GONE]} of {sum(found.values())}"


def summary(maintenance: Maintenance) -> str:
    remark = f": {maintenance.message}" if maintenance.message else ""
    return f"{maintenance.host}: {maintenance.state_label} ({progress(maintenance)}){remark}"


def exit_code(maintenances: Sequence[Maintenance], options: dict[str, Any]) -> int:
    """0 as asked for, else the worst of failed and under way."""
    states = {maintenance.state for maintenance in maintenances}
    wanted = {State.STOPPED} if options["command"] == "stop" else set()
    if states & ({State.FAILED, State.STOPPED} - wanted):
        return FAILED
    is_asked = options["command"] == "status" or options["wait"]
    if is_asked and states - {*GOOD, *wanted}:
        return IN_PROGRESS
    return 0


def preflight_as_dict(preflight: Preflight) -> dict[str, Any]:
    """A preflight for JSON."""
    return {
        "host": preflight.host,
        "cell": preflight.facts.cell.name,
        "blockers": preflight.blockers,
        "warnings": preflight.warnings,
        "effects": preflight.effects,
        "servers": [
            {
                "uuid": server.uuid,
                "name": server.name,
                "vm_state": server.vm_state,
                "method": server.method,
                "cause": server.cause,
            }
            for server in preflight.servers
        ],
    }


def as_dict(maintenance: Maintenance) -> dict[str, Any]:
    """A maintenance with its servers for JSON."""
    servers = [
        {
            "uuid": server.uuid,
            "name": server.name,
            "fate": server.fate,
            "method": server.method,
            "target": server.target,
            "request_id": server.request_id,
            "cause": server.cause,
        }
        for server in maintenance.servers.all()
    ]
    return record.as_dict(maintenance) | {"servers": servers}
