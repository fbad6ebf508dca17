"""What else the portal costs: far cells, memory, backfill, start, idling, a hung cell, scrapes.

``python -m bench.costs [NAME ...]``: some of ``far``, ``memory``, ``backfill``, ``start``,
``idle``, ``hung``, ``scrape`` and ``put``, or all of them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path

import psutil

from bench import nova
from bench.far import cells_far_away
from bench.fleet import ROOT, SERVERS, WORKERS, Fleet, Served, connect, fleet, wait_for
from bench.measuring import Client, load, seconds
from tests.servers import SilentServer, free_port

#: Seconds to a far cell and back.
ROUND_TRIP = 0.02
#: Of ``services.backfill``, and of the loop that it is compared with.
BATCH_SIZE = 500


def far(engine: str) -> None:
    """20 cells of 1,000 hosts, each 20 ms away: the round trips that a request waits for."""
    with fleet(engine, 20, 1000) as made:
        uuids = _uuids_of(made, "cell20")
        with made.served(free_port()) as portal:
            near = _answer_times(Client(portal.port, portal.token), uuids)
        with cells_far_away(made.api_url, ROUND_TRIP), made.served(free_port()) as portal:
            away = _answer_times(Client(portal.port, portal.token), uuids)
    for title, taken in away.items():
        trips = (taken - near[title]) / ROUND_TRIP
        print(
            f"{title}: {1000 * near[title]:.0f} ms, {1000 * taken:.0f} ms with cells "
            f"{1000 * ROUND_TRIP:.0f} ms away: {trips:.1f} round trips",
            flush=True,
        )


def _answer_times(client: Client, uuids: "cycle[str]") -> dict[str, float]:
    """Seconds, medians of nine, once each cell has connections."""
    for _ in range(3):
        client.get("/os-services")
    known = next(uuids)
    client.get(f"/os-hypervisors/{known}")
    paths: dict[str, Callable[[], str]] = {
        "all services": lambda: "/os-services",
        "a page of 100": lambda: "/os-hypervisors/detail?limit=100",
        "a uuid first seen": lambda: f"/os-hypervisors/{next(uuids)}",
        "a uuid known": lambda: f"/os-hypervisors/{known}",
    }
    return {
        title: statistics.median(seconds(lambda: client.get(path())) for _ in range(9))  # noqa: B023
        for title, path in paths.items()
    }


def _uuids_of(made: Fleet, cell: str) -> "cycle[str]":
    with closing(connect(made.template.replace("{name}", cell))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT uuid FROM compute_nodes WHERE deleted = 0 ORDER BY id LIMIT 900")
        return cycle([uuid for (uuid,) in cursor.fetchall()])


def memory(engine: str) -> None:
    """100 cells of 1,000 hosts: the memory of a worker that has listed 100,000 services."""
    with fleet(engine, 100, 1000) as made, made.served(free_port()) as portal:
        client = Client(portal.port, portal.token)
        worker = _worker_of(portal)
        client.get("/os-hypervisors/detail?limit=1000")
        before = worker.memory_info().rss
        size = len(client.get("/os-services"))
        peak = _peak_of(worker)
        for _ in range(4):
            client.get("/os-services")
        peak_of_five = _peak_of(worker)
        time.sleep(3)  # the worker looks every second what it can give back
        after = worker.memory_info().rss
        print(f"memory: {before / 2**20:.0f} MiB, and of an answer of {size / 2**20:.1f} MiB:")
        for what, much in (
            ("peak of the first", peak - before),
            ("peak of five", peak_of_five - before),
            ("afterwards", after - before),
        ):
            more = f"{much / 2**20:.0f} MiB more, {much / size:.2f} times the answer"
            print(f"  {what}: {more}", flush=True)


def _worker_of(portal: Served) -> psutil.Process:
    [worker] = psutil.Process(portal.pid).children()
    return worker


def _peak_of(process: psutil.Process) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(line.split()[1])


def backfill(engine: str, rows: int = 1_000_000) -> None:
    """A cell with so many services without a uuid: the command, and one bare ``UPDATE`` loop."""
    with fleet(engine, 1, 10) as made:
        cell = made.template.replace("{name}", "cell1")
        numbers = {"postgresql": f"generate_series(1, {rows}) AS n",
                   "mysql": f"(SELECT seq AS n FROM seq_1_to_{rows}) AS n"}[engine]  # fmt: skip
        host = {"postgresql": "'h' || n", "mysql": "concat('h', n)"}[engine]
        with closing(connect(cell)) as connection, connection.cursor() as cursor:
            cursor.execute(
                'INSERT INTO services (host, "binary", topic, report_count, disabled, forced_down, '
                "version, deleted) "
                f"SELECT {host}, 'nova-compute', 'compute', 0, false, false, 60, 0 FROM {numbers}"
            )
            loop = seconds(lambda: _update_loop(connection, engine))
            cursor.execute("UPDATE services SET uuid = NULL WHERE host LIKE 'h%'")
            if engine == "postgresql":
                cursor.execute("VACUUM FULL ANALYZE services")
        start = seconds(lambda: made.manage("check"))
        options = ("backfill_service_uuids", f"--batch-size={BATCH_SIZE}")
        command = seconds(lambda: made.manage(*options)) - start
        print(
            f"backfill of {rows:,} rows, {BATCH_SIZE} at a time: {command:.0f} s, "
            f"{rows / command:,.0f} rows/s; a bare loop {loop:.0f} s: {command / loop:.2f} times",
            flush=True,
        )


def _update_loop(connection: object, engine: str) -> None:
    """Give every service a uuid, in batches, one statement each."""
    value = {"postgresql": "gen_random_uuid()::text", "mysql": "uuid()"}[engine]
    with connection.cursor() as cursor:  # type: ignore[attr-defined]
        done = 1
        while done:
            rows = f"SELECT id FROM services WHERE uuid IS NULL AND deleted = 0 LIMIT {BATCH_SIZE}"
            cursor.execute(
                f"UPDATE services SET uuid = {value} WHERE id IN (SELECT id FROM ({rows}) AS t)"
            )
            done = cursor.rowcount


def start(engine: str) -> None:
    """100 cells: from the start of gunicorn to the first answer, and with a bare Django."""
    with fleet(engine, 100, 10) as made:

        def first_answer(application: str) -> float:
            port = free_port()
            began = time.perf_counter()
            with made.served(port, application=application) as portal:
                Client(port, portal.token).get("/os-services")
                return time.perf_counter() - began

        pairs = [[first_answer(each) for each in ("portal.wsgi", "bench.bare")] for _ in range(6)]
        ours, bare = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
        ratio = statistics.median(a / b for a, b in pairs[1:])
        print(
            f"start, and a list of 100 cells: {ours:.2f} s; bare Django, and a view: {bare:.2f} s: "
            f"{ratio:.2f} times as long",
            flush=True,
        )


def idle(engine: str, lasting: float = 30) -> None:
    """``make run``, the demo: the CPU that all its processes use while nobody asks anything."""
    del engine  # SQLite
    with tempfile.TemporaryDirectory() as var:
        port = free_port()
        environment = os.environ | {"VAR_DIR": var, "PORT": str(port)}
        environment.pop("NOVA_API_DATABASE_URL", None)
        server = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(port)
            time.sleep(5)
            began = _cpu_of(server.pid)
            time.sleep(lasting)
            ended = _cpu_of(server.pid)
        finally:
            server.terminate()
            server.wait()
    for name, used in ended.items():
        share = (used - began.get(name, 0)) / lasting
        print(f"idle: {name}: {share:.2%} of a core", flush=True)


def _cpu_of(pid: int) -> dict[str, float]:
    """Seconds of CPU of a process and its children: of gunicorn, and of the demo's heartbeats."""
    used: dict[str, float] = {"gunicorn and its workers": 0.0, "heartbeats of the demo": 0.0}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            is_demo = "heartbeat" in process.cmdline()
            name = "heartbeats of the demo" if is_demo else "gunicorn and its workers"
            used[name] += times.user + times.system
    return used


