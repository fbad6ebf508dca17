"""Compute nodes as Nova lists them: those it can see, each with the service of its host.

Nova finds the service of a node through the host mapping: it is the live nova-compute of that host
in the cell that the host is mapped to.  Nearly always this is the node's own cell, where the
service is joined.  For the few other nodes (the host is mapped elsewhere, or the row is from before
nodes had a host) services are looked up together, with one query per cell.  A node without such a
service is not visible.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum, Value

from cells.executors import CellUnavailable
from cells.fields import as_stored
from cells.locate import MAX_ID, Ambiguous, MayBeMissing, NotFound, find_uuid, remember
from cells.log_fields import located_in
from cells.registry import Cell, cell_ids_of_hosts, cell_with_id, compute_cells
from cells.scatter_gather import AcrossCells, ask_cells
from cells.statements import Parameter, Statement
from hypervisors.models import CAPACITY, ComputeNode, Instance
from services.models import NOVA_COMPUTE, Service

Row = Sequence[Any]
#: The rows of a cell.
CellRows = tuple[Cell, list[Row]]

#: What is fetched of every node before anything that is shown.
KEYS = ("id", "uuid", "host", "service_id", "service__id")
ID, UUID, HOST, SERVICE_ID, SERVICE = range(len(KEYS))
SERVICE_PREFIX = "service__"

#: Above this number of hosts all host mappings are read rather than those of the hosts.
MANY_HOSTS = 5000


@dataclass
class Listing:
    """Visible nodes in order, and what was found out about others.

    ``rows`` have the columns asked for; beside each are the cell that it is in (``cells``) and the
    cell that its host is mapped to (``homes``).  ``unmapped`` are the hosts of nodes that were left
    out because no mapping names them; ``matched`` counts all nodes that were looked at, visible or
    not.
    """

    rows: list[Row] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    homes: list[Cell] = field(default_factory=list)
    missing: list[CellUnavailable] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)
    matched: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def hosts(self) -> list[str]:
        """The host of each node."""
        return [row[HOST] for row in self.rows]

    def marker(self, field: str) -> object:
        """The ``id`` or ``uuid`` of the last node."""
        return self.rows[-1][KEYS.index(field)]

    def cut(self, length: int) -> None:
        """Drop the nodes after the first ``length``."""
        for values in (self.rows, self.cells, self.homes):
            del values[length:]


class VisibleNodes:
    """Visible nodes, with ``columns``, of which the first are ``KEYS``.

    Lists are of ``nodes``; a single node is looked for among all.
    """

    def __init__(
        self, columns: Sequence[str], nodes: "QuerySet[ComputeNode] | None" = None
    ) -> None:
        self.columns = tuple(columns)
        self._among = nodes

    @cached_property
    def nodes(self) -> "QuerySet[ComputeNode]":
        """The nodes that lists are of, in Nova's order."""
        return (ComputeNode.objects if self._among is None else self._among).order_by("id")

    def all(self) -> Listing:
        """Every visible node."""
        return self._visible(*self._candidates(self.nodes))

    def page(self, limit: int, after: tuple[Cell, int] | None) -> Listing:
        """``limit`` visible nodes after that one (fewer only at the end), in Nova's order.

        Nodes that are not visible do not count: where there are some, more are fetched, in growing
        portions.
        """
        across = self._across(self.nodes)
        listing = Listing()
        missing: dict[Cell, CellUnavailable] = {}
        size, portion = limit, 100
        while len(listing) < limit:
            page = across.page(size, after)
            missing |= {away.cell: away for away in page.missing}
            self._add(listing, page.by_cell)
            if len(page) < size:
                break
            cell, rows = page.by_cell[-1]
            after = (cell, rows[-1][ID])
            size = max(portion, limit - len(listing))
            portion *= 2
        listing.missing += missing.values()
        listing.cut(limit)
        return listing

    def by_uuid(self, uuid: str) -> Listing:
        """The visible node with that uuid.  Raises ``NotFound`` or ``MayBeMissing``."""
        found = find_uuid(uuid, compute_cells(), _row_with(self.columns))
        listing = self._visible([(found.cell, [found.row])], [])
        if not listing.rows:
            raise MayBeMissing(listing.missing) if listing.missing else NotFound(uuid)
        located_in.set(found.cell.name)
        return listing

    def by_id(self, node_id: int | None) -> Listing:
        """The node with that integer id, if it is the only visible one.

        Raises ``NotFound``, ``Ambiguous``, or ``MayBeMissing`` when a cell that may have it too is
        away.
        """
        listing = self._visible(*self._with_id(node_id))
        if len(listing) > 1:
            raise Ambiguous(listing.cells)
        if listing.missing:
            raise MayBeMissing(listing.missing)
        if not listing.rows:
            raise NotFound(node_id)
        located_in.set(listing.cells[0].name)
        return listing

    def position_of_uuid(self, uuid: str) -> tuple[Cell, int]:
        """The cell and id of the node with that uuid, visible or not: a page may begin after a node
        that has been hidden since it was listed.  Raises ``NotFound`` or ``MayBeMissing``.
        """
        found = find_uuid(uuid, compute_cells(), _row_with(("id",)))
        [node_id] = found.row
        return found.cell, node_id

    def position_of_id(self, node_id: int) -> tuple[Cell, int]:
        """The cell of the node with that integer id, and the id.

        Where several cells have the id, the only visible node is meant.  Raises ``NotFound``,
        ``Ambiguous``, or ``MayBeMissing`` when a cell that may have it too is away.
        """
        candidates, missing = self._with_id(node_id)
        cells = [cell for cell, _ in candidates]
        if len(cells) > 1:
            listing = self._visible(candidates, missing)
            cells, missing = listing.cells or cells, listing.missing
        if len(cells) > 1:
            raise Ambiguous(cells)
        if missing:
            raise MayBeMissing(missing)
        if not cells:
            raise NotFound(node_id)
        return cells[0], node_id

    def _across(self, nodes: "QuerySet[ComputeNode]") -> AcrossCells[Any]:
        rows = nodes.values_list(*as_stored(ComputeNode, self.columns))
        return AcrossCells(rows, compute_cells())

    def _candidates(
        self, nodes: "QuerySet[ComputeNode]"
    ) -> tuple[list[CellRows], list[CellUnavailable]]:
        """The rows of each cell that has some, visible or not, and the cells that are missing."""
        answers = self._across(nodes).all()
        return [(cell, rows) for cell, rows in answers.by_cell.items() if rows], answers.missing

    def _with_id(self, node_id: int | None) -> tuple[list[CellRows], list[CellUnavailable]]:
        if node_id is None or not 0 < node_id <= MAX_ID:
            raise NotFound(node_id)
        return self._candidates(self.nodes.filter(id=node_id))

    def _visible(self, candidates: list[CellRows], missing: list[CellUnavailable]) -> Listing:
        listing = Listing(missing=list(missing))
        self._add(listing, candidates)
        return listing

    def _add(self, listing: Listing, candidates: list[CellRows]) -> None:
        """Take the visible ones of these nodes into the listing."""
        hosts = {row[HOST] for _, rows in candidates for row in rows}
        mapped = cell_ids_of_hosts(None if len(hosts) > MANY_HOSTS else hosts - {None})
        elsewhere = _ServicesElsewhere(self.columns, listing, candidates, mapped)
        for cell, rows in candidates:
            listing.matched += len(rows)
            remember(cell, [row[UUID] for row in rows])
            for row in rows:
                if row[HOST] is not None and mapped.get(row[HOST]) == cell.id:
                    if row[SERVICE] is not None:
                        listing.rows.append(row)
                        listing.cells.append(cell)
                        listing.homes.append(cell)
                elif (found := elsewhere.find(cell, row)) is not None:
                    listing.rows.append(found[0])
                    listing.cells.append(cell)
                    listing.homes.append(found[1])


