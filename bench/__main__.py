"""Full authenticated HTTP requests of the portal against the floor, in a single run.

``python -m bench [--cells 20] [--hosts-per-cell 1000] [--rounds 15] [--port 8779]``
"""

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

from bench.fleet import DOWN_TIME, Served, served
from bench.floor import Floor


def request(portal: Served, connection: http.client.HTTPConnection, path: str) -> bytes:
    """GET ``path`` at 2.53 with a token; the body."""
    headers = {"X-Auth-Token": portal.token, "OpenStack-API-Version": "compute 2.53"}
    connection.request("GET", f"/v2.1{path}", headers=headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200 or "Warning" in response.headers:
        raise SystemExit(f"{path}: {response.status} {response.headers.get('Warning', '')}")
    return body


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def same(first: bytes, other: bytes, key: str) -> int:
    """The number of rows in both; exits if the two answers differ."""
    rows, others = (
        sorted(json.loads(body)[key], key=lambda row: row["id"]) for body in (first, other)
    )
    if rows != others:
        raise SystemExit(f"the floor and the portal differ in {key}")
    return len(rows)


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
        connection = http.client.HTTPConnection("127.0.0.1", portal.port)
        questions: list[tuple[str, str, str, Callable[[], bytes]]] = [
            ("details of 1,000 hypervisors", "/os-hypervisors/detail?limit=1000", "hypervisors",
             lambda: floor.details(1000)),
            ("all services", "/os-services", "services", floor.services),
        ]  # fmt: skip
        print(f"{'':32}{'rows':>8}{'floor ms':>10}{'portal ms':>11}{'ratio':>8}{'worst':>8}")
        for title, path, key, bottom in questions:
            rows = same(bottom(), request(portal, connection, path), key)
            whole = partial(request, portal, connection, path)
            pairs = [(seconds(bottom), seconds(whole)) for _ in range(options.rounds)]
            ratios = [above / least for least, above in pairs]
            print(
                f"{title:32}{rows:>8,}"
                f"{1000 * statistics.median(least for least, _ in pairs):>10.1f}"
                f"{1000 * statistics.median(above for _, above in pairs):>11.1f}"
                f"{statistics.median(ratios):>8.2f}{max(ratios):>8.2f}"
            )


if __name__ == "__main__":
    main()
