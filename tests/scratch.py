"""Additional databases on the server that every test uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connections

from cells.databases import is_cell_alias
from tests.clouds import Cloud
from tests.engines import forget_connections


@dataclass
class Scratch:
    """Databases that are removed at the end.

    ``template`` is their URL with ``{name}``; ``prefix`` is the start of their names.
    """

    template: str
    prefix: str
    engine: str

    def create(self, name: str) -> str:
        """Create an empty database; returns its URL."""
        if self.engine == "sqlite":
            Path(f"{self.prefix}{name}.sqlite3").touch()
        else:
            self._execute(f"CREATE DATABASE {self.prefix}{name}")
        return self.template.replace("{name}", name)

    def drop_all(self) -> None:
        """Remove the databases, and the cells' aliases for them."""
        forget_connections()
        for alias, database in list(connections.settings.items()):
            if is_cell_alias(alias) and str(database["NAME"]).startswith(self.prefix):
                del connections.settings[alias]
        if self.engine == "sqlite":
            return
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
    """Additional databases on the cloud's engine."""
    parts = urlsplit(cloud.url("cell0"))
    if cloud.engine == "sqlite":
        scratch = Scratch(f"sqlite:///{folder}/{{name}}.sqlite3", f"{folder}/", cloud.engine)
    else:
        prefix = f"{parts.path[1:]}_scratch_"
        template = urlunsplit(parts._replace(path=f"/{prefix}{{name}}"))
        scratch = Scratch(template, prefix, cloud.engine)
    try:
        yield scratch
    finally:
        scratch.drop_all()
