"""More databases beside those that every test has, on the same server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connections

from tests.clouds import Cloud
from tests.engines import forget_connections


@dataclass
class Scratch:
    """Databases that are removed at the end.  ``template`` is their URL, with ``{name}``."""

    template: str
    prefix: str
    engine: str

    def create(self, name: str) -> str:
        """Make an empty database; its URL."""
        if self.engine != "sqlite":
            self._execute(f"CREATE DATABASE {self.prefix}{name}")
        return self.template.replace("{name}", name)

    def drop_all(self) -> None:
        if self.engine == "sqlite":
            return
        forget_connections()
        if self.engine == "mysql":
            names = self._execute(f"SHOW DATABASES LIKE '{self.prefix}%'")
        else:
            names = self._execute(
                f"SELECT datname FROM pg_database WHERE datname LIKE '{self.prefix}%'"
            )
        force = " WITH (FORCE)" if self.engine == "postgresql" else ""
        for name in names:
            self._execute(f"DROP DATABASE {name}{force}")

    def _execute(self, statement: str) -> list[str]:
        with connections["api"]._nodb_cursor() as cursor:
            cursor.execute(statement)
            return [row[0] for row in cursor.fetchall()] if cursor.description else []


@contextmanager
def scratch_databases(cloud: Cloud, folder: Path) -> Iterator[Scratch]:
    """A place for databases of the engine that the cloud is on."""
    if cloud.engine == "sqlite":
        yield Scratch(f"sqlite:///{folder}/{{name}}.sqlite3", "", cloud.engine)
        return
    parts = urlsplit(cloud.url("cell0"))
    prefix = f"{parts.path[1:]}_scratch_"
    scratch = Scratch(urlunsplit(parts._replace(path=f"/{prefix}{{name}}")), prefix, cloud.engine)
    try:
        yield scratch
    finally:
        scratch.drop_all()
