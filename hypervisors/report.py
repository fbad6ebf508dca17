"""Everything that is wrong in the fleet now: the problems that are declared, and where they are."""

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.utils import timezone

from cells.cache import CachedValue
from cells.executors import CellUnavailable
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells, first_of
from hypervisors.findings import Finding
from hypervisors.models import ComputeNode
from hypervisors.placement_facts import Facts, facts_now, latest_facts
from hypervisors.placement_problems import PLACEMENT_PROBLEMS
from hypervisors.problems import FLEET_PROBLEMS, NODE_PROBLEMS, PROBLEMS
from hypervisors.snapshot import Snapshot, take_snapshot
from services.models import Service
from services.problems import SERVICE_PROBLEMS, Problem

#: How many findings of a problem pages show; the rest is only counted.
KEPT = 200


@dataclass
class Result:
    """The findings of one problem; ``count`` may be more than are kept in ``findings``."""

    problem: Problem
    kept: int | None = None
    findings: list[Finding] = field(default_factory=list)
    count: int = 0

    def add(self, finding: Finding) -> None:
        self.count += 1
        if self.kept is None or len(self.findings) < self.kept:
            self.findings.append(finding)


@dataclass
class Report:
    """A result for each problem there can be, worst first, and the cells that did not answer.

    ``cells`` is how many were asked.  ``placement`` is what placement was, or was not, asked.
    ``by_key`` has the findings about each row by the key of its page, also those that are not kept.
    """

    results: list[Result]
    missing: list[CellUnavailable]
    cells: int
    at: datetime.datetime
    placement: Facts
    by_key: Mapping[str, Sequence[tuple[Problem, Finding]]]

    @property
    def count(self) -> int:
        """How many findings there are that something should be done about."""
        return sum(result.count for result in self.results if result.problem.severity != "info")

    @property
    def severity(self) -> str:
        """``good``, ``warning`` or ``bad``: that of the worst finding.

        A missing cell is bad; placement that does not answer is a warning.
        """
        found = {result.problem.severity for result in self.results if result.count}
        if self.missing or "bad" in found:
            return "bad"
        return "warning" if "warning" in found or self.placement.failed else "good"

    @property
    def not_found(self) -> list[Problem]:
        """What was looked for in vain; what placement alone could tell, only if it told all."""
        was_told = self.placement.was_asked and not self.placement.failed
        return [
            result.problem
            for result in self.results
            if not result.count and (was_told or result.problem not in PLACEMENT_PROBLEMS)
        ]


def check_fleet(
    cells: Iterable[Cell] | None = None,
    *,
    kept: int | None = None,
    placement: Callable[[], Facts] = facts_now,
) -> Report:
    """Look for every problem in all cells (or in these).

    ``kept`` is how many findings of a problem to keep; all unless given.  ``placement`` says what
    placement has, which takes a while in a large cloud.  Raises ``DatabaseError`` when the API
    database does not answer.
    """
    asked = tuple(all_cells() if cells is None else cells)
    now = timezone.now()
    facts = placement()
    snapshot = take_snapshot(
        asked,
        now,
        node_problems=NODE_PROBLEMS,
        service_problems=SERVICE_PROBLEMS,
        placement=facts,
    )
    results = {
        problem.name: Result(problem, 0 if problem.only_count else kept) for problem in PROBLEMS
    }
    by_key: dict[str, list[tuple[Problem, Finding]]] = defaultdict(list)
    for name, finding in _findings(snapshot):
        results[name].add(finding)
        for row in (*finding.nodes, *finding.services):
            by_key[row.key].append((results[name].problem, finding))
    return Report(list(results.values()), snapshot.missing, len(asked), now, facts, dict(by_key))


def _findings(snapshot: Snapshot) -> Iterable[tuple[str, Finding]]:
    for rows_by_cell in (snapshot.nodes, snapshot.services):
        for cell, rows in rows_by_cell.items():
            for row in rows:
                for name in row.problems:
                    yield name, Finding.of((cell, row))
    for problem in FLEET_PROBLEMS:
        for finding in problem.find(snapshot):
            yield problem.name, finding


#: The report that pages show, which do not wait for placement.
latest_report = CachedValue(partial(check_fleet, kept=KEPT, placement=latest_facts), ttl=60)


def missing_now() -> list[CellUnavailable]:
    """The cells that do not answer at this moment: each is asked for one row of either table."""
    service, node = first_of(Service.objects.all()), first_of(ComputeNode.objects.all())
    return ask_cells(all_cells(), lambda cell: (service(cell), node(cell))).missing


def report_given(missing: Iterable[CellUnavailable]) -> Report:
    """The latest report, made anew if the cells missing now are not those missing from it.

    It may be a second old all the same, so that a cell that comes and goes costs no more.  While
    it is looked at, it is made anew beside the pages: for 100,000 hosts that takes seconds.
    """
    report = latest_report.latest(2)
    if {one.cell for one in missing} != {one.cell for one in report.missing}:
        report = latest_report.get(max_age=1)
    return report
