"""What is on the hosts of services: the numbers that decide what may be done to a service.

They are counted in the same way for the services of a cell that the console asks about, a query
or two per number however many they are, and for the one service that an action has locked.
"""

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, F
from django.utils import timezone

from cells.aggregates import aggregates_of_hosts
from cells.executors import CellUnavailable
from cells.locate import Found, by_keys
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from services.disablings import Disabling, disablings_of
from services.host_removal import HostInPlacement, look_up
from services.models import API_BINARIES, NOVA_COMPUTE, Service
from services.servers import nodes_of_hosts, related_model


@dataclass(frozen=True)
class Facts:
    """A service, and what is on its host as far as it was counted.

    Reading a number that was not counted raises ``KeyError``.  ``aggregates`` are the names of
    those that a compute host is in, and ``disabling`` says who disabled the service; only
    ``facts_by_key`` reads them.  ``in_placement`` is what placement has of the host; ``None`` if
    it was not asked.  ``host_nodes`` are the compute nodes of a host with servers, whose pages list
    them.
    """

    found: Found[Service]
    counts: Mapping[str, int]
    now: datetime.datetime
    aggregates: tuple[str, ...] = ()
    disabling: Disabling | None = None
    in_placement: HostInPlacement | None = None
    host_nodes: tuple[Any, ...] = ()

    @property
    def service(self) -> Service:
        return self.found.row

    @property
    def cell(self) -> Cell:
        return self.found.cell

    @property
    def is_compute(self) -> bool:
        return self.service.binary == NOVA_COMPUTE

    @property
    def is_reporting(self) -> bool:
        """Whether its heartbeats arrive, even if it is forced down."""
        return self.service.is_reporting(self.now)

    @property
    def servers(self) -> int:
        """Servers on the host, in whatever state."""
        return self.counts["servers"]

    @property
    def nodes(self) -> int:
        """Compute nodes of the host."""
        return self.counts["nodes"]

    @property
    def migrations(self) -> int:
        """Migrations in progress from or to one of the host's compute nodes.

        As Nova counts them: a migration of the host that names another node, or none, is not
        one of them.  From ``nova.db.main.api.migration_get_in_progress_by_host_and_node``.
        """
        return self.counts["migrations"]

    @property
    def evacuations(self) -> int:
        """Evacuations of the host that are done and that its nova-compute has not noticed yet."""
        return self.counts["evacuations"]


def count_facts(
    cell: Cell, services: Collection[Service], names: Iterable[str], now: datetime.datetime
) -> list[Facts]:
    """The services of ``cell`` with these numbers; all are 0 where there is no nova-compute."""
    ids = [service.id for service in services if service.binary == NOVA_COMPUTE]
    counted = {name: COUNTS[name](cell.alias, ids) if ids else {} for name in names}
    return [
        Facts(
            Found(cell, service),
            {name: counts.get(service.id, 0) for name, counts in counted.items()},
            now,
        )
        for service in services
    ]


@dataclass
class FactsByKey:
    """The services that were found, the other keys, and the cells that did not answer."""

    facts: dict[str, Facts]
    not_found: list[str]
    missing: list[CellUnavailable]


def facts_by_key(
    keys: Iterable[str], names: Collection[str], *, placement: bool = False
) -> FactsByKey:
    """The services with these keys, of those that Nova lists, from all cells side by side; with
    ``placement``, that is asked about their hosts.
    """
    wanted = list(dict.fromkeys(keys))
    found, missing = by_keys(Service.objects.exclude(binary__in=API_BINARIES), wanted)
    services: dict[Cell, list[Service]] = defaultdict(list)
    for one in found.values():
        services[one.cell].append(one.row)
    now = timezone.now()
    answers = ask_cells(
        services, lambda cell: _with_nodes(cell, count_facts(cell, services[cell], names, now))
    )
    disablings = disablings_of(one.row for one in found.values())
    hosts = {one.row.host for one in found.values() if one.row.binary == NOVA_COMPUTE}
    aggregates = aggregates_of_hosts(hosts - {None}) if hosts else {}
    in_placement = look_up(services, usage=True) if placement else {}
    counted = {
        (cell, facts.service.id): replace(
            facts,
            aggregates=aggregates.get(facts.service.host or "", ()) if facts.is_compute else (),
            disabling=disablings.get(facts.service.uuid or ""),
            in_placement=in_placement.get((cell, facts.service.id)),
        )
        for cell, in_cell in answers.by_cell.items()
        for facts in in_cell
    }
    by_key = {
        key: counted[one.cell, one.row.id]
        for key, one in found.items()
        if one.cell in answers.by_cell
    }
    silent = {one.cell for one in missing}
    return FactsByKey(
        facts=by_key,
        not_found=[key for key in wanted if key not in by_key],
        missing=missing + [one for one in answers.missing if one.cell not in silent],
    )


def _with_nodes(cell: Cell, counted: list[Facts]) -> list[Facts]:
    """The facts with the nodes of the hosts that have servers, as far as those were counted."""
    hosts = {facts.service.host or "" for facts in counted if facts.counts.get("servers")}
    if not hosts:
        return counted
    nodes = nodes_of_hosts(cell.alias, hosts)
    return [
        replace(facts, host_nodes=tuple(nodes.get(facts.service.host or "", ())))
        if facts.counts.get("servers")
        else facts
        for facts in counted
    ]


# --- counting ---------------------------------------------------------------------------------


def _count_rows(relation: str) -> Callable[[str, Collection[int]], dict[int, int]]:
    """Counts the live rows of a relation, by the id of the service."""

    def count(alias: str, ids: Collection[int]) -> dict[int, int]:
        rows = Service.objects.using(alias).filter(id__in=ids, **{f"{relation}__deleted": 0})
        return dict(rows.order_by().values("id").annotate(n=Count(relation)).values_list("id", "n"))

    return count


def _count_migrations(alias: str, ids: Collection[int]) -> dict[int, int]:
    in_progress = related_model("migrations_from").objects.db_manager(alias).in_progress()
    # A migration within a host is from it and to it, and is counted once.
    found: set[tuple[int, int]] = set()
    for side in ("source", "dest"):
        service = f"{side}_service"
        rows = in_progress.filter(
            **{
                f"{service}__id__in": ids,
                f"{service}__compute_nodes__deleted": 0,
                f"{service}__compute_nodes__hypervisor_hostname": F(f"{side}_node"),
            }
        )
        found.update(rows.values_list(f"{service}__id", "id"))
    return Counter(service_id for service_id, _ in found)


def _count_evacuations(alias: str, ids: Collection[int]) -> dict[int, int]:
    done = related_model("migrations_from").objects.db_manager(alias).evacuations_to_complete()
    rows = done.filter(source_service__id__in=ids).values_list("source_service__id", flat=True)
    return Counter(rows)


#: How each number is counted in the database of a cell, for services with some ids.
COUNTS: dict[str, Callable[[str, Collection[int]], Mapping[int, int]]] = {
    "servers": _count_rows("instances"),
    "nodes": _count_rows("compute_nodes"),
    "migrations": _count_migrations,
    "evacuations": _count_evacuations,
}
