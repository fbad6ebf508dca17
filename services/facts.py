"""What is on the hosts of services: the numbers that decide what may be done to a service.

They are counted in the same way for the services of a cell that the console asks about, however
many they are, and for the one service that an action has locked: in one query.
"""

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, F, QuerySet, Value
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
    it was not asked.  ``host_nodes`` are the compute nodes of a host of which those, or servers,
    were counted.
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
    counted = _count(cell.alias, ids, list(names)) if ids else {name: {} for name in names}
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
    """The facts with the compute nodes of the hosts that have servers, or nodes to be named."""
    hosts = {facts.service.host or "" for facts in counted if _has_nodes(facts)}
    if not hosts:
        return counted
    nodes = nodes_of_hosts(cell.alias, hosts)
    return [
        replace(facts, host_nodes=tuple(nodes.get(facts.service.host or "", ())))
        if _has_nodes(facts)
        else facts
        for facts in counted
    ]


def _has_nodes(facts: Facts) -> bool:
    return bool(facts.counts.get("servers") or facts.counts.get("nodes"))


# --- counting ---------------------------------------------------------------------------------

#: Rows of the name of a number, the id of a service, what is counted, and how many it stands for.
#: What several querysets find is counted once.
Counts = list["QuerySet[Any, tuple[str, int, int, int]]"]


def _count(
    alias: str, ids: Collection[int], names: Collection[str]
) -> dict[str, Mapping[int, int]]:
    """Each of these numbers by the id of the service, all in one query."""
    counted: dict[str, Counter[int]] = {name: Counter() for name in names}
    querysets = [queryset for name in names for queryset in COUNTS[name](name, alias, ids)]
    if querysets:
        for name, service_id, _counted, n in querysets[0].union(*querysets[1:]):
            counted[name][service_id] += n
    return dict(counted)


def _rows_of(relation: str) -> Callable[[str, str, Collection[int]], Counts]:
    """The live rows of a relation to the service, which are counted by the database."""

    def rows_of(name: str, alias: str, ids: Collection[int]) -> Counts:
        rows = Service.objects.using(alias).filter(id__in=ids, **{f"{relation}__deleted": 0})
        counted: Any = rows.order_by().values(name=Value(name), service=F("id"), row=Value(0))
        return [counted.annotate(n=Count(relation)).values_list("name", "service", "row", "n")]

    return rows_of


def _migrations(name: str, alias: str, ids: Collection[int]) -> Counts:
    in_progress = related_model("migrations_from").objects.db_manager(alias).in_progress()
    # A migration within a host is from it and to it, and is counted once.
    return [
        in_progress.filter(
            **{
                f"{service}__id__in": ids,
                f"{service}__compute_nodes__deleted": 0,
                f"{service}__compute_nodes__hypervisor_hostname": F(node),
            }
        )
        .order_by()
        .values_list(Value(name), f"{service}__id", "id", Value(1))
        for service, node in (("source_service", "source_node"), ("dest_service", "dest_node"))
    ]


def _evacuations(name: str, alias: str, ids: Collection[int]) -> Counts:
    done = related_model("migrations_from").objects.db_manager(alias).evacuations_to_complete()
    rows = done.filter(source_service__id__in=ids).order_by()
    return [rows.values_list(Value(name), "source_service__id", "id", Value(1))]


#: How each number is counted in the database of a cell, for services with some ids.
COUNTS: dict[str, Callable[[str, str, Collection[int]], Counts]] = {
    "servers": _rows_of("instances"),
    "nodes": _rows_of("compute_nodes"),
    "migrations": _migrations,
    "evacuations": _evacuations,
}
