"""What requests cost against the number of cells and of rows, as a picture.

``python -m bench.plot [--hosts-per-cell 200] [--output docs/performance.svg]``

One fleet of 100 cells, of whose mappings more and more are removed; medians, as ``bench`` has them.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from bench.__main__ import questions
from bench.fleet import DOWN_TIME, ROOT, SERVERS, connect, fleet
from bench.floor import Floor
from bench.measuring import Client, compare
from tests.servers import free_port

CELLS = (100, 75, 50, 25, 10, 2)
AGAINST_CELLS = (
    "one hypervisor by uuid", "a uuid that is nowhere", "services of one host", "statistics",
)  # fmt: skip
AGAINST_ROWS = ("all services",)
#: The tables that name cells, with the column that has the id of one.
MAPPINGS = {"host_mappings": "cell_id", "instance_mappings": "cell_id", "cell_mappings": "id"}
COLOURS = ("#d1495b", "#2e86ab", "#3b8b5a", "#8a5fbf")
WIDTH, HEIGHT, LEFT, TOP, GAP = 380, 240, 50, 40, 90

#: Milliseconds of the floor and of the portal by what they are plotted against.
Points = dict[int, tuple[float, float]]


def measure(engine: str, hosts_per_cell: int, rounds: int) -> dict[str, Points]:
    """The points of each question; prints them."""
    points: dict[str, Points] = defaultdict(dict)
    with fleet(engine, max(CELLS), hosts_per_cell) as made:
        for cells in CELLS:
            with closing(connect(made.api_url)) as connection, connection.cursor() as cursor:
                for table, column in MAPPINGS.items():
                    cursor.execute(f"DELETE FROM {table} WHERE {column} > %s", (cells + 1,))
            with made.served(free_port()) as portal:
                floor, client = Floor(made.api_url, DOWN_TIME), Client(portal.port, portal.token)
                for question in questions(floor, client, hosts_per_cell):
                    at = cells if question.title in AGAINST_CELLS else cells * hosts_per_cell
                    if question.title not in AGAINST_CELLS + AGAINST_ROWS:
                        continue
                    asked = partial(client.get, question.path, question.status)
                    found = compare([question.floor, asked], rounds)
                    points[question.title][at] = found.median(0), found.median(1)
                    print(f"{question.title}, {cells} cells: floor {found.median(0):.1f} ms, "
                          f"portal {found.median(1):.1f} ms", flush=True)  # fmt: skip
    return points


def panel(title: str, across: str, curves: dict[str, Points], left: float) -> Iterable[str]:
    """The SVG of one diagram: the portal's curves, and those of the floor, dashed."""
    right = max(at for curve in curves.values() for at in curve)
    top = max(value for curve in curves.values() for pair in curve.values() for value in pair)

    def path(values: Sequence[tuple[int, float]]) -> str:
        return " ".join(
            f"{left + WIDTH * at / right:.1f},{TOP + HEIGHT * (1 - value / top):.1f}"
            for at, value in sorted(values)
        )

    bottom = TOP + HEIGHT
    yield f'<text x="{left}" y="{TOP - 16}" font-weight="bold">{title}</text>'
    yield f'<path d="M{left},{TOP} V{bottom} H{left + WIDTH}" fill="none" stroke="#888"/>'
    for part in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + WIDTH * part, bottom - HEIGHT * part
        yield f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{right * part:,.0f}</text>'
        yield f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{top * part:.0f}</text>'
    yield f'<text x="{left + WIDTH}" y="{bottom + 36}" text-anchor="end">{across}</text>'
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number]
        for way, dashes in ((0, "4 4"), (1, "none")):
            values = [(at, pair[way]) for at, pair in curve.items()]
            yield (f'<polyline points="{path(values)}" fill="none" stroke="{colour}" '
                   f'stroke-width="2" stroke-dasharray="{dashes}"/>')  # fmt: skip
        y = bottom + 60 + 18 * number
        yield f'<text x="{left}" y="{y}" fill="{colour}">{name}</text>'


def draw(points: dict[str, Points]) -> str:
    """The whole picture."""
    right = LEFT + WIDTH + GAP
    lines = [
        *panel("ms against cells", "cells", {name: points[name] for name in AGAINST_CELLS}, LEFT),
        *panel("ms against rows", "rows", {name: points[name] for name in AGAINST_ROWS}, right),
    ]
    y = TOP + HEIGHT + 60
    lines.append(f'<text x="{right + 150}" y="{y}">solid: the portal; dashed: the floor</text>')
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right + WIDTH + 20} {y + 64}" '
        f'font-family="sans-serif" font-size="13" fill="#888">\n{body}\n</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("--engine", choices=SERVERS, default="postgresql")
    parser.add_argument("--hosts-per-cell", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.svg")
    options = parser.parse_args()
    points = measure(options.engine, options.hosts_per_cell, options.rounds)
    options.output.write_text(draw(points))


if __name__ == "__main__":
    main()
