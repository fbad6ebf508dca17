"""Sending requests one by one, with the fleet restored before each that writes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from tests.conformance.fleet import World
from tests.conformance.messages import Answer, Request, Server

#: Refusals after which the rows are checked.
AT_MOST = 100


def ask(
    server: Server, requests: Iterable[Request], world: World, threads: int = 1
) -> Iterator[tuple[Request, Answer]]:
    """Each request with its answer and its effect on the rows, which are restored each time.

    Reads between two writes are sent by several ``threads``.  A refusal (4xx) has no effect, which
    is verified after each run of writes.
    """
    for writes, group in groupby(requests, key=lambda request: request.writes):
        if not writes:
            yield from _read(server, list(group), threads)
            continue
        refused = 0
        for request in group:
            if refused and not refused % AT_MOST:
                _check(world)
            answer = server.send(request)
            if 400 <= answer.status < 500:
                refused += 1
            else:
                answer.effect = world.effect()
                world.restore(answer.effect)
            yield request, answer
        _check(world)


def _check(world: World) -> None:
    if effect := world.effect():
        world.restore(effect)
        raise AssertionError(f"one of the last refused requests changed rows: {effect}")


def _read(
    server: Server, requests: list[Request], threads: int
) -> Iterator[tuple[Request, Answer]]:
    if threads == 1:
        for request in requests:
            yield request, server.send(request)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from zip(requests, pool.map(server.send, requests), strict=True)
