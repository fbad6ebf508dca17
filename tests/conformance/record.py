"""Send the real Nova and the portal the same requests, and record Nova's answers.

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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pymysql
from django.conf import settings
from django.core.management import call_command

from cells.databases import register
from tests.conformance import document, fleet, recording, samples
from tests.conformance.asking import ask
from tests.conformance.catalogue import catalogue
from tests.conformance.comparison import Kind, Report, compare
from tests.conformance.differences import in_order, judge
from tests.conformance.messages import Answer, OverHTTP, Request, Server
from tests.conformance.nova import CELLS, SERVICE_DOWN_TIME, Databases, Nova, mysql, postgresql
from tests.conformance.portal import portal
from tests.conformance.recording import Recorded
from tests.conformance.states import STATES
from tests.conformance.stream import stream
from tests.engines import MySQL, database, forget_connections

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = ROOT / "var" / "conformance"
PORT = 28900
ENGINE_NAMES = {"postgresql": "PostgreSQL", "mysql": "MariaDB"}

#: Nova's answer and ours to each request, in their order.
Answers = list[tuple[Answer, Answer]]


def main() -> int:
    """The command; returns 1 if there are unexpected differences."""
    arguments = _arguments()
    logging.disable(logging.CRITICAL)  # most requests are refused on purpose
    HOME.mkdir(parents=True, exist_ok=True)
    if arguments.new_fleet:
        fleet.save(fleet.build())
    rows = fleet.load()
    whole = catalogue(rows) if arguments.what != "stream" else []
    kept = _recorded() if arguments.new else {}
    known = [
        request
        for request in whole
        if request.key not in kept and arguments.only in f"{request.endpoint} {request.name}"
    ]
    count = arguments.n if arguments.what != "catalogue" else 0
    random = list(stream(rows, arguments.seed, count))
    answers = {
        databases.engine: _Both(databases, rows).ask(known + random)
        for databases in _databases(arguments.engine)
    }
    recorded = _merge(known + random, answers)
    records = "postgresql" in answers and not arguments.only
    faults = 0
    for name, title, part in (
        ("catalogue", "The catalogue", slice(len(known))),
        ("stream", f"{count} random requests, seed {arguments.seed}", slice(len(known), None)),
    ):
        if not recorded[part]:
            continue
        tables = []
        for engine, pairs in answers.items():
            report = _report(recorded[part], pairs[part], engine)
            tables.append(f"### {title}: {ENGINE_NAMES[engine]}\n\n{report.tables()}")
            print(f"\n{tables[-1]}\n")
            for request, verdict in report.found:
                print(f"{verdict.kind}: {request.name[:300]}\n    {verdict.why[:600]}")
            faults += len(report.found)
        if records and not arguments.new:
            document.replace_part(name, "\n\n".join(tables))
    if whole and records:
        if "mysql" not in answers:
            _keep_mysql(recorded)
        kept |= {entry.request.key: entry for entry in recorded[: len(known)]}
        recording.write(kept[request.key] for request in whole)
        samples.write(rows, kept.values())
    document.replace_part("differences", document.deliberate_differences())
    return 1 if faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "catalogue", "stream"), default="all")
    parser.add_argument("--seed", type=int, default=1, help="of the random stream")
    parser.add_argument("--n", type=int, default=1000, help="random requests to send")
    parser.add_argument("--engine", choices=("postgresql", "mysql"), help="only on this engine")
    parser.add_argument(
        "--new", action="store_true", help="of the catalogue only what has no recorded answer yet"
    )
    parser.add_argument(
        "--new-fleet", action="store_true", help="begin with a new fleet, made from the demo"
    )
    parser.add_argument(
        "--only", default="", help="of the catalogue only requests with this text in their name"
    )
    return parser.parse_args()


def _recorded() -> dict[tuple[str, str], Recorded]:
    """The recorded answers by the key of the request."""
    return {
        entry.request.key: entry for path in recording.files() for entry in recording.read(path)
    }


def _keep_mysql(recorded: list[Recorded]) -> None:
    """Keep MariaDB's answers as they were last recorded."""
    before = _recorded()
    for entry in recorded:
        if (known := before.get(entry.request.key)) is not None:
            entry.on_mysql = known.on_mysql


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
        by_state: dict[Any, list[int]] = {None: []}
        for index, request in enumerate(requests):
            by_state.setdefault(STATES.get(request.state), []).append(index)
        pairs: dict[int, tuple[Answer, Answer]] = {}
        with tempfile.TemporaryDirectory() as directory:
            forget_connections()
            register("default", database(f"sqlite:///{directory}/portal.sqlite3"))
            register("api", database(self.databases.url("api")))
            call_command("migrate", database="default", verbosity=0)
            for state, indexes in by_state.items():
                # Writes last: reads can be sent concurrently.
                indexes.sort(key=lambda index: requests[index].writes)
                some = [requests[index] for index in indexes]
                pairs |= zip(indexes, self._ask_in(state, some), strict=True)
                forget_connections()
        return [pairs[index] for index in range(len(requests))]

    def _ask_in(self, state: Callable[[], None] | None, requests: list[Request]) -> Answers:
        settings.SERVICE_DOWN_TIME = SERVICE_DOWN_TIME
        self.world.map_cells({name: self.databases.url(name) for name in CELLS})
        self.world.fill()
        if state is not None:
            state()
        with self.nova.running(PORT) as address:
            if state is None:
                self.world.fill()  # again, because Nova has added a row for itself
            nova = self._answers("nova-api", OverHTTP(address), requests, threads=4)
        return list(zip(nova, self._answers("portal", portal(), requests, 1), strict=True))

    def _answers(
        self, who: str, server: Server, requests: list[Request], threads: int
    ) -> list[Answer]:
        began = time.monotonic()
        answers = []
        for _, answer in ask(server, requests, self.world, threads):
            answers.append(answer)
            if sys.stderr.isatty() and not len(answers) % 50:
                print(f"\r{who}: {len(answers)} of {len(requests)} ", end="", file=sys.stderr)
        seconds = time.monotonic() - began
        print(
            f"\r{self.databases.engine}: {who} answered {len(answers)} in {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        return answers


def _merge(requests: list[Request], answers: dict[str, Answers]) -> list[Recorded]:
    """Nova's answers: on PostgreSQL, and on MariaDB where it differs."""
    first, *others = answers.values()
    recorded = [Recorded(request, nova) for request, (nova, _) in zip(requests, first, strict=True)]
    for other in others:
        for entry, (nova, _) in zip(recorded, other, strict=True):
            ordered = in_order(entry.answer), in_order(nova)
            if compare(*ordered).kind is not Kind.IDENTICAL:
                entry.on_mysql = nova
    return recorded


def _report(recorded: list[Recorded], answers: Answers, engine: str) -> Report:
    report = Report()
    for entry, (_, ours) in zip(recorded, answers, strict=True):
        report.add(entry.request, judge(entry, ours, engine=engine))
    return report
