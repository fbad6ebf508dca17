"""Twice as many requests as a worker can carry: how quickly the surplus is refused.

``python -m bench.load [--seconds 60] [--factor 2] [--cells 5] [--hosts-per-cell 200]``

First the capacity is measured, by 8 clients that each wait for their answer; then requests arrive
at ``factor`` times that rate, whether or not earlier ones have been answered, beside 500 idle
connections and 16 that send their headers a byte at a time.
"""

import argparse
import asyncio
import itertools
import logging
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from bench.fleet import Served, served

CLOSED = 0  # a connection that ended without an answer
TIMEOUT = 30.0
PATHS = (
    "/v2.1/os-services",
    "/v2.1/os-hypervisors/detail?limit=100",
    "/v2.1/os-hypervisors",
    "/v2.1/os-services?host=none",
)


@dataclass
class Answers:
    """Seconds until the answer, by status, and what was wrong with some of them."""

    seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.seconds.values()))

    def __str__(self) -> str:
        lines = []
        for status, taken in sorted(self.seconds.items()):
            taken.sort()
            p50, p99 = (taken[int(len(taken) * part)] * 1000 for part in (0.5, 0.99))
            lines.append(
                f"  {status or 'closed'}: {len(taken)}, median {p50:.0f} ms, "
                f"99 % within {p99:.0f} ms, slowest {taken[-1] * 1000:.0f} ms"
            )
        return "\n".join(lines)


async def ask(portal: Served, path: str, answers: Answers) -> None:
    """One request over a connection of its own."""
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Auth-Token: {portal.token}\r\n"
        "OpenStack-API-Version: compute 2.53\r\nConnection: close\r\n\r\n"
    )
    began = time.monotonic()
    status, answer = CLOSED, b""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection("127.0.0.1", portal.port)
            writer.write(head.encode())
            answer = await reader.read()
            writer.close()
            status = int(answer[9:12] or CLOSED)
    answers.seconds[status].append(time.monotonic() - began)
    if status == 503 and b"\r\nRetry-After: " not in answer:
        answers.wrong.append("a 503 without Retry-After")
    if status not in (200, 503):
        answers.wrong.append(f"{path}: {status}")


async def closed_loop(portal: Served, seconds: float, clients: int = 8) -> Answers:
    """Clients that each ask again when they have been answered."""
    answers = Answers()
    until = time.monotonic() + seconds

    async def client(number: int) -> None:
        for at in itertools.count(number):
            if time.monotonic() >= until:
                break
            await ask(portal, PATHS[at % len(PATHS)], answers)

    await asyncio.gather(*map(client, range(clients)))
    return answers


async def open_loop(portal: Served, seconds: float, rate: float) -> Answers:
    """Requests at ``rate`` a second, whatever becomes of those before."""
    answers = Answers()
    tasks = []
    began = time.monotonic()
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(ask(portal, PATHS[number % len(PATHS)], answers)))
    await asyncio.gather(*tasks)
    return answers


async def dawdle(portal: Served, idle: int = 500, slow: int = 16) -> None:
    """Clients that say nothing, and clients that say a byte a second; until cancelled."""

    async def say(text: bytes) -> None:
        while True:
            with suppress(OSError):
                _reader, writer = await asyncio.open_connection("127.0.0.1", portal.port)
                try:
                    for at in range(len(text)):
                        writer.write(text[at : at + 1])
                        await asyncio.sleep(1)
                    await asyncio.sleep(8)
                finally:
                    writer.close()

    await asyncio.gather(
        *(say(b"") for _ in range(idle)), *(say(b"GET / HTTP/1.1\r\nX: " * 9) for _ in range(slow))
    )


def memory(portal: Served) -> float:
    """MiB that the worker has."""
    [worker] = psutil.Process(portal.pid).children()
    return float(worker.memory_info().rss / 2**20)


async def measure(portal: Served, options: argparse.Namespace) -> bool:
    warm = await closed_loop(portal, 2)
    capacity = len(await closed_loop(portal, 5)) / 5
    calm = await closed_loop(portal, 2, clients=1)
    print(
        f"capacity: {capacity:.0f} requests/s ({len(warm)} to warm up); one client alone:\n{calm}"
    )
    before = memory(portal)
    dawdling = asyncio.create_task(dawdle(portal))
    await asyncio.sleep(3)
    answers = await open_loop(portal, options.seconds, options.factor * capacity)
    print(f"{options.factor:g} times that for {options.seconds:g} s:\n{answers}")
    peak = memory(portal)
    ended = time.monotonic()
    after = await closed_loop(portal, 1, clients=1)
    print(f"one client, {time.monotonic() - ended:.1f} s after:\n{after}")
    dawdling.cancel()
    print(f"memory of the worker: {before:.0f} MiB before, {peak:.0f} MiB after")
    refusals = sorted(answers.seconds.get(503, [0.0]))
    wrong = sorted(set(answers.wrong))
    if refusals[int(len(refusals) * 0.99)] > 0.1:
        wrong.append("more than 1 % of the refusals took over 100 ms")
    if 503 in after.seconds:
        wrong.append("still refusing when the load is over")
    print("\n".join(wrong))
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--factor", type=float, default=2)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--hosts-per-cell", type=int, default=200)
    parser.add_argument("--port", type=int, default=8778)
    options = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a refused connection has ended
    with served(options.cells, options.hosts_per_cell, options.port) as portal:
        return not asyncio.run(measure(portal, options))


if __name__ == "__main__":
    sys.exit(main())
