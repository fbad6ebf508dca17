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

from cells.executors import CellUnavailable
from cells.fields import as_stored
from cells.locate import remember
from cells.registry import Cell, cell_ids_of_hosts, cell_with_id, compute_cells
from cells.scatter_gather import AcrossCells, ask_cells
from hypervisors.models import ComputeNode, Instance
from portal.api.serializers import Plan
from services.models import NOVA_COMPUTE, Service

Row = Sequence[Any]
Placed = tuple[Cell, Row]

#: What every plan for nodes fetches first, whatever it shows.
KEYS = ("id", "uuid", "host", "service_id", "service__id")
ID, UUID, HOST, SERVICE_ID, SERVICE = range(len(KEYS))
SERVICE_PREFIX = "service__"


@dataclass
class Listing:
    """Visible nodes in order, and what is known beside them.

    ``rows`` have the plan's columns, ``homes`` the cell that each node's host is mapped to.
    ``unmapped`` are the hosts of nodes left out because no mapping names them; ``matched``
    counts all nodes that were looked at, visible or not.
    """

    rows: list[Row] = field(default_factory=list)
    homes: list[Cell] = field(default_factory=list)
    missing: list[CellUnavailable] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)
    matched: int = 0

    @property
    def hosts(self) -> list[str]:
        """The host of each node."""
        return [row[HOST] for row in self.rows]


class Lister:
    """Fetches nodes with the columns of a plan that begins with ``KEYS``."""

    def __init__(self, plan: Plan) -> None:
        self.columns = plan.columns
        self.listing = Listing()

    def all(self, nodes: "QuerySet[ComputeNode]") -> Listing:
        """Every visible node."""
        answers = AcrossCells(self._rows(nodes), compute_cells()).all()
        self.listing.missing += answers.missing
        self._add(list(answers.by_cell.items()))
        return self.listing

    def one(self, cell: Cell, node_id: int) -> Listing:
        """The node with that id, if it is visible."""
        answers = AcrossCells(self._rows(ComputeNode.objects.filter(id=node_id)), [cell]).all()
        self.listing.missing += answers.missing
        self._add(list(answers.by_cell.items()))
        return self.listing

    def page(
        self, nodes: "QuerySet[ComputeNode]", limit: int, after: tuple[Cell, int] | None
    ) -> Listing:
        """``limit`` visible nodes after that one (fewer only at the end), in Nova's order.

        Nodes that are not visible do not count: where some are met, more are fetched, in
        growing portions.
        """
        across = AcrossCells(self._rows(nodes), compute_cells())
        listing = self.listing
        missing: dict[Cell, CellUnavailable] = {}
        size, portion = limit, 100
        while len(listing.rows) < limit:
            page = across.page(size, after)
            missing |= {one.cell: one for one in page.missing}
            self._add(page.by_cell)
            if len(page) < size:
                break
            cell, rows = page.by_cell[-1]
            after = (cell, rows[-1][ID])
            size = max(portion, limit - len(listing.rows))
            portion *= 2
        listing.missing += missing.values()
        del listing.rows[limit:], listing.homes[limit:]
        return listing

    def _rows(self, nodes: "QuerySet[ComputeNode]") -> "QuerySet[Any, Row]":
        return nodes.order_by("id").values_list(*as_stored(ComputeNode, self.columns))

    def _add(self, placed: list[tuple[Cell, list[Row]]]) -> None:
        """Take the visible ones of these nodes into the listing."""
        hosts = {row[HOST] for _, rows in placed for row in rows}
        mapped = cell_ids_of_hosts(None if len(hosts) > MANY_HOSTS else hosts - {None})
        odd = _Odd(
            self,
            [
                (cell, row)
                for cell, rows in placed
                for row in rows
                if row[HOST] is None or mapped.get(row[HOST]) not in (cell.id, None)
            ],
            mapped,
        )
        listing = self.listing
        for cell, rows in placed:
            listing.matched += len(rows)
            remember(cell, [row[UUID] for row in rows])
            for row in rows:
                if row[HOST] is not None and mapped.get(row[HOST]) == cell.id:
                    if row[SERVICE] is not None:
                        listing.rows.append(row)
                        listing.homes.append(cell)
                elif (found := odd.find(cell, row)) is not None:
                    listing.rows.append(found[0])
                    listing.homes.append(found[1])


#: From so many hosts on, all host mappings are read rather than those of the hosts.
MANY_HOSTS = 5000


class _Odd:
    """The nodes whose service is not simply that of their host in their own cell."""

    def __init__(self, lister: Lister, placed: list[Placed], mapped: dict[str, int]) -> None:
        self.columns = lister.columns
        self.listing = lister.listing
        self.mapped = mapped
        self.hosts = self._hosts_by_service_id(placed)
        self.mapped |= cell_ids_of_hosts(set(self.hosts.values()) - mapped.keys())
        wanted: dict[Cell, set[str]] = defaultdict(set)
        for cell, row in placed:
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

    def _hosts_by_service_id(self, placed: list[Placed]) -> dict[tuple[Cell, int], str]:
        """Hosts of nodes from before Liberty, which only name the id of their service."""
        wanted: dict[Cell, set[int]] = defaultdict(set)
        for cell, row in placed:
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
        """The nova-compute services of these hosts, by the names of the plan's columns."""
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
