"""nova-api 34 from PyPI on databases that nova-manage has made, filled with the fleet.

The same installation as ``make conformance`` has (``tests/conformance/nova.py``).
"""

import io
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from bench.fleet import ROOT, Fleet, Served, connect, create, portal_on, prepare
from bench.measuring import Ask, Client, Load, load
from tests.servers import free_port

API_TABLES = ("cell_mappings", "host_mappings", "aggregates", "aggregate_hosts",
              "aggregate_metadata")  # fmt: skip
CELL_TABLES = ("services", "compute_nodes")
#: Of the stand-in for Keystone, ``tests/conformance/stand_ins.py``.
TOKEN = "admin"  # noqa: S105


def with_nova(
    engine: str, source: Fleet, cells: int, stack: ExitStack
) -> tuple[Fleet, Callable[[], Served]]:
    """A copy of the fleet in databases of Nova's own schema, and what starts nova-api there."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"  # of this process alone
    django.setup()
    from tests.conformance.nova import Databases, Nova

    template = source.template.replace("{name}", "nova_{name}")
    home = ROOT / "var" / "conformance"
    home.mkdir(parents=True, exist_ok=True)
    path = urlsplit(template).path[1:]
    driver = {"postgresql": "postgresql+psycopg2:", "mysql": "mysql+pymysql:"}[engine]
    url = driver + template.partition(":")[2].replace(path, "{name}", 1)
    databases = Databases(engine, url, prefix=path.removesuffix("{name}"))
    nova = Nova(home, databases)
    nova.etc = Path(stack.enter_context(TemporaryDirectory()))
    nova.install()
    nova.create_schema(["cell0"])
    for number in range(1, cells + 1):
        _copy_schema(engine, template, f"cell{number}")
    _copy_rows(source.template, template, "api", API_TABLES)
    for number in range(cells + 1):
        _copy_rows(source.template, template, f"cell{number}", CELL_TABLES)
        with closing(connect(databases.url(f"cell{number}"))) as connection:
            # The demo has a host before its upgrade, which this Nova would refuse to start with.
            connection.cursor().execute("UPDATE services SET version = 72 WHERE version < 72")
    with closing(connect(databases.url("api"))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM cell_mappings")
        for (name,) in cursor.fetchall():
            cursor.execute(
                "UPDATE cell_mappings SET database_connection = %s, transport_url = 'fake:/' "
                "WHERE name = %s",
                (databases.url(name), name),
            )
    nova.configure()
    environment = portal_on(template, stack.enter_context(TemporaryDirectory()))
    fleet = Fleet(template, environment, prepare(environment))

    def start() -> Served:
        port = free_port()
        stack.enter_context(nova.running(port))
        return Served(port, TOKEN, fleet.api_url, 0)

    return fleet, start


def _copy_schema(engine: str, template: str, name: str) -> None:
    """Make an empty database like cell0's."""
    cell0 = urlsplit(template.replace("{name}", "cell0")).path[1:]
    if engine == "postgresql":
        create(template, name, f"TEMPLATE {cell0}")
        return
    create(template, name, "CHARACTER SET utf8mb3")
    url = template.replace("{name}", name)
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW TABLES FROM {cell0}")
        for (table,) in cursor.fetchall():
            cursor.execute(f"CREATE TABLE {table} LIKE {cell0}.{table}")
        cursor.execute(f"INSERT INTO alembic_version SELECT * FROM {cell0}.alembic_version")


def _copy_rows(source: str, target: str, name: str, tables: tuple[str, ...]) -> None:
    """Copy tables from the portal's schema into Nova's, which has more columns."""
    with (
        closing(connect(source.replace("{name}", name))) as from_,
        closing(connect(target.replace("{name}", name))) as to,
    ):
        for table in tables:
            columns = ", ".join(f'"{column}"' for column in _columns(from_, table))
            with from_.cursor() as reader, to.cursor() as writer:
                if source.startswith("postgresql"):
                    rows = io.StringIO()
                    reader.copy_expert(f"COPY {table} ({columns}) TO STDOUT", rows)
                    rows.seek(0)
                    writer.execute(f"TRUNCATE {table} CASCADE")
                    writer.copy_expert(f"COPY {table} ({columns}) FROM STDIN", rows)
                    writer.execute(f"ANALYZE {table}")
                else:
                    old = urlsplit(source.replace("{name}", name)).path[1:]
                    writer.execute(f"DELETE FROM {table}")
                    writer.execute(
                        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {old}.{table}"
                    )


def _columns(connection: Any, table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        return [column[0] for column in cursor.description]


def puts(server: Served, portal: Client) -> Load:
    """Disable and enable services, each connection one of its own."""
    services = json.loads(portal.get("/os-services?binary=nova-compute"))["services"]

    def work(number: int) -> Ask:
        client = Client(server.port, server.token)
        path = f"/os-services/{services[number * 11]['id']}"
        bodies = cycle([{"status": "disabled", "disabled_reason": "bench"}, {"status": "enabled"}])
        return lambda: client.ask("PUT", path, next(bodies))

    return load(work)
