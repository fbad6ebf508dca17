"""Clients, and times that are compared in pairs."""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

#: Asks for something once; the body of the answer.
Ask = Callable[[], bytes]


class Client:
    """A connection to a server of the compute API that is kept."""

    def __init__(self, port: int, token: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = {"X-Auth-Token": token}

    def get(self, path: str, status: int = 200, version: str = "2.53") -> bytes:
        """GET ``path``; the body.  Exits if the status is another."""
        return self.ask("GET", path, None, status, version)

    def ask(
        self, method: str, path: str, body: Any = None, status: int = 200, version: str = "2.53"
    ) -> bytes:
        """Any request, at a microversion; the body of the answer."""
        headers = self.headers | {"OpenStack-API-Version": f"compute {version}"}
        text = None
        if body is not None:
            text, headers["Content-Type"] = json.dumps(body), "application/json"
        try:
            self.connection.request(method, f"/v2.1{path}", text, headers)
            response = self.connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError):  # it was idle for too long
            self.connection.close()
            self.connection.request(method, f"/v2.1{path}", text, headers)
            response = self.connection.getresponse()
        answer = response.read()
        if response.status != status or "Warning" in response.headers:
            warning = response.headers.get("Warning", "")
            raise SystemExit(f"{method} {path}: {response.status} {warning} {answer[:300]!r}")
        return answer


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Compared:
    """Milliseconds of several ways to the same, measured in turn."""

    rounds: Sequence[Sequence[float]]

    def median(self, way: int) -> float:
        """The median of one of them."""
        return statistics.median(times[way] for times in self.rounds)

    def ratio(self, way: int, to: int) -> str:
        """How many times as long as another one: the median, and the middle 80 % of the rounds."""
        ratios = sorted(times[way] / times[to] for times in self.rounds)
        tenth = len(ratios) // 10
        low, high = ratios[tenth], ratios[-1 - tenth]
        return f"{statistics.median(ratios):.2f} ({low:.2f}-{high:.2f})"


def compare(ways: Sequence[Ask], rounds: int) -> Compared:
    """Time these in turn, so many times, after a call of each that does not count."""
    for way in ways:
        way()
    return Compared([[1000 * seconds(way) for way in ways] for _ in range(rounds)])


@dataclass(frozen=True)
class Load:
    """What several connections at once were answered: per second, and how long 99 % took at most,
    in milliseconds.
    """

    per_second: float
    p99: float

    def __str__(self) -> str:
        return f"{self.per_second:.0f}/s, p99 {self.p99:.0f} ms"


def load(work: Callable[[int], Ask], connections: int = 8, lasting: float = 4) -> Load:
    """So many connections, of which each asks again when it has been answered.

    ``work(number)`` makes what the connection with this number does.
    """
    taken: list[list[float]] = [[] for _ in range(connections)]
    asks = [work(number) for number in range(connections)]
    for ask in asks:
        ask()
    until = time.perf_counter() + lasting

    def run(number: int) -> None:
        while time.perf_counter() < until:
            taken[number].append(seconds(asks[number]))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_taken = sorted(each for mine in taken for each in mine)
    return Load(len(all_taken) / lasting, 1000 * all_taken[int(len(all_taken) * 0.99)])
