"""Compute nodes as Nova lists them: those it can see, each with the service of its host.

Nova finds the service of a node by way of the host mapping: the live nova-compute of that host
in the cell the host is mapped to.  Nearly always that is the node's own cell, where it is
joined; the odd rest (a host mapped elsewhere, a row from before nodes had a host) is looked up
together, one query per cell.  A node without such a service is not visible.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from cells.across import AcrossCells, ask_cells
from cells.lanes import CellUnavailable
from cells.locate import remember
from cells.mappings import Cell, cell_ids_of_hosts, cell_with_id, compute_cells
from cells.stored import as_stored
from hypervisors.models import ComputeNode, Instance
from services.models import NOVA_COMPUTE, Service

Row = Sequence[Any]
Placed = tuple[Cell, Row]

#: What is always fetched, before the columns of the plan.
KEYS = ("id", "uuid", "host", "service_id", "service__id")
ID, UUID, HOST, SERVICE_ID, SERVICE = range(len(KEYS))
SERVICE_PREFIX = "service__"


@dataclass
class Listing:
    """Visible nodes with their cells, in order, and what is known beside them.

    ``rows`` have the plan's columns; ``hosts`` their hosts and ``home`` the cell each host is
    mapped to.  ``unmapped`` are the hosts of nodes left out because no mapping names them.
    """

    rows: list[Row] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    uuids: list[str | None] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    home: dict[str, Cell] = field(default_factory=dict)
    missing: list[CellUnavailable] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)
    matched: int = 0


class Lister:
    """Fetches nodes with the columns that a serializer's plan needs."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.listing = Listing()

    def across(self, nodes: "QuerySet[ComputeNode]") -> AcrossCells[ComputeNode]:
        return AcrossCells(self._rows(nodes), compute_cells())

    def _rows(self, nodes: "QuerySet[ComputeNode]") -> "QuerySet[Any, Row]":
        columns = as_stored(ComputeNode, self.columns)
        return nodes.order_by("id").values_list(*KEYS, *columns)

    def all(self, nodes: "QuerySet[ComputeNode]") -> Listing:
        """Every visible node."""
        answers = self.across(nodes).all()
        self.listing.missing = list(answers.missing)
        self._add([(cell, row) for cell, rows in answers.by_cell.items() for row in rows])
        return self.listing

    def page(
        self, nodes: "QuerySet[ComputeNode]", limit: int, after: tuple[Cell, int] | None
    ) -> Listing:
        """``limit`` visible nodes after that one (fewer only at the end), in Nova's order.

        Nodes that are not visible do not count: where some are met, more are fetched.
        """
        across = self.across(nodes)
        size = limit
        missing: dict[Cell, CellUnavailable] = {}
        while len(self.listing.rows) < limit:
            page = across.page(size, after)
            missing |= {one.cell: one for one in page.missing}
            self._add(page.rows)
            if len(page.rows) < size:
                break
            cell, row = page.rows[-1]
            after = (cell, row[ID])
            size = min(2 * size, 1000) if size < 1000 else size
        self.listing.missing += missing.values()
        self._cut(limit)
        return self.listing

    def one(self, cell: Cell, node_id: int) -> Listing:
        """The node with that id, if it is visible."""
        rows = self._rows(ComputeNode.objects.filter(id=node_id))
        answers = AcrossCells(rows, [cell]).all()
        self.listing.missing = list(answers.missing)
        self._add([(cell, row) for cell, rows in answers.by_cell.items() for row in rows])
        return self.listing

    def _cut(self, limit: int) -> None:
        listing = self.listing
        for kept in (listing.rows, listing.cells, listing.ids, listing.uuids, listing.hosts):
            del kept[limit:]

    def _add(self, placed: list[Placed]) -> None:
        """Take the visible ones of these nodes into the listing."""
        listing = self.listing
        listing.matched += len(placed)
        hosts = self._hosts_by_service_id([one for one in placed if one[1][HOST] is None])
        named = [
            (cell, row, row[HOST] or hosts.get((cell, row[SERVICE_ID]))) for cell, row in placed
        ]
        mapped = cell_ids_of_hosts(
            None if len(named) > 5000 else list({host for _, _, host in named if host})
        )
        elsewhere: dict[Cell, set[str]] = defaultdict(set)
        homes: list[Cell | None] = []
        for cell, row, host in named:
            cell_id = mapped.get(host) if host else None
            home = cell if cell_id == cell.id else cell_with_id(cell_id)
            homes.append(home)
            if home is not None and host and (home != cell or row[HOST] is None):
                elsewhere[home].add(host)
        services = self._services(elsewhere)
        start = len(KEYS)
        for (cell, row, host), home in zip(named, homes, strict=True):
            if home is None or not host:
                listing.unmapped.append(host or "None")
                continue
            if home == cell and row[HOST] is not None:
                if row[SERVICE] is None:
                    continue
                values = row[start:]
            else:
                service = services.get((home, host))
                if service is None:
                    continue
                values = self._with_service(row[start:], host, service)
            listing.rows.append(values)
            listing.cells.append(cell)
            listing.ids.append(row[ID])
            listing.uuids.append(row[UUID])
            listing.hosts.append(host)
            listing.home[host] = home
        for cell in {cell for cell, _ in placed}:
            remember(cell, [row[UUID] for at, row in placed if at is cell and row[UUID]])

    def _hosts_by_service_id(self, placed: list[Placed]) -> dict[tuple[Cell, int], str]:
        """Hosts of nodes from before Liberty, which only name the id of their service."""
        wanted: dict[Cell, set[int]] = defaultdict(set)
        for cell, row in placed:
            if row[SERVICE_ID] is not None:
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

    def _services(self, hosts: dict[Cell, set[str]]) -> dict[tuple[Cell, str], dict[str, Any]]:
        """The nova-compute services of these hosts, with the plan's service columns."""
        names = [
            column.removeprefix(SERVICE_PREFIX)
            for column in self.columns
            if column.startswith(SERVICE_PREFIX)
        ]
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
            (cell, row[0]): dict(zip(names, row[1:], strict=True))
            for cell, rows in answers.by_cell.items()
            for row in rows
        }

    def _with_service(self, values: Row, host: str, service: dict[str, Any]) -> Row:
        return [
            host
            if column == "host"
            else service[column.removeprefix(SERVICE_PREFIX)]
            if column.startswith(SERVICE_PREFIX)
            else value
            for column, value in zip(self.columns, values, strict=True)
        ]


