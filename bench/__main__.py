"""Full authenticated HTTP requests of the portal against the floor, in a single run.

``python -m bench [--cells 20] [--hosts-per-cell 1000] [--rounds 15] [--port 8779]``

The floor is the same answer made by a plain script over the same databases (``bench.floor``).
"""

import argparse
import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.fleet import DOWN_TIME, Served, served
from bench.floor import Floor

NOWHERE = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Question:
    """A request, what makes the same answer at the floor, and the key of its rows (if any)."""

    title: str
    path: str
    floor: Callable[[], bytes]
    key: str = ""
    status: int = 200


class Client:
    """A connection to the portal that is kept."""

    def __init__(self, portal: Served) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", portal.port)
        self.headers = {"X-Auth-Token": portal.token, "OpenStack-API-Version": "compute 2.53"}

    def get(self, path: str, status: int = 200) -> bytes:
        """GET ``path`` at 2.53 with a token; the body."""
        self.connection.request("GET", f"/v2.1{path}", headers=self.headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != status or "Warning" in response.headers:
            raise SystemExit(f"{path}: {response.status} {response.headers.get('Warning', '')}")
        return body


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def same(question: Question, client: Client) -> int:
    """The number of rows in both answers; exits if they differ."""
    ours = client.get(question.path, question.status)
    if question.status != 200:
        return 0
    answers: list[Any] = [json.loads(body) for body in (question.floor(), ours)]
    if question.key:
        answers = [sorted(each[question.key], key=lambda row: row["id"]) for each in answers]
        for rows in answers:
            for row in rows:
                row.pop("servers", None)
    if answers[0] != answers[1]:
        raise SystemExit(f"the floor and the portal differ: {question.title}")
    return len(answers[0]) if question.key else 1


def questions(floor: Floor, client: Client) -> list[Question]:
    """What is asked; names and uuids are taken from the last hypervisor of the second cell."""
    listed = json.loads(client.get("/os-hypervisors?limit=1000"))["hypervisors"]
    uuid, name = listed[-1]["id"], listed[-1]["hypervisor_hostname"]
    host = json.loads(client.get(f"/os-hypervisors/{uuid}"))["hypervisor"]["service"]["host"]
    number = floor.cell_of(uuid)
    return [
        Question("one hypervisor by uuid", f"/os-hypervisors/{uuid}",
                 lambda: floor.show(uuid, number)),
        Question("a uuid that is nowhere", f"/os-hypervisors/{NOWHERE}",
                 lambda: floor.nowhere(NOWHERE), status=404),
        Question("hypervisors by name", f"/os-hypervisors?hypervisor_hostname_pattern={name}",
                 lambda: floor.named(name), key="hypervisors"),
        Question("services of one host", f"/os-services?host={host}",
                 lambda: floor.services(host), key="services"),
        Question("statistics", "/os-hypervisors/statistics", floor.statistics),
        Question("details of 1,000 hypervisors", "/os-hypervisors/detail?limit=1000",
                 lambda: floor.details(1000), key="hypervisors"),
        Question("all services", "/os-services", floor.services, key="services"),
    ]  # fmt: skip


def per_second(portal: Served, path: str, connections: int = 8, lasting: float = 4) -> float:
    """Requests a second, of so many connections at once."""
    counts = [0] * connections
    until = time.perf_counter() + lasting

    def work(number: int) -> None:
        client = Client(portal)
        while time.perf_counter() < until:
            client.get(path)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / lasting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--hosts-per-cell", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--port", type=int, default=8779)
    options = parser.parse_args()
    print(f"making {options.cells} cells x {options.hosts_per_cell} hosts ...", flush=True)
    with served(options.cells, options.hosts_per_cell, options.port) as portal:
        floor = Floor(portal.api_url, DOWN_TIME)
        client = Client(portal)
        print(f"{'':32}{'rows':>8}{'floor ms':>10}{'portal ms':>11}{'ratio':>8}{'worst':>8}")
        asked = questions(floor, client)
        for question in asked:
            rows = same(question, client)
            whole = partial(client.get, question.path, question.status)
            pairs = [(seconds(question.floor), seconds(whole)) for _ in range(options.rounds)]
            ratios = [above / least for least, above in pairs]
            print(
                f"{question.title:32}{rows:>8,}"
                f"{1000 * statistics.median(least for least, _ in pairs):>10.1f}"
                f"{1000 * statistics.median(above for _, above in pairs):>11.1f}"
                f"{statistics.median(ratios):>8.2f}{max(ratios):>8.2f}",
                flush=True,
            )
        rate = per_second(portal, asked[0].path)
        print(f"one hypervisor by uuid, 8 connections: {rate:.0f} requests a second")


if __name__ == "__main__":
    main()
