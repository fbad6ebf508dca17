"""Full authenticated HTTP requests of the portal against the floor, in a single run.

``python -m bench [--engine postgresql|mysql] [--cells 20] [--hosts-per-cell 1000] [--nova]``

The floor is the same answer made by a plain script over the same databases (``bench.floor``), and
stock REST framework over the first cell alone (``bench.stock_api``) is what one would write without
cells.  With ``--nova`` the databases are made by nova-manage, and nova-api 34 is asked too.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench import nova as novas
from bench.fleet import DOWN_TIME, SERVERS, WORKERS, Fleet, Served, fleet
from bench.floor import Floor
from bench.measuring import Ask, Client, compare, load
from tests.servers import free_port

NOWHERE = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Question:
    """A request, what makes the same answer at the floor, and the key of its rows (if any).

    ``stock`` is the path of the same for the first cell in stock REST framework.
    """

    title: str
    path: str
    floor: Ask
    key: str = ""
    status: int = 200
    version: str = "2.53"
    stock: str = ""


def same(question: Question, client: Client) -> int:
    """The number of rows in both answers; exits if they differ."""
    ours = client.get(question.path, question.status, question.version)
    if question.status != 200:
        return 0
    answers: list[Any] = [json.loads(body) for body in (question.floor(), ours)]
    if question.key:
        answers = [sorted(each[question.key], key=lambda row: row["id"]) for each in answers]
        for rows in answers:
            for row in rows:
                row.pop("servers", None)
    if answers[0] != answers[1]:
        different = zip(*answers, strict=False) if question.key else [answers]
        first = next((pair for pair in different if pair[0] != pair[1]), map(len, answers))
        raise SystemExit(f"the floor and the portal differ: {question.title}: {list(first)}")
    return len(answers[0]) if question.key else 1


def questions(floor: Floor, client: Client, hosts_per_cell: int) -> Iterator[Question]:
    """What is asked; names and uuids are those of the last hypervisor of a page."""
    page, node_id = min(1000, hosts_per_cell), hosts_per_cell // 2
    listed = json.loads(client.get(f"/os-hypervisors?limit={page}"))["hypervisors"]
    uuid, name = listed[-1]["id"], listed[-1]["hypervisor_hostname"]
    host = json.loads(client.get(f"/os-hypervisors/{uuid}"))["hypervisor"]["service"]["host"]
    number = floor.cell_of(uuid)
    first = json.loads(client.get("/os-hypervisors?limit=1"))["hypervisors"][0]["id"]
    yield Question(
        "one hypervisor by uuid", f"/os-hypervisors/{uuid}", lambda: floor.show(uuid, number),
        stock=f"/nodes/{first}/",
    )  # fmt: skip
    yield Question(
        "a uuid that is nowhere", f"/os-hypervisors/{NOWHERE}",
        lambda: floor.nowhere(NOWHERE), status=404,
    )  # fmt: skip
    yield Question(
        "an id that all cells have (2.1)", f"/os-hypervisors/{node_id}",
        lambda: floor.with_id(node_id), status=400, version="2.1",
    )  # fmt: skip
    yield Question(
        "hypervisors by name", f"/os-hypervisors?hypervisor_hostname_pattern={name}",
        lambda: floor.named(name), key="hypervisors",
    )  # fmt: skip
    yield Question(
        "services of one host", f"/os-services?host={host}",
        lambda: floor.services(host), key="services",
    )  # fmt: skip
    yield Question("statistics", "/os-hypervisors/statistics", floor.statistics)
    yield Question(
        f"details of {page:,} hypervisors", f"/os-hypervisors/detail?limit={page}",
        lambda: floor.details(page), key="hypervisors", stock=f"/nodes/?limit={page}",
    )  # fmt: skip
    yield Question(
        "all services", "/os-services", floor.services, key="services", stock="/services/"
    )


def tabulate(
    floor: Floor,
    client: Client,
    stock: Client,
    nova: Client | None,
    hosts_per_cell: int,
    rounds: int,
) -> None:
    """Print a line for each question."""
    titles = f"{'ms':32}{'rows':>8}{'floor':>9}{'portal':>9}{'portal/floor':>20}"
    titles += f"{'stock':>9}" if nova is None else f"{'nova-api':>10}{'nova-api/portal':>24}"
    print(titles)
    for question in questions(floor, client, hosts_per_cell):

        def at(server: Client, question: Question = question) -> Ask:
            return lambda: server.get(question.path, question.status, question.version)

        rows = same(question, client)
        ways: list[Ask] = [question.floor, at(client)]
        if nova is not None:
            if question.status == 400:  # an answer that Nova does not give
                continue
            ways.append(at(nova))
        elif question.stock:
            ways.append(lambda path=question.stock: stock.get(f"/stock{path}"))  # type: ignore[misc]
        slow = 3 if nova is not None and rows >= 1000 else 1
        found = compare(ways, max(3, rounds // slow**2))
        line = f"{question.title:32}{rows:>8,}{found.median(0):>9.1f}{found.median(1):>9.1f}"
        line += f"{found.ratio(1, 0):>20}"
        if len(ways) > 2:
            line += f"{found.median(2):>9.1f}"
        if nova is not None:
            line += f"{found.ratio(2, 1):>25}"
        print(line, flush=True)


def rates(servers: dict[str, Served], path: str, connections: tuple[int, ...] = (8, 64)) -> None:
    """Print how many requests a second each server answers."""
    for number in connections:
        for name, server in servers.items():
            found = load(lambda _: _getting(server, path), number)  # noqa: B023 - used at once
            print(f"{name}: {path.split('/')[1]}, {number} connections: {found}", flush=True)


def _getting(server: Served, path: str) -> Ask:
    client = Client(server.port, server.token)
    return lambda: client.get(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--engine", choices=SERVERS, default="postgresql")
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--hosts-per-cell", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--nova", action="store_true", help="ask nova-api 34.0.0 as well")
    options = parser.parse_args()
    with ExitStack() as stack:
        made: Fleet = stack.enter_context(
            fleet(options.engine, options.cells, options.hosts_per_cell)
        )
        start_nova: Callable[[], Served] | None = None
        if options.nova:
            made, start_nova = novas.with_nova(options.engine, made, options.cells, stack)

        def serve(workers: int = 1, application: str = "portal.wsgi") -> Served:
            how = made.served(free_port(), workers=workers, application=application)
            return stack.enter_context(how)

        portal, stock = serve(), serve(application="bench.stock_api")
        nova = start_nova() if start_nova else None
        floor = Floor(made.api_url, DOWN_TIME)
        client = Client(portal.port, portal.token)
        tabulate(
            floor,
            client,
            Client(stock.port, stock.token),
            Client(nova.port, nova.token) if nova else None,
            options.hosts_per_cell,
            options.rounds,
        )
        two = {"portal, two processes": serve(workers=WORKERS)}
        if nova:
            two["nova-api, two processes"] = nova
        rates(two, next(questions(floor, client, options.hosts_per_cell)).path)
        if nova:
            for name, server in two.items():
                print(f"{name}: PUT, 8 connections: {novas.puts(server, client)}", flush=True)


if __name__ == "__main__":
    main()
