"""A demo fleet: what real clouds have, edge cases included.

A pure function of its parameters: the same parameters give the same rows.  Nothing here touches
a database (see ``hypervisors.demo.databases``); rows are built cell by cell, so that a large fleet
is never in memory as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hypervisors.demo.builder import CellBuilder, CellRows, FleetParameters
from hypervisors.demo.edge_cases import EDGE_CASES


@dataclass(frozen=True)
class Fleet(FleetParameters):
    """The rows of a fleet with these parameters, cell by cell."""

    def __iter__(self) -> Iterator[CellRows]:
        for number in range(self.cells + 1):
            yield self.cell(number)

    def __len__(self) -> int:
        return self.cells + 1

    def cell(self, number: int) -> CellRows:
        """The rows of cell ``number``; 0 is cell0, of conductors and schedulers."""
        edge_cases = [
            add for home, add in EDGE_CASES if self.edge_cases and min(home, self.cells) == number
        ]
        return CellBuilder(self, number).build(edge_cases)