@contextmanager
def one_hanging(made: Fleet, engine: str) -> Iterator[None]:
    """The fleet with a cell whose server accepts connections and never answers."""
    scheme = {"postgresql": "postgresql://postgres@", "mysql": "mysql://root@"}[engine]
    with SilentServer() as silent, closing(connect(made.api_url)) as connection:
        connection.cursor().execute(
            "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell5'",
            (f"{scheme}127.0.0.1:{silent.port}/hangs",),
        )
        yield


def scrape(engine: str) -> None:
    """100 cells of 1,000 hosts: scrapes of ``/metrics``, and with a hung cell."""
    how = {"CELL_DEADLINE": "2", "CELL_MAPPINGS_TTL": "1"}
    with (
        fleet(engine, 100, 1000) as made,
        made.served(free_port(), **how) as portal,  # type: ignore[arg-type]
    ):
        print(f"scrapes: {_scrapes(portal)}", flush=True)
        with one_hanging(made, engine):
            print(f"scrapes with a cell that hangs: {_scrapes(portal)}", flush=True)


def _scrapes(portal: Served) -> str:
    """12 of them, so far apart that what hosts are labelled with is read anew for each."""
    taken, size = [], 0
    for _ in range(12):
        began = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{portal.port}/metrics") as answer:
            size = len(answer.read())
        taken.append(time.perf_counter() - began)
        time.sleep(4)
    first, median, slowest = taken[0], statistics.median(taken), max(taken)
    return (
        f"{size / 2**20:.1f} MiB, first {1000 * first:.0f} ms, median {1000 * median:.0f} ms, "
        f"slowest {1000 * slowest:.0f} ms"
    )


