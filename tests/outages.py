"""Databases fail in every way, one after the other, while clients read and write.

``python -m tests.outages [--engine mysql] [--seconds 6] [--only NAME ...]`` serves a portal with
two workers whose cells, API database and own database are on PostgreSQL or MariaDB, each behind a
proxy, and prints for each fault how the clients fared, and how soon all was well again.

No request may take longer than its deadline and a second, nor end in a 500; requests that do not
need what fails are to take no longer than 1.2 times as long as before (the median; on a machine
that is busy this says little); all is to be well again within 15 seconds; and the log is not to
grow by more than 1 MB in an hour, access lines aside.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connections  # noqa: E402

from cells.models import CellMapping  # noqa: E402
from hypervisors.models import ComputeNode  # noqa: E402
from portal.models import ApiToken  # noqa: E402
from services.models import Service  # noqa: E402
from tests.clouds import Cloud, fresh_cloud  # noqa: E402
from tests.commands import environment  # noqa: E402
from tests.engines import ENGINES, Engine, empty, forget_connections  # noqa: E402
from tests.servers import Proxy, free_port, serve  # noqa: E402

#: The portal's own defaults, in seconds.
CELL_DEADLINE, ACTION_DEADLINE = 2.0, 5.0
RECOVERY = 15.0
HOSTS = 30

Do = tuple[str, str, Any]  # method, path, body


@dataclass
class Fared:
    """The answers to one kind of request: their statuses, and how long each took."""

    deadline: float
    answers: list[tuple[int, float]] = field(default_factory=list)

    def median(self) -> float:
        return statistics.median(taken for _status, taken in self.answers) if self.answers else 0.0

    def slowest(self) -> float:
        return max((taken for _status, taken in self.answers), default=0.0)

    def statuses(self) -> dict[int, int]:
        found = [status for status, _taken in self.answers]
        return {status: found.count(status) for status in sorted(set(found))}


class Load:
    """A client for each kind of request, which asks again when it has been answered."""

    def __init__(self, port: int, token: str, kinds: dict[str, tuple[Do, float]]) -> None:
        self.port, self.token, self.kinds = port, token, kinds
        self.fared: dict[str, Fared] = {}

    def ask(self, do: Do) -> tuple[int, dict[str, str], bytes]:
        method, path, body = do
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={
                    "X-Auth-Token": self.token,
                    "OpenStack-API-Version": "compute 2.53",
                    "Content-Type": "application/json",
                },
            )
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()
        finally:
            connection.close()

    @contextmanager
    def running(self) -> Iterator[dict[str, Fared]]:
        """Ask until the end of the block."""
        over = threading.Event()
        self.fared = {kind: Fared(deadline) for kind, (_do, deadline) in self.kinds.items()}

        def run(kind: str, do: Do) -> None:
            while not over.is_set():
                began = time.monotonic()
                try:
                    status = self.ask(do)[0]
                except OSError:
                    status = 0
                self.fared[kind].answers.append((status, time.monotonic() - began))
                over.wait(0.02)

        threads = [
            threading.Thread(target=run, args=(kind, do)) for kind, (do, _) in self.kinds.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield self.fared
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def is_well(self) -> bool:
        """Whether nothing is missing, and changes are possible."""
        with suppress(OSError):
            listed, changed = (self.ask(self.kinds[kind][0]) for kind in ("list", "change other"))
            return listed[0] == changed[0] == 200 and "Warning" not in listed[1]
        return False


@dataclass
class Fault:
    """What is done to which database, and what mends it again."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    #: The kinds of request that need what fails.
    needing: tuple[str, ...]


OF_CELL = ("list", "change other")
OF_PORTAL = ("change", "change other")


def faults(engine: Engine, cloud: Cloud, proxies: dict[str, Proxy]) -> Iterator[Fault]:
    def point(url: str) -> Callable[[], None]:
        def do() -> None:
            mapping = CellMapping.objects.filter(uuid=cloud.cell("cell2").uuid)
            mapping.update(database_connection=url)

        return do

    def read_only(setting: str) -> Callable[[], None]:
        def do() -> None:
            with connections[cloud.cell("cell1").alias].cursor() as cursor:
                cursor.execute(
                    f"ALTER DATABASE cell2 SET default_transaction_read_only = {setting}"
                )
            cell.cut()  # it holds for new connections

        return do

    scheme, rest = engine.urls["cell2"].split("://")
    where = rest.rpartition("@")[2]
    cell = proxies["cell2"]
    through = cloud_url(engine, "cell2", cell)
    other = engine.urls["api"]
    nobody = f"{scheme}://nobody:wrong@{where}"
    refusing = f"{scheme}://nova:secret@127.0.0.1:{free_port()}/nova"

    def slow(seconds: float) -> Callable[[], None]:
        return lambda: setattr(cell, "delay", seconds)

    yield Fault("a cell hangs", cell.hang, cell.go_on, OF_CELL)
    yield Fault("a cell refuses", point(refusing), point(through), OF_CELL)
    yield Fault("a cell cuts its answers", cell.cut_answers, cell.go_on, OF_CELL)
    yield Fault("a cell takes 0.25 s for each answer", slow(0.25), slow(0), OF_CELL)
    yield Fault("a cell takes 0.8 s for each answer", slow(0.8), slow(0), OF_CELL)
    yield Fault("a cell knows no such user", point(nobody), point(through), OF_CELL)
    yield Fault("a cell has another schema", point(other), point(through), OF_CELL)
    if engine.name == "postgresql":
        yield Fault("a cell is read-only", read_only("on"), read_only("off"), OF_CELL)
    for alias, needing in (("api", ()), ("default", OF_PORTAL)):
        proxy = proxies[alias]
        yield Fault(f"{alias} hangs", proxy.hang, proxy.go_on, needing)
        yield Fault(f"{alias} cuts its answers", proxy.cut_answers, proxy.go_on, needing)