@cache
def _row_with(columns: tuple[str, ...]) -> Callable[[str], Callable[[Cell], Any]]:
    """How to ask a cell for the columns of the node with a uuid; compiled once for all requests."""
    nodes = ComputeNode.objects.filter(uuid=Parameter("uuid"))
    statement = Statement(nodes.values_list(*as_stored(ComputeNode, columns))[:1])

    def row_with(uuid: str) -> Callable[[Cell], Any]:
        return lambda cell: next(iter(statement.rows(cell.alias, uuid=uuid)), None)

    return row_with


class _ServicesElsewhere:
    """The services of nodes whose service is not simply that of their host in their own cell.

    Cells that do not answer are added to ``listing.missing``, hosts that no mapping names to
    ``listing.unmapped``.
    """

    def __init__(
        self,
        columns: Sequence[str],
        listing: Listing,
        candidates: list[CellRows],
        mapped: dict[str, int],
    ) -> None:
        self.columns = columns
        self.listing = listing
        self.mapped = mapped
        nodes = [
            (cell, row)
            for cell, rows in candidates
            for row in rows
            if row[HOST] is None or mapped.get(row[HOST]) not in (cell.id, None)
        ]
        self.hosts = self._hosts_by_service_id(nodes)
        self.mapped |= cell_ids_of_hosts(set(self.hosts.values()) - mapped.keys())
        wanted: dict[Cell, set[str]] = defaultdict(set)
        for cell, row in nodes:
            host = self._host(cell, row)
            home = self._home(host)
            if home is not None and host is not None:
                wanted[home].add(host)
        self.services = self._services(wanted)

    def find(self, cell: Cell, row: Row) -> tuple[Row, Cell] | None:
        """The row with its host and service filled in, and its host's cell; ``None`` when Nova
        would not see the node.
        """
        host = self._host(cell, row)
        home = self._home(host)
        if home is None:
            self.listing.unmapped.append(str(host))
            return None
        service = self.services.get((home, host))
        if service is None:
            return None
        known = {"host": host, **service}
        filled = [known.get(column, value) for column, value in zip(self.columns, row, strict=True)]
        return filled, home

    def _host(self, cell: Cell, row: Row) -> str | None:
        return self.hosts.get((cell, row[SERVICE_ID])) if row[HOST] is None else row[HOST]

    def _home(self, host: str | None) -> Cell | None:
        return None if host is None else cell_with_id(self.mapped.get(host))

    def _hosts_by_service_id(self, nodes: list[tuple[Cell, Row]]) -> dict[tuple[Cell, int], str]:
        """The hosts of nodes from before Liberty, which only name the id of their service."""
        wanted: dict[Cell, set[int]] = defaultdict(set)
        for cell, row in nodes:
            if row[HOST] is None and row[SERVICE_ID] is not None:
                wanted[cell].add(row[SERVICE_ID])
        answers = ask_cells(
            wanted,
            lambda cell: list(
                Service.objects.using(cell.alias)
                .filter(id__in=wanted[cell])
                .values_list("id", "host")
            ),
        )
        self.listing.missing += answers.missing
        return {(cell, pk): host for cell, rows in answers.by_cell.items() for pk, host in rows}

    def _services(
        self, hosts: dict[Cell, set[str]]
    ) -> dict[tuple[Cell, str | None], dict[str, Any]]:
        """The nova-compute services of these hosts, by the names of the columns asked for."""
        columns = [column for column in self.columns if column.startswith(SERVICE_PREFIX)]
        names = [column.removeprefix(SERVICE_PREFIX) for column in columns]
        answers = ask_cells(
            hosts,
            lambda cell: list(
                Service.objects.using(cell.alias)
                .filter(binary=NOVA_COMPUTE, host__in=hosts[cell])
                .values_list("host", *as_stored(Service, names))
            ),
        )
        self.listing.missing += answers.missing
        return {
            (cell, row[0]): dict(zip(columns, row[1:], strict=True))
            for cell, rows in answers.by_cell.items()
            for row in rows
        }


