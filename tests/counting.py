"""Counting the statements that each database gets, on whatever thread."""

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
    """Statements with the alias that each went to."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    def on(self, alias: str) -> list[str]:
        """The statements that ``default``, ``api`` or a cell (by name or alias) got."""
        aliases = {cell.name: cell.alias for cell in all_cells()}
        return [sql for to, sql in self.sent if to == aliases.get(alias, alias)]

    def counts(self) -> dict[str, int]:
        """How many each got: ``default``, ``api`` and the cells' names; none is left out."""
        names = {cell.alias: cell.name for cell in all_cells()}
        return dict(Counter(names.get(to, to) for to, _ in self.sent))

    def per_cell(self) -> dict[str, int]:
        """How many each cell got, those that got none included."""
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
    """From now on every new connection, on any thread, can be counted."""
    connection_created.connect(_install, dispatch_uid="tests.counting")


def settle(seconds: float = 5) -> None:
    """Wait until no cell is being asked any more.

    A search that has found its row leaves cells that are still answering.  Those that have failed
    may hang, so they are not waited for.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if all(
            executor.pending == 0 or not executor.breaker.is_closed()
            for executor in list(_executors.values())
        ):
            return
        time.sleep(0.002)


@contextmanager
def counting() -> Iterator[Queries]:
    """What is sent, on all threads, because of the block."""
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
