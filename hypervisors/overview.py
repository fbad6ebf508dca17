"""The whole cloud at a glance: what the console's first page shows."""

import datetime
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from cells.executors import CellUnavailable
from cells.fields import flag
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells
from cells.statements import Statement
from hypervisors.capacity import RESOURCES
from hypervisors.models import ComputeNode
from services.models import API_BINARIES, Service, state_expression

#: What is summed up of each resource: what there physically is, what of it may be allocated, and
#: what is used.
SUMS = {
    f"{resource.name}{suffix}": Sum(of)
    for resource in RESOURCES
    for suffix, of in (
        ("", resource.total),
        ("_limit", resource.limit_expression()),
        ("_used", resource.used),
    )
}
#: The used part of the memory from which on a cell needs attention.
FULL = 0.9
#: The longest bar in a cell's square on the map (``admin/cell_square.html``).
BAR_WIDTH = 60


@dataclass
class Numbers:
    """What there is in a cell, or in all.  Memory in MiB, disk in GiB.

    ``hypervisors`` and ``services`` count by state and status: ``all``, ``up``, ``down``, of the
    latter those ``forced`` down, and ``disabled`` (up or not).  Hypervisors without a service are
    in none of the other numbers.
    """

    hypervisors: Counter[str] = field(default_factory=Counter)
    services: Counter[str] = field(default_factory=Counter)
    capacity: Counter[str] = field(default_factory=Counter)
    services_without_uuid: int = 0
    hypervisors_without_service: int = 0

    def add(self, other: "Numbers") -> None:
        self.hypervisors.update(other.hypervisors)
        self.services.update(other.services)
        self.capacity.update(other.capacity)
        self.services_without_uuid += other.services_without_uuid
        self.hypervisors_without_service += other.hypervisors_without_service


@dataclass
class CellOverview:
    """A cell: what is in it, or why it did not say."""

    cell: Cell
    numbers: Numbers | None
    cause: str = ""

    @property
    def down(self) -> int | None:
        """How many of its hypervisors and services are down."""
        if self.numbers is None:
            return None
        return self.numbers.hypervisors["down"] + self.numbers.services["down"]

    def used(self, resource: str) -> float | None:
        """What part of the allocatable ``vcpus``, ``memory`` or ``disk`` is used; ``None``
        if there is none of it.
        """
        limit = self.numbers.capacity[f"{resource}_limit"] if self.numbers else 0
        if not limit or self.numbers is None:
            return None
        return self.numbers.capacity[f"{resource}_used"] / limit

    @property
    def memory_percent(self) -> int | None:
        used = self.used("memory")
        return None if used is None else math.floor(round(100 * used, 6))

    @property
    def kind(self) -> str:
        """The kind of its badge: ``unknown`` if it does not answer."""
        if self.numbers is None:
            return "unknown"
        if self.numbers.hypervisors["down"]:
            return "bad"
        is_full = (self.used("memory") or 0) >= FULL
        return "warning" if self.numbers.services["down"] or is_full else "good"

    @property
    def bar_width(self) -> int:
        """How long the bar of its square is, in pixels of at most ``BAR_WIDTH``."""
        return round(BAR_WIDTH * min(self.memory_percent or 0, 100) / 100)

    @property
    def words(self) -> str:
        """What its square of the map says, in words."""
        if self.numbers is None:
            return _("not responding")
        words = [_("%(n)d down") % {"n": self.down}]
        if self.memory_percent is not None:
            words.append(_("%(n)d %% of the memory in use") % {"n": self.memory_percent})
        return ", ".join(words)

    @property
    def rank(self) -> tuple[Any, ...]:
        """Least for the worst: silent, then most that is down, then the fullest."""
        return (self.numbers is not None, -(self.down or 0), -(self.used("memory") or 0))


@dataclass
class Overview:
    """Every cell and the sum of those that answered."""

    cells: list[CellOverview]
    total: Numbers
    missing: list[CellUnavailable]

    @property
    def worst_first(self) -> list[CellOverview]:
        return sorted(self.cells, key=lambda cell: cell.rank)

    @property
    def cells_up(self) -> int:
        return len(self.cells) - len(self.missing)


def overview() -> Overview:
    """Ask every cell: two queries each."""
    cells = all_cells()
    now = timezone.now()
    answers = ask_cells(cells, partial(_count, nodes=_nodes(now), services=_services(now)))
    causes = {absence.cell: absence.cause for absence in answers.missing}
    total = Numbers()
    for numbers in answers.values():
        total.add(numbers)
    return Overview(
        [CellOverview(cell, answers.by_cell.get(cell), causes.get(cell, "")) for cell in cells],
        total,
        answers.missing,
    )


def _nodes(now: datetime.datetime) -> Statement:
    """How many compute nodes there are of each state and status, and what they have."""
    groups: Any = (
        ComputeNode.objects.order_by()
        .values(
            has_service=flag(Q(service__id__isnull=False)),
            state=state_expression(now, "service__"),
            is_forced=flag(Q(service__forced_down=True)),
            is_disabled=flag(Q(service__disabled=True)),
        )
        .annotate(rows=Count("id"), **{f"sum_{name}": total for name, total in SUMS.items()})
    )
    return Statement(groups)


def _services(now: datetime.datetime) -> Statement:
    """How many services there are of each state and status."""
    groups: Any = (
        Service.objects.exclude(binary__in=API_BINARIES)
        .order_by()
        .values(
            state=state_expression(now),
            is_forced=flag(Q(forced_down=True)),
            is_disabled=flag(Q(disabled=True)),
            has_no_uuid=flag(Q(uuid=None)),
        )
        .annotate(rows=Count("id"))
    )
    return Statement(groups)


def _count(cell: Cell, nodes: Statement, services: Statement) -> Numbers:
    numbers = Numbers()
    for group in nodes.rows(cell.alias):
        if not group["has_service"]:
            numbers.hypervisors_without_service += group["rows"]
            continue
        _add(numbers.hypervisors, group)
        for name in SUMS:
            numbers.capacity[name] += int(group[f"sum_{name}"] or 0)
    for group in services.rows(cell.alias):
        _add(numbers.services, group)
        numbers.services_without_uuid += group["rows"] * group["has_no_uuid"]
    return numbers


def _add(counts: Counter[str], group: dict[str, Any]) -> None:
    """Count rows of one state and status."""
    counts["all"] += group["rows"]
    counts[group["state"]] += group["rows"]
    if group["is_forced"]:
        counts["forced"] += group["rows"]
    if group["is_disabled"]:
        counts["disabled"] += group["rows"]
