"""Everything that is wrong in the fleet: what, where, why it matters and what to do."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import Case, IntegerField, Q, Value, When
from django.db.models.expressions import Combinable
from django.utils import timezone

from cells.executors import CellUnavailable
from cells.locate import key_from
from cells.models import HostMapping
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells
from hypervisors.kinds import KINDS, Kind
from hypervisors.models import ComputeNode
from hypervisors.problems import NO_SERVICE, STALE, UNMAPPED, node_flags
from services.models import API_BINARIES, NOVA_COMPUTE, Service
from services.problems import DISABLED_LONG, FORCED_REPORTING, NO_UUID, service_flags

#: How many cells are asked at once: more would only wait for each other in this process.
CELLS_AT_ONCE = 20
#: How many findings of a kind pages show; the rest is only counted.
KEPT = 200
#: How old the report that pages show may be, in seconds.
REPORT_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what it is called, the cells it is in, and its pages' keys."""

    subject: str
    cells: tuple[Cell, ...] = ()
    nodes: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    detail: str = ""


@dataclass
class Problem:
    """All findings of a kind; ``count`` may be more than are kept in ``findings``."""

    kind: Kind
    findings: list[Finding] = field(default_factory=list)
    count: int = 0
    kept: int | None = None

    def add(self, finding: Finding) -> None:
        self.count += 1
        if self.kept is None or len(self.findings) < self.kept:
            self.findings.append(finding)


@dataclass
class Report:
    """What was found, kind by kind, and the cells that could not be looked at."""

    problems: list[Problem]
    missing: list[CellUnavailable]
    cells: int
    at: float = field(default_factory=time.time)

    @property
    def count(self) -> int:
        """How many findings there are that something should be done about."""
        return sum(one.count for one in self.problems if one.kind.severity != "info")

    @property
    def severity(self) -> str:
        """``good``, ``warning`` or ``bad``: that of the worst finding; a silent cell is bad."""
        found = {one.kind.severity for one in self.problems if one.count}
        if self.missing or "bad" in found:
            return "bad"
        return "warning" if "warning" in found else "good"


@dataclass(frozen=True)
class Node:
    """What the check reads of a compute node, with the names of its problems."""

    id: int
    uuid: str | None
    host: str | None
    name: str | None
    flags: frozenset[str]


@dataclass(frozen=True)
class Daemon:
    """What the check reads of a service, with the names of its problems."""

    id: int
    uuid: str | None
    host: str | None
    binary: str | None
    flags: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.binary} on {self.host}"


NODE_FLAGS = (NO_SERVICE, STALE)
SERVICE_FLAGS = (NO_UUID, FORCED_REPORTING, DISABLED_LONG)
Rows = tuple[list[Node], list[Daemon]]


def check_fleet(cells: Iterable[Cell] | None = None, *, kept: int | None = None) -> Report:
    """Look at all cells (or at these), a few at a time: two queries each.

    ``kept`` is how many findings of a kind to keep; all unless given.
    """
    asked = tuple(all_cells() if cells is None else cells)
    now = timezone.now()
    nodes = {name: node_flags(now)[name][1] for name in NODE_FLAGS}
    services = {name: condition for name, (_label, condition) in service_flags(now).items()}
    rows: dict[Cell, Rows] = {}
    missing: list[CellUnavailable] = []
    for start in range(0, len(asked), CELLS_AT_ONCE):
        part = asked[start : start + CELLS_AT_ONCE]
        answers = ask_cells(part, partial(_read, nodes=nodes, services=services))
        rows |= answers.by_cell
        missing += answers.missing
    problems = _Problems(rows, kept, complete=not missing).all()
    return Report(problems, missing, len(asked))


class _Latest:
    """The last report of the whole fleet."""

    def __init__(self) -> None:
        self.report: Report | None = None
        self.lock = threading.Lock()


_latest = _Latest()


def latest_report(*, seconds: float = REPORT_SECONDS) -> Report:
    """A report that is at most that old; a new one is made when there is none."""
    with _latest.lock:
        report = _latest.report
        if report is None or not 0 <= time.time() - report.at < seconds:
            report = _latest.report = check_fleet(kept=KEPT)
    return report


def _read(cell: Cell, nodes: dict[str, Q], services: dict[str, Q]) -> Rows:
    """The cell's compute nodes and services."""
    node_rows: Any = (
        ComputeNode.objects.using(cell.alias)
        .annotate(**_flags(nodes))
        .order_by("id")
        .values_list("id", "uuid", "host", "hypervisor_hostname", *_flags(nodes))
    )
    service_rows: Any = (
        Service.objects.using(cell.alias)
        .exclude(binary__in=API_BINARIES)
        .annotate(**_flags(services))
        .order_by("id")
        .values_list("id", "uuid", "host", "binary", *_flags(services))
    )
    return (
        [
            Node(row_id, uuid, host, name, _names(nodes, flags))
            for row_id, uuid, host, name, *flags in node_rows
        ],
        [
            Daemon(row_id, uuid, host, binary, _names(services, flags))
            for row_id, uuid, host, binary, *flags in service_rows
        ],
    )


