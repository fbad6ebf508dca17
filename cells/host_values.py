"""What Nova's API database says of hosts, for lists that show or compare it in every row."""

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from django.conf import settings
from django.db import DatabaseError

from cells.cache import CachedValue
from cells.registry import Cell, cell_ids_of_hosts
from cells.remembered import Remembered

V = TypeVar("V")


class HostValues(Generic[V]):
    """A value of each host that has one, such as its zone.

    ``read`` reads them from the API database: those of the hosts it is given, or of all for
    ``None``.
    """

    def __init__(self, read: Callable[[Collection[str] | None], dict[str, V]]) -> None:
        self._read = read
        self.remembered: Remembered[str, V] = Remembered()
        #: By the id of the cell that the hosts are mapped to; ``None`` for no cell.
        self.by_cell: CachedValue[dict[int | None, dict[str, V]]] = CachedValue(
            self._read_by_cell, lambda: settings.CELL_MAPPINGS_TTL, (DatabaseError,)
        )

    def of(self, hosts: Collection[str] | None = None) -> dict[str, V]:
        """The values, of ``hosts`` only, if given.

        As they were last read while the API database does not answer.
        """
        return self.remembered.read(hosts, lambda: self._read(hosts))

    def _read_by_cell(self) -> dict[int | None, dict[str, V]]:
        of_hosts = self.of()
        cell_ids = cell_ids_of_hosts(list(of_hosts))
        by_cell: dict[int | None, dict[str, V]] = defaultdict(dict)
        for host, value in of_hosts.items():
            by_cell[cell_ids.get(host)][host] = value
        return dict(by_cell)

    def refresh(self) -> None:
        """Bring what ``in_cell`` knows up to date, if it is older than ``CELL_MAPPINGS_TTL``.

        That takes a second for 100,000 hosts, so it is done in the background.
        """
        self.by_cell.latest()

    def ensure(self) -> None:
        """Let ``in_cell`` know something that is not far too old; ``refresh`` may come later."""
        self.by_cell.get(10 * settings.CELL_MAPPINGS_TTL)

    def in_cell(self, cell: Cell) -> dict[str, V]:
        """The values of the cell's hosts, as of the last ``refresh``.

        For lists, where those of all hosts would have to be read for every page.  A host that is
        mapped to no cell counts as being in all of them.
        """
        by_cell = self.by_cell.last or {}
        return by_cell.get(None, {}) | by_cell.get(cell.id, {})
