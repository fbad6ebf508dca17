"""Counting the statements sent to each database, on all threads."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from cells.executors import _executors
from cells.registry import all_cells


@dataclass
class Queries:
    """Statements, each with its database alias."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    def on(self, alias: str) -> list[str]:
        """The statements sent to ``default``, ``api`` or a cell (by name or alias)."""
        aliases = {cell.name: cell.alias for cell in all_cells()}
        return [sql for to, sql in self.sent if to == aliases.get(alias, alias)]

    def counts(self) -> dict[str, int]:
        """The number of statements by database: ``default``, ``api`` and the cells' names."""
        names = {cell.alias: cell.name for cell in all_cells()}
        return dict(Counter(names.get(to, to) for to, _ in self.sent))

    def per_cell(self) -> dict[str, int]:
        """The number of statements by cell, including cells with none."""
        return {cell.name: len(self.on(cell.alias)) for cell in all_cells()}

    def __len__(self) -> int:
        return len(self.sent)


_active: list[Queries] = []
_lock = threading.Lock()


def _note(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    if not sql.startswith(("SET ", "PRAGMA ")):
        with _lock:
            for queries in _active:
                queries.sent.append((context["connection"].alias, sql))
    return execute(sql, params, many, context)


def _install(sender: object, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    if _note not in connection.execute_wrappers:
        connection.execute_wrappers.append(_note)


def watch_connections() -> None:
    """Make every new connection, on any thread, countable from now on."""
    connection_created.connect(_install, dispatch_uid="tests.counting")


def settle(seconds: float = 5) -> None:
    """Wait until no cell is being queried any more.

    A search that has found its row abandons cells that are still responding.  Failed cells
    may hang, so they are not waited for.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if all(
            executor.pending == 0 or executor.breaker.is_open()
            for executor in list(_executors.values())
        ):
            return
        time.sleep(0.002)


@contextmanager
def counting() -> Iterator[Queries]:
    """The statements sent within the block, on all threads."""
    settle()
    queries = Queries()
    with _lock:
        _active.append(queries)
    try:
        yield queries
        settle()
    finally:
        with _lock:
            _active.remove(queries)