def _flags(conditions: dict[str, Q]) -> dict[str, Combinable]:
    return {
        f"flag_{name.replace('-', '_')}": Case(
            When(condition, then=Value(1)), default=Value(0), output_field=IntegerField()
        )
        for name, condition in conditions.items()
    }


NONE: frozenset[str] = frozenset()


def _names(conditions: Iterable[str], values: Sequence[int]) -> frozenset[str]:
    if not any(values):
        return NONE
    return frozenset(name for name, value in zip(conditions, values, strict=True) if value)


class _Problems:
    """Sorts what the cells answered into problems."""

    def __init__(self, rows: dict[Cell, Rows], kept: int | None, *, complete: bool) -> None:
        self.rows = rows
        self.complete = complete
        self.problems = {kind.name: Problem(kind, kept=kept) for kind in KINDS}
        self.mappings: dict[str, int] = dict(HostMapping.objects.values_list("host", "cell_id"))

    def all(self) -> list[Problem]:
        for cell, (nodes, services) in self.rows.items():
            for node in nodes:
                for name in node.flags:
                    self._add(name, cell, str(node.name), node=node)
            for service in services:
                for name in service.flags:
                    self._add(name, cell, service.name, service=service)
                if cell.is_cell0 and service.binary == NOVA_COMPUTE:
                    self._add("cell0-compute", cell, service.name, service=service)
        self._mappings()
        self._duplicates()
        self._ambiguous()
        return list(self.problems.values())

    def _add(
        self,
        kind: str,
        cell: Cell,
        subject: str,
        *,
        node: Node | None = None,
        service: Daemon | None = None,
        detail: str = "",
    ) -> None:
        self.problems[kind].add(
            Finding(
                subject,
                (cell,),
                (key_from(cell, node.uuid, node.id),) if node else (),
                (key_from(cell, service.uuid, service.id),) if service else (),
                detail,
            )
        )

    def _mappings(self) -> None:
        """Hosts and mappings that miss each other."""
        by_id = {cell.id: cell for cell in self.rows}
        hosts: dict[Cell, dict[str, Daemon | Node]] = {}
        for cell, (nodes, services) in self.rows.items():
            found: dict[str, Daemon | Node] = {node.host: node for node in nodes if node.host}
            found |= {one.host: one for one in services if one.binary == NOVA_COMPUTE and one.host}
            hosts[cell] = found
            for host, row in found.items():
                mapped = self.mappings.get(host)
                if mapped is None:
                    is_node = isinstance(row, Node)
                    self._add(
                        UNMAPPED,
                        cell,
                        host,
                        node=row if isinstance(row, Node) else None,
                        service=None if isinstance(row, Node) else row,
                        detail="" if is_node else row.name or "",
                    )
        for host, cell_id in sorted(self.mappings.items()):
            home = by_id.get(cell_id)
            if home is None or host in hosts[home]:
                continue
            elsewhere = tuple(cell for cell, found in hosts.items() if host in found)
            if elsewhere:
                self.problems["wrong-cell"].add(Finding(host, (home, *elsewhere)))
            elif self.complete:  # else the host may be in a cell that does not answer
                self.problems["mapping-without-host"].add(Finding(host, (home,)))

    def _duplicates(self) -> None:
        """Hosts of several cells, and names of several nodes."""
        hosts: dict[str, list[tuple[Cell, Daemon]]] = defaultdict(list)
        names: dict[str, list[tuple[Cell, Node]]] = defaultdict(list)
        for cell, (nodes, services) in self.rows.items():
            for service in services:
                if service.binary == NOVA_COMPUTE and service.host:
                    hosts[service.host].append((cell, service))
            for node in nodes:
                if node.name:
                    names[node.name].append((cell, node))
        for host, daemons in hosts.items():
            if len({cell for cell, _service in daemons}) > 1:
                self.problems["duplicate-host"].add(
                    Finding(
                        host,
                        tuple(dict.fromkeys(cell for cell, _service in daemons)),
                        services=tuple(key_from(cell, one.uuid, one.id) for cell, one in daemons),
                    )
                )
        for name, placed in names.items():
            if len(placed) > 1:
                self.problems["duplicate-name"].add(
                    Finding(
                        name,
                        tuple(dict.fromkeys(cell for cell, _node in placed)),
                        nodes=tuple(key_from(cell, one.uuid, one.id) for cell, one in placed),
                    )
                )

    def _ambiguous(self) -> None:
        """Integer ids that mean nothing without a cell: only how many."""
        for name, which in (("hypervisors", 0), ("services", 1)):
            seen: Counter[int] = Counter()
            for rows in self.rows.values():
                seen.update(row.id for row in rows[which])
            problem = self.problems[f"ambiguous-{name}"]
            problem.count = sum(1 for number in seen.values() if number > 1)
