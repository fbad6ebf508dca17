"""What of a hypervisor is used, of what may be allocated: rules, filters, order and bars."""

import re
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth.models import User
from django.test import Client

from hypervisors.capacity import LEVELS, RESOURCES
from hypervisors.models import ComputeNode
from portal.console.html import bar
from tests.clouds import Cloud
from tests.test_console_filters import choices, hosts
from tests.test_console_lists import NODES, page

#: Used, total, and allocation ratio of a resource.
AMOUNTS = (
    (0, 16, 1.0), (12, 16, 1.0), (11, 16, 1.0), (14, 16, 1.0), (15, 16, 1.0), (16, 16, 1.0),
    (20, 16, 1.0), (20, 16, 1.5), (24, 16, 1.5), (16, 16, None), (15, 16, 0.0), (231, 16, 16.0),
    (255, 16, 16.0), (256, 16, 16.0), (0, 0, 1.0), (5, 0, 4.0), (-1, 16, 1.0), (9, 20, 0.5),
)  # fmt: skip


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_the_expression_is_the_function(cloud: Cloud) -> None:
    for number, (used, total, ratio) in enumerate(AMOUNTS):
        for cell in ("cell1", "cell2"):
            columns = {
                name: value
                for resource in RESOURCES
                for name, value in zip(resource.fields, (used, total, ratio), strict=True)
            }
            cloud.add_node(cell, f"host-{number}", **columns)
    for resource in RESOURCES:
        rows = ComputeNode.objects.using(cloud.cell("cell1").alias).annotate(
            fraction=resource.fraction_expression(), limit=resource.limit_expression()
        )
        assert len(rows) == len(AMOUNTS)
        for row in rows:
            assert row.fraction == resource.fraction(row), (row, resource.name)
            assert row.limit == resource.usage(row).limit


def test_hypervisors_are_filtered_and_sorted_by_what_is_used(cloud: Cloud, console: Client) -> None:
    for number, (used, total, ratio) in enumerate(AMOUNTS):
        columns = {"memory_mb_used": used, "memory_mb": total, "ram_allocation_ratio": ratio}
        cloud.host(f"cell{1 + number % 3}", f"host-{number:02}", node=columns)
    fractions = {
        f"host-{number:02}": used / (total * (ratio or 1)) if total else None
        for number, (used, total, ratio) in enumerate(AMOUNTS)
    }
    for level in LEVELS:
        expected = {host for host, share in fractions.items() if (share or 0) >= level / 100}
        assert hosts(console, NODES, memory=str(level)) == expected
        for selected in ("", f"memory={level}", "memory=100", "memory=75&vcpus=90", "disk=75"):
            counts = choices(console, f"{NODES}?{selected}", "Memory used")
            others = dict(parse_qsl(selected))
            others.pop("memory", None)
            found = hosts(console, NODES, **others, memory=str(level)) if selected else expected
            assert counts.get(f"{level} % or more", "0") == str(len(found)), (level, selected)
    assert hosts(console, NODES, memory=["90", "75"]) == hosts(console, NODES, memory="75")
    assert hosts(console, NODES, memory="80") == set()
    html = page(console, f"{NODES}?o=-memory")
    shown = re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', html)
    known = [share for host in shown if (share := fractions[host]) is not None]
    assert known == sorted(known, reverse=True)
    assert [fractions[host] for host in shown[len(known) :]] == [None, None]


def test_a_bar_is_red_when_nothing_more_fits() -> None:
    full, nearly = bar(24, 24.0, "", 16), bar(23.9, 24.0, "", 16)
    assert 'class="bar over"' in full
    assert "100 %" in full
    assert 'class="bar high"' in nearly
    assert "99 %" in nearly
    assert 'class="bar normal"' in bar(20, 24.0, "", 16)
    assert 'class="physical" x="66.7%"' in full
    assert 'title="physical: 16"' in full
    assert "physical" not in bar(8, 16.0, "", 16)
    assert "32 / 96 GiB" in bar(32768, 98304.0, "MiB", 65536)
    assert "5 / 0" in bar(5, 0.0)
