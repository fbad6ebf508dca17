"""The cells there are now, from Nova's ``cell_mappings``, re-read while the portal runs."""

import logging
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError

from cells.database_urls import DatabaseURLError, database_settings, fill_template
from cells.databases import alias_of, cause_of, register
from cells.models import CellMapping, HostMapping

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """A cell, as its mapping describes it.  Equal by uuid.

    ``id`` is its row in ``cell_mappings``; cells are in order of it, as in Nova.  ``problem``
    says why its database URL cannot be used, if it cannot; ``disabled`` keeps the scheduler
    away from a cell and nothing else, so a disabled cell is read like any other.
    """

    uuid: str
    id: int = field(compare=False)
    name: str = field(compare=False)
    disabled: bool = field(compare=False, default=False)
    database: dict[str, Any] = field(compare=False, default_factory=dict, repr=False)
    problem: str = field(compare=False, default="")

    @property
    def alias(self) -> str:
        """Django's database alias of the cell."""
        return alias_of(self.uuid)

    @property
    def is_cell0(self) -> bool:
        """Whether this is the cell of servers that were never scheduled; it has no hypervisors."""
        return self.uuid == CellMapping.CELL0_UUID

    @property
    def engine(self) -> str:
        """``postgresql``, ``mysql`` or ``sqlite3``; empty when the URL cannot be read."""
        return str(self.database.get("ENGINE", "")).rpartition(".")[2]

    @property
    def server(self) -> str:
        """Where the database is, without user and password."""
        if not self.database:
            return ""
        host = self.database["HOST"]
        port = f":{self.database['PORT']}" if self.database["PORT"] else ""
        return f"{host}{port}/{self.database['NAME']}" if host else str(self.database["NAME"])

    def __str__(self) -> str:
        return self.name


def _cell(mapping: CellMapping) -> Cell:
    name = mapping.name or ("cell0" if mapping.uuid == CellMapping.CELL0_UUID else mapping.uuid)
    main_url = settings.NOVA_DATABASE_URL or settings.NOVA_API_DATABASE_URL
    database: dict[str, Any] = {}
    problem = ""
    try:
        url = fill_template(mapping.database_connection or "", main_url)
        database = database_settings(url, connect_timeout=settings.CELL_DEADLINE)
        if urlsplit(url).scheme == "sqlite" and not Path(database["NAME"]).exists():
            problem = "its database file is gone"  # SQLite would make an empty one
    except DatabaseURLError as error:
        problem = f"database URL: {error}"
    return Cell(mapping.uuid, mapping.id, name, bool(mapping.disabled), database, problem)


class _Known:
    """The cells as last read; one per process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cells: tuple[Cell, ...] = ()
        self.read_at = float("-inf")

    def fresh(self) -> bool:
        return time.monotonic() - self.read_at < settings.CELL_MAPPINGS_TTL

    def read(self) -> None:
        """Read the mappings again; when the API database is away, go on with what is known."""
        try:
            cells = tuple(_cell(mapping) for mapping in CellMapping.objects.order_by("id"))
        except DatabaseError as error:
            if not self.cells:
                raise
            logger.warning("cell mappings not re-read: %s", cause_of(error))
        else:
            for cell in cells:
                if cell.database:
                    register(cell.alias, cell.database)
            self.cells = cells
        self.read_at = time.monotonic()


_known = _Known()


def all_cells() -> tuple[Cell, ...]:
    """Every mapped cell, cell0 and disabled ones included, in Nova's order.

    At most ``CELL_MAPPINGS_TTL`` seconds old.  Raises ``DatabaseError`` when the API database
    has never answered.
    """
    if not _known.fresh():
        with _known.lock:
            if not _known.fresh():
                _known.read()
    return _known.cells


def compute_cells() -> tuple[Cell, ...]:
    """The cells that can have hypervisors: all but cell0."""
    return tuple(cell for cell in all_cells() if not cell.is_cell0)


def forget_cells() -> None:
    """Read the mappings again at the next use: after the portal itself has changed them."""
    _known.read_at = float("-inf")


def cells_named(names: Iterable[str]) -> list[Cell]:
    """The cells with these names or uuids; raises ``LookupError`` naming those there are not."""
    wanted = list(dict.fromkeys(names))
    cells = [cell for cell in all_cells() if cell.name in wanted or cell.uuid in wanted]
    unknown = [name for name in wanted if not any(name in (cell.name, cell.uuid) for cell in cells)]
    if unknown:
        known = ", ".join(cell.name for cell in all_cells())
        raise LookupError(f"no cell called {', '.join(unknown)}; there are: {known}")
    return cells


def cell_with_id(cell_id: int | None) -> Cell | None:
    """The cell of that row in ``cell_mappings``."""
    return next((cell for cell in all_cells() if cell.id == cell_id), None)


#: Longest list of hosts in one statement; longer ones are asked in parts.
HOSTS_AT_ONCE = 10_000
#: From so many hosts on, it pays to read a stretch of the index of host names first.
A_STRETCH = 50


def cell_ids_of_hosts(hosts: Collection[str] | None = None) -> dict[str, int]:
    """For each mapped host the id of its cell; all mapped hosts when ``hosts`` is not given.

    May have more hosts than were asked for.
    """
    mappings = HostMapping.objects.values_list("host", "cell_id")
    if hosts is None:
        return dict(mappings)
    found: dict[str, int] = {}
    left = sorted(hosts)
    if len(left) >= A_STRETCH:
        # The hosts of a page are mostly neighbours by name, and one stretch of the index is
        # read several times faster than each host in it is looked up.
        stretch = mappings.filter(host__range=(left[0], left[-1]))
        found.update(stretch.order_by("host")[: 2 * len(left)])
        left = [host for host in left if host not in found]
    for start in range(0, len(left), HOSTS_AT_ONCE):
        some = frozenset(left[start : start + HOSTS_AT_ONCE])
        found.update(mappings.filter(host__among=some))
    return found