def servers_on(listing: Listing) -> dict[str, list[dict[str, str]]]:
    """The servers of each host in the listing, one query per cell; Nova's short form.

    Cells that do not answer are added to ``listing.missing``.
    """
    hosts: dict[Cell, set[str]] = defaultdict(set)
    for host, home in listing.home.items():
        hosts[home].add(host)
    answers = ask_cells(
        hosts,
        lambda cell: list(
            Instance.objects.using(cell.alias)
            .filter(host__in=hosts[cell])
            .order_by("id")
            .values_list("host", "id", "uuid")
        ),
    )
    known = {one.cell for one in listing.missing}
    listing.missing += [one for one in answers.missing if one.cell not in known]
    servers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for rows in answers.values():
        for host, row_id, uuid in rows:
            servers[host].append({"name": f"instance-{row_id:08x}", "uuid": uuid})
    return servers


def sums(
    question: "Callable[[QuerySet[ComputeNode]], dict[str, int | None]]",
    nodes: "QuerySet[ComputeNode]",
) -> tuple[dict[str, int], list[CellUnavailable]]:
    """The sums over all cells of what ``question`` answers for each."""
    answers = AcrossCells(nodes, compute_cells()).ask(question)
    total: dict[str, int] = {}
    for one in answers.values():
        for key, value in one.items():
            total[key] = total.get(key, 0) + int(value or 0)
    return total, answers.missing
