"""What a check of the fleet declares, and what it finds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cells.cache import CachedValue
from cells.locate import key_from
from cells.registry import Cell
from hypervisors.snapshot import NodeRow, ServiceRow, Snapshot
from services.problems import Problem

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class FoundRow(NamedTuple):
    """The key of a row's page, and what tells it from others of its finding: mostly its cell."""

    key: str
    label: str


class Finding(NamedTuple):
    """One thing that is wrong: what it is called, the cells it is in, and its rows.

    ``remark`` says how wrong it is, or what to do about it in particular.
    """

    subject: str
    cells: tuple[Cell, ...] = ()
    nodes: tuple[FoundRow, ...] = ()
    services: tuple[FoundRow, ...] = ()
    remark: str = ""

    @classmethod
    def of_host(
        cls, snapshot: Snapshot, cell: Cell, host: str, remark: str = "", subject: str = ""
    ) -> "Finding":
        """A finding about a host of a cell: all its compute nodes, and its nova-compute."""
        rows: list[NodeRow | ServiceRow] = [*snapshot.nodes_of_hosts[cell].get(host, ())]
        service = snapshot.hosts[cell].get(host)
        if isinstance(service, ServiceRow):
            rows.append(service)
        found = cls.of(*((cell, row) for row in rows), subject=subject or host)
        return found._replace(cells=(cell,), remark=remark)

    @classmethod
    def of(cls, *rows: tuple[Cell, NodeRow | ServiceRow], subject: str | None = None) -> "Finding":
        """A finding about these rows, named by the first of them unless ``subject`` is given."""
        number = Counter((type(row), cell) for cell, row in rows)
        found: dict[type, list[FoundRow]] = {NodeRow: [], ServiceRow: []}
        for cell, row in rows:
            label = cell.name if number[type(row), cell] == 1 else row.subject
            found[type(row)].append(FoundRow(key_from(cell, row.uuid, row.id), label))
        return cls(
            rows[0][1].subject if subject is None else subject,
            tuple(dict.fromkeys(cell for cell, _row in rows)),
            tuple(found[NodeRow]),
            tuple(found[ServiceRow]),
        )


@dataclass(frozen=True, kw_only=True)
class FleetProblem(Problem):
    """A problem that no cell's database can tell by itself.

    ``find`` gets the rows of all cells that answered; whatever else a check needs, it asks those
    cells itself.  ``services_query`` is the query string that narrows the list of services to
    the findings, if one does.
    """

    find: Callable[[Snapshot], Iterable[Finding]]
    services_query: str = ""


@dataclass(frozen=True, kw_only=True)
class HostProblem(FleetProblem):
    """A problem of hosts, by which the list of hypervisors can be filtered.

    ``label`` describes one of its compute nodes, as a choice of the filter; ``hosts`` are the
    hosts of each cell's compute nodes that have it.
    """

    label: "StrOrPromise"
    hosts: CachedValue[Mapping[Cell, Iterable[str]]]