def hung(engine: str) -> None:
    """10 cells, of which one hangs, two workers: how often somebody waits for its deadline."""
    how = {"CELL_DEADLINE": "2", "CELL_MAPPINGS_TTL": "1"}
    with (
        fleet(engine, 10, 200) as made,
        made.served(free_port(), workers=WORKERS, **how) as portal,  # type: ignore[arg-type]
    ):
        path = "/os-services?host=none"
        all_well = load(lambda _: _asking(portal, path), lasting=6)
        with one_hanging(made, engine):
            slow: list[float] = []
            with_hung = load(lambda _: _asking(portal, path, slow), lasting=20)
        print(
            f"10 cells: {all_well}; one of them hangs: {with_hung}; of the requests of 20 s "
            f"{len(slow)} took over a second",
            flush=True,
        )


def _asking(portal: Served, path: str, slow: list[float] | None = None) -> Callable[[], bytes]:
    client = Client(portal.port, portal.token)

    def ask() -> bytes:
        began = time.perf_counter()
        client.connection.request("GET", f"/v2.1{path}", headers=client.headers)
        body = client.connection.getresponse().read()
        if slow is not None and (taken := time.perf_counter() - began) > 1:
            slow.append(taken)
        return body

    return ask


def put(engine: str) -> None:
    """Disable and enable, with audit and outbox: requests a second of two processes."""
    with fleet(engine, 10, 100) as made, made.served(free_port(), workers=WORKERS) as portal:
        print(f"PUT, 8 connections: {nova.puts(portal, Client(portal.port, portal.token))}")


COSTS: dict[str, Callable[[str], None]] = {
    each.__name__: each for each in (far, memory, backfill, start, idle, hung, scrape, put)
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*COSTS, []], default=list(COSTS))
    parser.add_argument("--engine", choices=SERVERS, default="postgresql")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the backfill")
    options = parser.parse_args()
    costs = COSTS | {"backfill": partial(backfill, rows=options.rows)}
    for name in options.what:
        costs[name](options.engine)


if __name__ == "__main__":
    main()
