"""Which cell is worst: the map on the overview, and the tables of cells that sort by anything."""

import datetime
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from cells.executors import CellUnavailable
from cells.registry import Cell
from portal.console.templatetags.console import by_cause
from tests.clouds import Cloud

CELLS = "/admin/overview/cells/"
PROBES = "/admin/cells/cellmapping/"


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def uneven(cloud: Cloud) -> Cloud:
    """cell3 has a host that is down, cell1 is the fullest, cell0 is empty."""
    cloud.host("cell1", "full", node={"memory_mb": 100, "memory_mb_used": 120})
    cloud.host("cell2", "fine", node={"memory_mb": 100, "memory_mb_used": 10})
    gone = {"last_seen_up": timezone.now() - datetime.timedelta(hours=1)}
    cloud.host("cell3", "down", service=gone, node={"memory_mb": 100, "memory_mb_used": 50})
    return cloud


def order(client: Client, path: str) -> list[str]:
    """The names of the cells in the order of the page's table."""
    html = client.get(path).content.decode()
    return re.findall(r'<th scope="row">\s*<a [^>]*>([^<]*)</a>', html)


def test_the_worst_cell_comes_first(uneven: Cloud, console: Client) -> None:
    assert order(console, CELLS) == ["cell3", "cell1", "cell2", "cell0"]
    assert order(console, f"{CELLS}?o=nothing") == ["cell3", "cell1", "cell2", "cell0"]
    # What is not known comes last in either direction.
    assert order(console, f"{CELLS}?o=memory") == ["cell2", "cell3", "cell1", "cell0"]
    assert order(console, f"{CELLS}?o=-memory") == ["cell1", "cell3", "cell2", "cell0"]
    assert order(console, f"{CELLS}?o=-name") == ["cell3", "cell2", "cell1", "cell0"]
    html = console.get(f"{CELLS}?o=-memory").content.decode()
    assert html.count('aria-sort="descending"') == 1
    assert 'href="?o=memory"' in html  # the next click
    assert 'href="?o=-disk"' in html


def test_the_map_says_it_in_numbers(uneven: Cloud, console: Client) -> None:
    html = re.sub(r"\s+", " ", console.get("/admin/").content.decode())
    labels = re.findall(r'class="cell-square (\w+)"[^>]* aria-label="([^"]*)"', html)
    assert labels == [
        ("bad", "cell3: 2 down, 50 % of the memory in use"),
        ("warning", "cell1: 0 down, 120 % of the memory in use"),
        ("good", "cell2: 0 down, 10 % of the memory in use"),
        ("good", "cell0: 0 down"),
    ]
    assert " style=" not in html


def test_a_silent_cell_is_the_worst(uneven: Cloud, dead_cell: Cell, console: Client) -> None:
    assert order(console, CELLS)[0] == "cell2"
    html = console.get("/admin/").content.decode()
    first = re.search(r'class="cell-square (\w+)"[^>]* aria-label="([^"]*)"', html)
    assert first
    assert first.groups() == ("unknown", "cell2: not responding")
    assert order(console, PROBES)[0] == "cell2"
    assert order(console, f"{PROBES}?o=name") == ["cell0", "cell1", "cell2", "cell3"]


@pytest.mark.any_engine
def test_silent_cells_with_one_cause_are_together(cloud: Cloud) -> None:
    cells = cloud.cells
    refused = [
        CellUnavailable(cell, f'connection to "10.0.0.{n}", port 54{n} failed: refused')
        for n, cell in enumerate(cells[:3])
    ]
    denied = CellUnavailable(cells[3], "password authentication failed")
    assert by_cause([denied, *refused]) == [
        ("connection to …, port … failed: refused", list(cells[:3])),
        ("password authentication failed", [cells[3]]),
    ]
    assert by_cause(refused[:1]) == [(refused[0].cause, [cells[0]])]
