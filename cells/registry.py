"""The cells of the cloud, from Nova's ``cell_mappings``, which is re-read now and then."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from cells.backends.guards import guard_of
from cells.cache import CachedValue
from cells.database_urls import DatabaseURLError, database_settings, fill_template
from cells.databases import alias_of, register
from cells.models import CellMapping, HostMapping
from cells.names import did_you_mean
from cells.remembered import Remembered
from cells.statements import Parameter, Statement


@dataclass(frozen=True)
class Cell:
    """A cell, as its mapping describes it.  Cells with the same uuid are equal.

    ``id`` is that of its row in ``cell_mappings``; cells are in order of it, as in Nova.
    ``database`` is Django's settings for its database, and ``problem`` says why there are none,
    or why they cannot be used.  ``disabled`` only keeps the scheduler away from a cell, so a
    disabled cell is read like any other.
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
        """Whether this is the cell of servers that failed to schedule; it has no hypervisors."""
        return self.uuid == CellMapping.CELL0_UUID

    @property
    def engine(self) -> str:
        """``postgresql``, ``mysql`` or ``sqlite3``; empty when the URL cannot be read."""
        return str(self.database.get("ENGINE", "")).rpartition(".")[2]

    @property
    def server(self) -> str:
        """``host:port/name`` of the database, or the path of its file."""
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
            problem = gettext_noop("its database file is gone")  # SQLite would create an empty one
    except DatabaseURLError as error:
        problem = f"database URL: {error}"
    except (ValueError, OSError) as error:  # whose text may repeat a part of the URL
        problem = f"database URL: cannot be used ({type(error).__name__})"
        database = {}
    return Cell(mapping.uuid, mapping.id, name, bool(mapping.disabled), database, problem)


class KnownCells(NamedTuple):
    """The cells in ``cell_mappings``, in Nova's order: all, and all but cell0."""

    cells: tuple[Cell, ...]
    compute_cells: tuple[Cell, ...]


def _read_cells() -> KnownCells:
    cells = tuple(_cell(mapping) for mapping in CellMapping.objects.order_by("id"))
    for cell in cells:
        if cell.database:
            register(cell.alias, cell.database)
    return KnownCells(cells, tuple(cell for cell in cells if not cell.is_cell0))


known_cells = CachedValue(_read_cells, lambda: settings.CELL_MAPPINGS_TTL, (DatabaseError,))


def all_cells() -> tuple[Cell, ...]:
    """Every mapped cell, cell0 and disabled ones included, in Nova's order.

    At most ``CELL_MAPPINGS_TTL`` seconds old, or as last read while the API database does not
    answer.  Raises ``DatabaseError`` when that has never answered.
    """
    return known_cells.get().cells


def compute_cells() -> tuple[Cell, ...]:
    """The cells that can have hypervisors: all but cell0."""
    return known_cells.get().compute_cells


def forget_cells() -> None:
    """Read the mappings again at the next use: the portal itself has changed them."""
    known_cells.expire()


def cells_named(names: Iterable[str]) -> list[Cell]:
    """The cells with these names or uuids; ``LookupError`` names those that do not exist."""
    wanted = list(dict.fromkeys(names))
    cells = [cell for cell in all_cells() if cell.name in wanted or cell.uuid in wanted]
    unknown = [name for name in wanted if not any(name in (cell.name, cell.uuid) for cell in cells)]
    if unknown:
        known = [cell.name for cell in all_cells()]
        meant = did_you_mean(unknown[0], known)
        raise LookupError(
            f"no cell called {', '.join(unknown)}; there are: {', '.join(known)}{meant}"
        )
    return cells


def cell_with_id(cell_id: int | None) -> Cell | None:
    """The cell whose row in ``cell_mappings`` has this id."""
    return next((cell for cell in all_cells() if cell.id == cell_id), None)


def cell_with_uuid(uuid: str) -> Cell | None:
    """The cell with this uuid, unless it is not mapped any more."""
    return next((cell for cell in all_cells() if cell.uuid == uuid), None)


#: How many hosts one statement may name.
HOSTS_PER_QUERY = 10_000
#: From so many hosts on it pays to read the range of the index that they are in first.
RANGE_MIN_HOSTS = 50


_mapping_of_host = Statement(
    HostMapping.objects.filter(host=Parameter("host")).values_list("host", "cell_id")
)


def cell_ids_of_hosts(hosts: Collection[str] | None = None) -> dict[str, int]:
    """The id of its cell for each mapped host; for all mapped hosts unless ``hosts`` is given.

    There may be more hosts in it than were asked for.  While the API database does not answer,
    they are as they were last read (see ``age_of_mappings``).
    """
    return _remembered.read(hosts, lambda: _read_cell_ids(hosts))


_remembered: Remembered[str, int] = Remembered()


def age_of_mappings() -> float | None:
    """How many seconds old what is known of Nova's API database is, while that does not answer.

    ``None`` while it does, unless the cells cannot be read from it: its file or a table is gone.
    """
    guard = guard_of(CellMapping.objects.db)
    if guard is None or not guard.breaker.is_open():
        return known_cells.age_if_kept(2 * settings.CELL_MAPPINGS_TTL)
    return time.time() - (guard.breaker.answered_at or 0)


def _read_cell_ids(hosts: Collection[str] | None) -> dict[str, int]:
    if hosts is not None and len(hosts) < 2:
        return {
            name: cell_id
            for host in hosts
            for name, cell_id in _mapping_of_host.rows(HostMapping.objects.db, host=host)
        }
    mappings = HostMapping.objects.values_list("host", "cell_id")
    if hosts is None:
        return _pairs(mappings)
    found: dict[str, int] = {}
    remaining = sorted(hosts)
    if len(remaining) >= RANGE_MIN_HOSTS:
        # The hosts of a page are mostly neighbours by name, and reading a range of the index is
        # several times faster than looking up each host in it.
        in_range = mappings.filter(host__range=(remaining[0], remaining[-1]))
        found |= _pairs(in_range.order_by("host")[: 2 * len(remaining)])
        remaining = [host for host in remaining if host not in found]
    for start in range(0, len(remaining), HOSTS_PER_QUERY):
        batch = frozenset(remaining[start : start + HOSTS_PER_QUERY])
        found |= _pairs(mappings.filter(host__among=batch))
    return found


def _pairs(mappings: "QuerySet[HostMapping, Any]") -> dict[str, int]:
    """What the queryset selects; fetched at once, where Django would fetch it by the hundred."""
    return dict(Statement(mappings).rows(HostMapping.objects.db))
