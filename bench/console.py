"""The console's list over many cells against the stock admin's over one database, in a single run.

``python -m bench.console [--cells 20] [--hosts-per-cell 1000] [--rounds 15]``

Both are Django's change list with the same columns, rendered by the same functions, a page of 100
rows, with the counts of their filters ("facets") and without ("plain"); the stock one reads a
single database into which the rows of all cells were copied.
"""

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.fleet import DOWN_TIME, ROOT, postgresql

#: Title, the console's query string and the stock admin's.
VIEWS = (
    ("first page", "", ""),
    ("by vCPUs, descending", "o=-vcpus", "o=-9"),
    ("by state", "o=state", "o=5"),
    ("page 3 by name", "p=3", "p=3"),
    ("in the middle", "p=100", "p=100"),
    ("last page", "p=200", "p=200"),
    ("search", "q=cmp01", "q=cmp01"),
    ("disabled", "status=disabled", "service__disabled__exact=1"),
)
FACETS = "&_facets=True"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--hosts-per-cell", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with ExitStack() as stack:
        template = stack.enter_context(postgresql())
        var = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ |= {
            "NOVA_API_DATABASE_URL": template.replace("{name}", "api"),
            "DATABASE_URL": f"sqlite:///{var}/portal.sqlite3",
            "VAR_DIR": var,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "SERVICE_DOWN_TIME": str(DOWN_TIME),
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "LOG_LEVEL": "ERROR",
            "CELL_DEADLINE": "10",
        }
        print(f"making {options.cells} cells x {options.hosts_per_cell} hosts ...", flush=True)
        arguments = (
            f"--cells={options.cells}",
            f"--hosts-per-cell={options.hosts_per_cell}",
            "--uuidless-cell=0",
            "--instances-per-host=1",
        )
        make("demo", *arguments, f"--database-url-template={template}")
        make("migrate", "-v0")
        make("demo", "--cells=1", "--hosts-per-cell=0",
             f"--database-url-template={template.replace('{name}', 'one_{name}')}")  # fmt: skip
        compare(template.replace("{name}", "one_cell1"), options.rounds)


def make(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def compare(one_url: str, rounds: int) -> None:
    """Copy all rows into one database, and time the lists alternately."""
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.test import Client

    from bench.stock import copy_rows, stock_site

    rows = copy_rows(one_url)
    user = User.objects.create_superuser("bench")
    console, stock = Client(), Client()
    for client in (console, stock):
        client.force_login(user)
    path = stock_site()

    def page(client: Client, url: str) -> Callable[[], Any]:
        def get() -> None:
            response = client.get(url, headers={"host": "127.0.0.1"})
            if response.status_code != 200:
                raise SystemExit(f"{url}: {response.status_code}")

        return get

    print(f"{rows:,} hypervisors, 100 a page; milliseconds, medians of {rounds}")
    print(
        f"{'':24}{'plain':>9}{'stock':>9}{'ratio':>7}{'facets':>9}{'stock':>9}{'ratio':>7}",
        flush=True,
    )
    for title, ours, theirs in VIEWS:
        asked = [
            page(client, f"{url}{FACETS if facets else ''}")
            for facets in (False, True)
            for client, url in (
                (console, f"/admin/hypervisors/computenode/?{ours}"),
                (stock, f"{path}?{theirs}"),
            )
        ]
        for get in asked:
            get()
        times = [[seconds(get) for get in asked] for _ in range(rounds)]
        line = f"{title:24}"
        for ours_at in (0, 2):
            pairs = [(row[ours_at], row[ours_at + 1]) for row in times]
            for column in zip(*pairs, strict=True):
                line += f"{1000 * statistics.median(column):>9.1f}"
            line += f"{statistics.median(one / other for one, other in pairs):>7.2f}"
        print(line, flush=True)


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.path.insert(0, str(Path(ROOT)))
    main()
