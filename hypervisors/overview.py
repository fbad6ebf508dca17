"""The whole cloud at a glance: what the console's first page shows."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, CharField, Count, F, IntegerField, Q, Sum, Value, When
from django.utils import timezone

from cells.executors import CellUnavailable, CircuitBreaker, executor_for
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells
from hypervisors.models import ComputeNode
from services.models import API_BINARIES, Service, up_at

SUMS = {
    "vcpus": "vcpus",
    "vcpus_used": "vcpus_used",
    "memory": "memory_mb",
    "memory_used": "memory_mb_used",
    "disk": "local_gb",
    "disk_used": "local_gb_used",
}


@dataclass
class Numbers:
    """What there is in a cell, or in all.  Memory in MiB, disk in GiB.

    ``hypervisors`` and ``services`` count by state and status: ``all``, ``up``, ``down``, of the
    latter those ``forced`` down, and ``disabled`` (up or not).
    """

    hypervisors: Counter[str] = field(default_factory=Counter)
    services: Counter[str] = field(default_factory=Counter)
    capacity: Counter[str] = field(default_factory=Counter)
    without_uuid: int = 0
    orphans: int = 0

    def add(self, other: "Numbers") -> None:
        self.hypervisors.update(other.hypervisors)
        self.services.update(other.services)
        self.capacity.update(other.capacity)
        self.without_uuid += other.without_uuid
        self.orphans += other.orphans


@dataclass
class CellOverview:
    """A cell: how it answers, and what is in it if it did."""

    cell: Cell
    breaker: CircuitBreaker
    numbers: Numbers | None
    cause: str = ""


@dataclass
class Overview:
    """Every cell and the sum of those that answered."""

    cells: list[CellOverview]
    total: Numbers
    missing: list[CellUnavailable]
    at: float = field(default_factory=time.time)

    @property
    def cells_up(self) -> int:
        return len(self.cells) - len(self.missing)


def overview() -> Overview:
    """Ask every cell: two queries each."""
    cells = all_cells()
    answers = ask_cells(cells, _numbers)
    causes = {one.cell: one.cause for one in answers.missing}
    total = Numbers()
    for numbers in answers.values():
        total.add(numbers)
    return Overview(
        [
            CellOverview(
                cell, executor_for(cell).breaker, answers.by_cell.get(cell), causes.get(cell, "")
            )
            for cell in cells
        ],
        total,
        answers.missing,
    )


def _state(prefix: str) -> Case:
    return Case(
        When(Q(**{f"{prefix}forced_down": True}), then=Value("forced")),
        When(up_at(timezone.now(), prefix), then=Value("up")),
        default=Value("down"),
        output_field=CharField(),
    )


def _flag(condition: Q) -> Case:
    return Case(When(condition, then=Value(1)), default=Value(0), output_field=IntegerField())


def _numbers(cell: Cell) -> Numbers:
    numbers = Numbers()
    nodes: Any = (
        ComputeNode.objects.using(cell.alias)
        .order_by()
        .annotate(
            orphan=_flag(Q(service__id=None)),
            state=_state("service__"),
            off=_flag(Q(service__disabled=True)),
        )
        .values("orphan", "state", "off")
        .annotate(n=Count("id"), **{f"sum_{name}": Sum(F(of)) for name, of in SUMS.items()})
    )
    for row in nodes:
        if row["orphan"]:
            numbers.orphans += row["n"]
            continue
        _count(numbers.hypervisors, row)
        for name in SUMS:
            numbers.capacity[name] += int(row[f"sum_{name}"] or 0)
    services: Any = (
        Service.objects.using(cell.alias)
        .exclude(binary__in=API_BINARIES)
        .order_by()
        .annotate(state=_state(""), off=_flag(Q(disabled=True)), nameless=_flag(Q(uuid=None)))
        .values("state", "off", "nameless")
        .annotate(n=Count("id"))
    )
    for row in services:
        _count(numbers.services, row)
        numbers.without_uuid += row["n"] * row["nameless"]
    return numbers


def _count(counts: Counter[str], row: dict[str, Any]) -> None:
    counts["all"] += row["n"]
    counts["up" if row["state"] == "up" else "down"] += row["n"]
    if row["state"] == "forced":
        counts["forced"] += row["n"]
    if row["off"]:
        counts["disabled"] += row["n"]