def cloud_url(engine: Engine, name: str, proxy: Proxy) -> str:
    proxied = engine.proxied if name.startswith("cell") else engine.proxied_own
    return proxied(name)[1].format(port=proxy.port)


def size_of(log: Path) -> int:
    """Characters of the log, access lines aside."""
    return sum(
        len(line) for line in log.open(errors="replace") if " INFO portal.access" not in line
    )


def judge(fault: Fault, before: dict[str, Fared], during: dict[str, Fared]) -> list[str]:
    wrong: list[str] = []
    for kind, fared in during.items():
        allowed = {200, 503} if kind in fault.needing else {200}
        if others := {s: n for s, n in fared.statuses().items() if s not in allowed}:
            wrong.append(f"{kind}: {others}")
        if fared.slowest() > fared.deadline + 1:
            wrong.append(f"{kind}: {fared.slowest():.1f} s")
        ratio = fared.median() / before[kind].median()
        if kind not in fault.needing and ratio > 1.2:
            wrong.append(f"{kind}: {ratio:.2f} times as long as before")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="postgresql", choices=("postgresql", "mysql"))
    parser.add_argument("--seconds", type=float, default=6, help="how long each fault lasts")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="parts of names")
    options = parser.parse_args()
    engine = ENGINES[options.engine]()
    with ExitStack() as stack:
        engine.create()
        stack.callback(engine.drop)
        stack.callback(forget_connections)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outages-")))
        proxies = {
            name: stack.enter_context(
                Proxy((engine.proxied if name == "cell2" else engine.proxied_own)(name)[0])
            )
            for name in ("cell2", "api", "default")
        }
        engine.activate()
        empty("default")
        cloud = fresh_cloud(engine)
        for number in range(HOSTS):
            for name in ("cell1", "cell2", "cell3"):
                cloud.host(name, f"{name}-host{number}")
        mapping = CellMapping.objects.filter(uuid=cloud.cell("cell2").uuid)
        mapping.update(database_connection=cloud_url(engine, "cell2", proxies["cell2"]))
        token = ApiToken.objects.issue(User.objects.create_superuser("judge"))[1]
        first, second = (
            Service.objects.using(cloud.cell(name).alias).earliest("id").uuid
            for name in ("cell1", "cell2")
        )
        node = ComputeNode.objects.using(cloud.cell("cell1").alias).earliest("id").uuid
        kinds: dict[str, tuple[Do, float]] = {
            "list": (("GET", "/v2.1/os-services", None), CELL_DEADLINE),
            "show": (("GET", f"/v2.1/os-hypervisors/{node}", None), CELL_DEADLINE),
            "change": (
                ("PUT", f"/v2.1/os-services/{first}", {"status": "disabled"}),
                ACTION_DEADLINE,
            ),
            "change other": (
                ("PUT", f"/v2.1/os-services/{second}", {"status": "disabled"}),
                ACTION_DEADLINE + CELL_DEADLINE,  # it is looked for first
            ),
        }
        settings = environment(
            NOVA_API_DATABASE_URL=cloud_url(engine, "api", proxies["api"]),
            DATABASE_URL=cloud_url(engine, "default", proxies["default"]),
            CELL_MAPPINGS_TTL="1",
            VAR_DIR=str(folder),
        )
        log = folder / "log"
        served = serve(settings, log, "--workers", "2", "--threads", "8")
        server = stack.enter_context(served)
        load = Load(int(server.url.rpartition(":")[2]), token, kinds)
        for _ in range(20):  # every thread connects
            load.is_well()
        failed = False
        for fault in faults(engine, cloud, proxies):
            if options.only and not any(part in fault.name for part in options.only):
                continue
            with load.running():
                time.sleep(options.seconds / 2)
            before = load.fared
            size = size_of(log)
            with load.running():
                fault.begin()
                time.sleep(options.seconds)
            during = load.fared
            fault.end()
            ended = time.monotonic()
            while not load.is_well() and time.monotonic() < ended + 4 * RECOVERY:
                time.sleep(0.2)
            recovery = time.monotonic() - ended
            grown = (size_of(log) - size) / options.seconds * 3600
            wrong = judge(fault, before, during)
            if recovery > RECOVERY:
                wrong.append(f"well again after {recovery:.0f} s")
            if grown > 1e6 and size_of(log) - size > 20_000:  # more than the lines of a beginning
                wrong.append(f"{grown / 1e6:.1f} MB of log in an hour")
            failed |= bool(wrong)
            print(
                f"{fault.name}: well again after {recovery:.1f} s, {size_of(log) - size} B of log"
            )
            for kind, fared in during.items():
                ratio = fared.median() / before[kind].median()
                print(
                    f"  {kind}: {fared.statuses()}, median x {ratio:.2f}, "
                    f"slowest {fared.slowest():.2f} s"
                )
            print("".join(f"  WRONG: {line}\n" for line in wrong), end="", flush=True)
        if failed:
            print(log.read_text(errors="replace")[-6000:])
    return failed


if __name__ == "__main__":
    sys.exit(main())