def servers_on(listing: Listing) -> dict[str, list[dict[str, str]]]:
    """The servers of each host in the listing, one query per cell; Nova's short form.

    Cells that do not answer are added to ``listing.missing``.
    """
    hosts: dict[Cell, set[str]] = defaultdict(set)
    for row, home in zip(listing.rows, listing.homes, strict=True):
        hosts[home].add(row[HOST])
    answers = ask_cells(
        hosts,
        lambda cell: list(
            Instance.objects.using(cell.alias)
            .filter(host__in=hosts[cell])
            .order_by("id")
            .values_list("host", "id", "uuid")
        ),
    )
    known = {away.cell for away in listing.missing}
    listing.missing += [away for away in answers.missing if away.cell not in known]
    servers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for rows in answers.values():
        for host, row_id, uuid in rows:
            servers[host].append({"name": f"instance-{row_id:08x}", "uuid": uuid})
    return servers


def statistics(
    nodes: "QuerySet[ComputeNode]",
) -> tuple[dict[str, int], list[CellUnavailable]]:
    """The number of nodes with a live, enabled nova-compute and the sums of their capacity, over
    all cells, and which cells are missing.

    Unlike lists, Nova counts nodes whether or not their host is mapped.  Nulls do not count.
    """
    live = Service.objects.filter(binary=NOVA_COMPUTE, disabled=False)
    # Nova joins on either; two INs are hash joins where one EXISTS with an OR is a nested loop.
    counted = nodes.filter(Q(host__in=live.values("host")) | Q(service_id__in=live.values("id")))
    # One row per cell: grouping by a constant is no grouping.
    sums = [Count("id"), *map(Sum, CAPACITY)]
    rows = counted.order_by().values_list(Value(1))
    rows = rows.annotate(**{f"sum_{number}": each for number, each in enumerate(sums)})
    answers = AcrossCells(rows, compute_cells()).all()
    total = dict.fromkeys(("count", *CAPACITY), 0)
    for [(_, *values)] in answers.values():
        for name, value in zip(total, values, strict=True):
            total[name] += int(value or 0)
    return total, answers.missing
