"""Ask the real Nova and the portal the same, and record what Nova says.

Installs Nova from PyPI into an environment of its own, starts it on a PostgreSQL of its own (and
on MariaDB where one answers), fills its databases with the fleet, attaches the portal to the same
databases, and sends both the catalogue and a seeded random stream of requests.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pymysql
from django.conf import settings
from django.core.management import call_command

from cells.databases import register
from tests.conformance import fleet, recording
from tests.conformance.asking import ask
from tests.conformance.catalogue import catalogue
from tests.conformance.comparison import Report
from tests.conformance.differences import judge
from tests.conformance.messages import Answer, OverHTTP, Request, Server
from tests.conformance.nova import CELLS, SERVICE_DOWN_TIME, Databases, Nova, mysql, postgresql
from tests.conformance.portal import portal
from tests.conformance.recording import Recorded
from tests.conformance.stream import stream
from tests.engines import MySQL, database, forget_connections

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = ROOT / "var" / "conformance"
PORT = 28900


#: Nova's answer and ours to each request, in their order.
Answers = list[tuple[Answer, Answer]]


def main() -> int:
    """The command; 1 when anything differs that is not meant to."""
    arguments = _arguments()
    logging.disable(logging.CRITICAL)  # refusals are what is asked for here
    HOME.mkdir(parents=True, exist_ok=True)
    rows = fleet.build()
    known = [one for one in catalogue(rows) if arguments.only in f"{one.endpoint} {one.name}"]
    random = list(stream(rows, arguments.seed, arguments.n))
    answers = {
        databases.engine: _Both(databases, rows).ask(known + random)
        for databases in _databases(arguments.engine)
    }
    recorded = _merge(known + random, answers)
    if not arguments.only and not arguments.engine:
        fleet.save(rows)
        recording.write(recorded[: len(known)])
    report = "\n\n".join(
        f"### {what}, {engine}\n\n{_report(recorded[part], pairs[part], engine)}"
        for engine, pairs in answers.items()
        for what, part in (
            ("The catalogue", slice(len(known))),
            (f"{arguments.n} random requests (seed {arguments.seed})", slice(len(known), None)),
        )
    )
    print(report)
    return 1 if "\n    " in report else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the random stream")
    parser.add_argument("--n", type=int, default=1000, help="random requests to send")
    parser.add_argument("--engine", choices=("postgresql", "mysql"), help="only this one")
    parser.add_argument(
        "--only", default="", help="of the catalogue only requests with this text in their name"
    )
    return parser.parse_args()


def _databases(engine: str | None) -> Iterable[Databases]:
    if engine in (None, "postgresql"):
        yield postgresql(HOME)
    if engine in (None, "mysql"):
        url = os.environ.get("TEST_MYSQL_URL") or MySQL.DEFAULT_URL
        server = mysql(url)
        try:
            server.connect().close()
        except pymysql.Error as error:
            print(f"MariaDB: not asked, {error.args[-1]}")
        else:
            yield server


class _Both:
    """Nova and the portal on the same databases."""

    def __init__(self, databases: Databases, rows: fleet.Rows) -> None:
        self.nova = Nova(HOME, databases)
        self.databases = databases
        self.world = fleet.World(rows)

    def ask(self, requests: list[Request]) -> Answers:
        """Both answers to each request."""
        self.nova.install()
        self.nova.configure()
        self.nova.create_schema()
        with tempfile.TemporaryDirectory() as directory:
            forget_connections()
            register("default", database(f"sqlite:///{directory}/portal.sqlite3"))
            register("api", database(self.databases.url("api")))
            call_command("migrate", database="default", verbosity=0)
            self.world.map_cells({name: self.databases.url(name) for name in CELLS})
            settings.SERVICE_DOWN_TIME = SERVICE_DOWN_TIME
            portal_side = portal()
            self.world.fill()
            with self.nova.running(PORT) as address:
                self.world.fill()  # again: Nova has added a row for itself
                nova = self._answers("nova-api", OverHTTP(address), requests, threads=4)
            ours = self._answers("portal", portal_side, requests, threads=1)
            forget_connections()
        return list(zip(nova, ours, strict=True))

    def _answers(
        self, who: str, server: Server, requests: list[Request], threads: int
    ) -> list[Answer]:
        began = time.monotonic()
        # Those that write last: the others can be sent side by side.
        order = sorted(range(len(requests)), key=lambda index: requests[index].writes)
        answers: dict[int, Answer] = {}
        asking = ask(server, [requests[index] for index in order], self.world, threads)
        for index, (_, answer) in zip(order, asking, strict=True):
            answers[index] = answer
            if sys.stderr.isatty() and not len(answers) % 50:
                print(f"\r{who}: {len(answers)} of {len(requests)} ", end="", file=sys.stderr)
        seconds = time.monotonic() - began
        print(
            f"\r{self.databases.engine}: {who} answered {len(answers)} in {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        return [answers[index] for index in range(len(requests))]


def _merge(requests: list[Request], answers: dict[str, Answers]) -> list[Recorded]:
    """Nova's answers: on PostgreSQL, and on MariaDB where it differs."""
    first, *others = answers.values()
    recorded = [Recorded(request, nova) for request, (nova, _) in zip(requests, first, strict=True)]
    for other in others:
        for one, (nova, _) in zip(recorded, other, strict=True):
            if nova != one.answer:
                one.on_mysql = nova
    return recorded


def _report(recorded: list[Recorded], answers: Answers, engine: str) -> str:
    report = Report()
    for one, (_, ours) in zip(recorded, answers, strict=True):
        report.add(one.request, judge(one, ours, engine=engine))
    found = [
        f"{verdict.kind}: {request.name[:300]}\n    {verdict.why[:600]}"
        for request, verdict in report.found
    ]
    return "\n".join([report.tables(), "", *found])
