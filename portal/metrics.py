"""The frame of ``/metrics``: what is to be collected, and how a scrape is written.

It knows no resource.  An app registers in its ``AppConfig`` what it reads from every cell
(``register_cell_reader``) and what it collects of the whole (``register_collector``).  Counters
that are kept while requests are answered are prometheus-client's own.

A fleet has several metrics per host, so a scrape is millions of samples long: the samples of
cells are written as text by the threads that have read them, and not as objects of the library.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TypeVar

from django.db import DatabaseError
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from cells.databases import cause_of
from cells.executors import executor_for
from cells.registry import Cell, all_cells
from cells.scatter_gather import CELLS_AT_ONCE, ScatterGather

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: A cell is waited for at least so many seconds, and longer only if it took longer the last time.
PATIENCE = 0.4
#: How many cells of a batch may be left to answer while the next batch is asked.
STRAGGLERS = 2


@dataclass(frozen=True)
class Family:
    """A metric with samples from every cell.  ``labels`` are those besides ``cell``."""

    name: str
    documentation: str
    labels: tuple[str, ...] = ()

    def head(self) -> bytes:
        """The lines that come before its samples."""
        return f"# HELP {self.name} {self.documentation}\n# TYPE {self.name} gauge\n".encode()


#: Writes samples.  It is called when they are sent, so that a scrape is never whole in memory;
#: whatever can go wrong with what a cell has must have gone wrong before.
Samples = Callable[[], bytes]
Read = Callable[[Cell, str], Sequence[Samples]]


@dataclass(frozen=True)
class CellReader:
    """Something that is read from every cell at each scrape.

    ``begin`` is called at the beginning of a scrape, for what the cells have in common.  What it
    returns is called in each cell's executor with the cell and the value of its label ``cell``,
    escaped, and returns the samples of each family, in the order of ``families``.
    ``refresh`` is called when the scrape has been sent, for what the next one shall know: what is
    done in the background meanwhile would take the time of this one.
    """

    families: tuple[Family, ...]
    begin: Callable[[], Read]
    refresh: Callable[[], None]


_readers: list[CellReader] = []
_collectors: list[Collector] = []


def register_cell_reader(reader: CellReader) -> None:
    """Have every scrape read this from every cell."""
    _readers.append(reader)


def register_collector(collector: Collector) -> None:
    """Have every scrape include what the collector yields; it must not ask cells."""
    _collectors.append(collector)


# --- cells ------------------------------------------------------------------------------------

UP = Family(
    "nova_cell_up",
    "Whether the cell answers: this scrape or, if that could not wait for it, the last question.",
    ("cell_uuid",),
)
SCRAPED = Family(
    "nova_cell_scraped", "Whether the samples of the cell are in this scrape.", ("cell_uuid",)
)
SCRAPE_SECONDS = Family(
    "nova_cell_scrape_seconds",
    "How long reading the samples of the cell took, in seconds.",
    ("cell_uuid",),
)


@dataclass(frozen=True)
class CellAnswer:
    """The samples of each family, and how many seconds they took."""

    samples: list[Samples]
    seconds: float


def cell_labels(cells: Iterable[Cell]) -> dict[Cell, str]:
    """The label of each cell: its name, or its uuid where cells share a name."""
    labels: dict[Cell, str] = {}
    names = [cell.name for cell in cells]
    for cell in cells:
        labels[cell] = cell.name if names.count(cell.name) == 1 else cell.uuid
    return labels


def read_cells() -> list[tuple[Family, list[Samples]]]:
    """Every family of the cells, with the samples of all cells that answered in time."""
    cells = all_cells()
    labels = cell_labels(cells)
    reads = [reader.begin() for reader in _readers]
    answers = _ask(cells, partial(_read, labels=labels, reads=reads))
    families = [family for reader in _readers for family in reader.families]
    blocks: list[list[Samples]] = [[] for _family in families]
    up: list[bytes] = []
    scraped: list[bytes] = []
    durations: list[bytes] = []
    for cell in cells:
        answer = answers.get(cell)
        text = f'{{cell="{escape(labels[cell])}",cell_uuid="{cell.uuid}"}}'
        up.append(f"{UP.name}{text} {int(answer is not None or _answered_last(cell))}\n".encode())
        scraped.append(f"{SCRAPED.name}{text} {int(answer is not None)}\n".encode())
        if answer is not None:
            durations.append(f"{SCRAPE_SECONDS.name}{text} {answer.seconds:.6f}\n".encode())
            for block, samples in zip(blocks, answer.samples, strict=True):
                block.append(samples)
    return [
        (UP, [written(b"".join(up))]),
        (SCRAPED, [written(b"".join(scraped))]),
        (SCRAPE_SECONDS, [written(b"".join(durations))]),
        *zip(families, blocks, strict=True),
    ]


def _answered_last(cell: Cell) -> bool:
    breaker = executor_for(cell).breaker
    return breaker.answered_at is not None and not breaker.is_open() and not cell.problem


def _read(cell: Cell, labels: dict[Cell, str], reads: list[Read]) -> CellAnswer:
    started = time.monotonic()
    label = escape(labels[cell])
    samples = [each for read in reads for each in read(cell, label)]
    answer = CellAnswer(samples, time.monotonic() - started)
    _last_seconds[cell.uuid] = answer.seconds
    return answer


#: How long each cell took the last time, also where a scrape did not wait for it.
_last_seconds: dict[str, float] = {}


def _ask(cells: Sequence[Cell], ask: Callable[[Cell], CellAnswer]) -> dict[Cell, CellAnswer]:
    """The answers, without waiting for a cell that is slower than it was the last time."""
    batches: list[tuple[float, Sequence[Cell], ScatterGather[CellAnswer]]] = []
    for start in range(0, len(cells), CELLS_AT_ONCE):
        batch = cells[start : start + CELLS_AT_ONCE]
        gathering = ScatterGather(ask)
        started_at = time.monotonic()
        batches.append((started_at, batch, gathering))
        gathering.submit(batch)
        _wait(gathering, started_at, _patience_with(batch), leave=STRAGGLERS)
    answers: dict[Cell, CellAnswer] = {}
    for started_at, batch, gathering in batches:
        if not _wait(gathering, started_at, _patience_with(batch)):
            # The scrape goes on without them; whether they hang is still to be noted.
            threading.Thread(target=gathering.gather, name="metrics", daemon=True).start()
        answers |= gathering.answers().by_cell
    return answers


def _patience_with(cells: Iterable[Cell]) -> float:
    """How many seconds the slowest of these cells may take, or all of them may be silent."""
    return max(PATIENCE, *(1.5 * _last_seconds.get(cell.uuid, 0) for cell in cells))


def _wait(
    gathering: "ScatterGather[CellAnswer]", started_at: float, patience: float, leave: int = 0
) -> bool:
    """Wait while cells answer; ``True`` when all have, or all but ``leave``."""
    to_come = count(-1, -1)

    def is_enough(_answer: CellAnswer) -> bool:
        return next(to_come) <= 0

    timeout = max(patience, time.monotonic() - started_at + PATIENCE / 2)
    answered = -1
    while (now_answered := len(gathering.answers().by_cell)) > answered:
        answered = now_answered
        pending = gathering.pending
        if pending <= leave:
            return True
        to_come = count(pending - leave - 1, -1)
        if gathering.gather(timeout, stop_when=is_enough):
            return True
        timeout = time.monotonic() - started_at + PATIENCE
    return False


# --- all of it --------------------------------------------------------------------------------


class _Registered(Collector):
    """The registered collectors, which read databases."""

    def collect(self) -> Iterator[Metric]:
        for collector in _collectors:
            try:
                yield from collector.collect()
            except DatabaseError as error:
                logger.warning("metrics: %s: %s", type(collector).__name__, cause_of(error))


def scrape() -> Iterator[bytes]:
    """Everything, in Prometheus's text format, in pieces: all of it has been read by then."""
    cells = read_cells()
    registry = CollectorRegistry()
    registry.register(_Registered())
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        others = generate_latest(registry)
    else:
        others = generate_latest(registry) + generate_latest(REGISTRY)
    return _write(cells, others)


def _write(cells: list[tuple[Family, list[Samples]]], others: bytes) -> Iterator[bytes]:
    try:
        for family, samples in cells:
            yield family.head()
            for write in samples:
                yield write()
        yield others
    finally:
        for reader in _readers:
            reader.refresh()


# --- for readers and collectors -----------------------------------------------------------------


def written(text: bytes) -> Samples:
    """Samples that have been written already."""
    return lambda: text


def escape(value: object) -> str:
    """A label's value as it is written; nothing for ``None``."""
    text = "" if value is None else str(value)
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text
