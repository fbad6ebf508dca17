"""The filters of the console's lists: several values, aggregates, and what they count."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.http import urlencode
from pytest_django import Settings

from cells.aggregates import host_aggregates
from cells.availability_zones import host_zones
from hypervisors.cloud_problems import DOWN_WITH_SERVERS
from services.list_filters import HostAggregateFilter
from tests.clouds import Cloud
from tests.test_console_lists import NODES, SERVICES, page


@pytest.fixture(autouse=True)
def _fresh(settings: Settings) -> None:
    """Nothing that a previous test has read of the API database is kept."""
    settings.CELL_MAPPINGS_TTL = 1e-9
    host_aggregates.by_cell.clear()
    host_zones.by_cell.clear()


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def hosts(client: Client, path: str, **filters: str | list[str]) -> set[str]:
    """The hosts of the rows that a filtered list has."""
    column = "name" if path == NODES else "host"
    html = page(client, f"{path}?{urlencode({**filters, 'columns': column}, doseq=True)}")
    return set(re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', html))


def choices(client: Client, url: str, title: str) -> dict[str, str]:
    """The choices of the filter with that title, with their counts; none if it is not shown."""
    separator = "&" if "?" in url else "?"
    html = re.sub(r"\s+", " ", page(client, f"{url}{separator}_facets=True"))
    section = "".join(re.findall(rf"<h3>{title}</h3>(.*?)</section>", html))
    found = re.findall(r'class="choice">(.*?)</span> <span class="count">([^<]*)</span>', section)
    return {re.sub(r"<span.*?</span> ", "", name).strip(): count for name, count in found}


def small_fleet(cloud: Cloud) -> None:
    cloud.host("cell1", "up")
    cloud.host("cell1", "disabled", service={"disabled": True})
    cloud.host("cell2", "forced", service={"forced_down": True})
    cloud.host("cell2", "off", service={"forced_down": True, "disabled": True})
    service, _node = cloud.host("cell3", "orphan")
    service.delete()
    cloud.add_service("cell1", "ctl", binary="nova-conductor")
    cloud.add_aggregate("rack r01", ["up", "forced", "ctl"])
    cloud.add_aggregate("ssd", ["forced", "off"])


def test_a_filter_takes_several_values(cloud: Cloud, console: Client) -> None:
    small_fleet(cloud)
    for filters, found in (
        ({"cell": ["cell1", "cell3"]}, {"up", "disabled", "orphan"}),
        ({"state": ["up", ""]}, {"up", "disabled", "orphan"}),
        ({"state": ["up", "down"], "status": "disabled"}, {"disabled", "off"}),
        ({"forced_down": "yes"}, {"forced", "off"}),
        ({"forced_down": ["no", ""]}, {"up", "disabled", "orphan"}),
        ({"aggregate": ["rack r01", "ssd"]}, {"up", "forced", "off"}),
        ({"aggregate": ["rack r01", "nowhere"], "cell": "cell2"}, {"forced"}),
        ({"aggregate": ""}, {"disabled", "orphan"}),
        ({"aggregate": ["", "ssd"]}, {"disabled", "orphan", "forced", "off"}),
        ({"aggregate": "nowhere"}, set()),
        ({"zone": ["nova", "nowhere"]}, {"up", "disabled", "forced", "off", "orphan"}),
    ):
        assert hosts(console, NODES, **filters) == found, filters
    assert hosts(console, SERVICES, aggregate="rack r01") == {"up", "forced"}
    assert hosts(console, SERVICES, aggregate="") == {"disabled", "ctl"}
    assert hosts(console, SERVICES, zone=["internal", "nova"], binary="nova-conductor") == {"ctl"}


def test_each_choice_counts_what_it_would_show(cloud: Cloud, console: Client) -> None:
    small_fleet(cloud)
    for selected in ("", "aggregate=ssd", "forced_down=yes&state=down&state=up", "cell=cell2"):
        counts = choices(console, f"{NODES}?{selected}", "Aggregate")
        others = [pair.split("=") for pair in selected.split("&") if pair]
        fixed = {name: [v for n, v in others if n == name] for name, _ in others}
        fixed.pop("aggregate", None)
        for label, count in counts.items():
            value = "" if label == "none" else label
            assert len(hosts(console, NODES, **fixed, aggregate=value)) == int(count), label
    assert choices(console, f"{NODES}?status=disabled", "Forced down") == {"yes": "1", "no": "1"}


def test_a_host_of_that_name_in_another_cell_does_not_have_its_problem(
    cloud: Cloud, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DOWN_WITH_SERVERS.hosts, "ttl", 0)
    cloud.host("cell1", "twin", service={"forced_down": True})
    cloud.add_instance("cell1", "twin")
    cloud.add_service("cell2", "twin")
    cloud.add_node("cell2", "twin")
    cloud.add_instance("cell2", "twin")
    html = page(console, f"{NODES}?problem={DOWN_WITH_SERVERS.name}&columns=name,cell")
    (cell,) = re.findall(r'<td class="column-cell"[^>]*>([^<]*)</td>', html)
    assert cell.strip() == "cell1"
    counts = choices(console, NODES, "Problem")
    assert counts[str(DOWN_WITH_SERVERS.label)] == "1"
    assert counts["no problem"] == "1"


def test_a_choice_adds_and_removes_its_value(cloud: Cloud, console: Client) -> None:
    small_fleet(cloud)
    query = "?status=enabled&state=up"
    closed, opened, filters = (
        re.sub(r"\s+", " ", page(console, f"{NODES}{url}"))
        for url in (query, f"{query}&_facets=1", f"filters/{query}&_facets=1")
    )
    for html in (opened, filters):
        assert 'href="?state=up&amp;state=down&amp;status=enabled"' in html
        assert 'href="?state=up" aria-current="true"' in html
    for html in (closed, opened):
        assert '<a class="chip" href="?state=up">' in html
        assert "Status: enabled" in html
    assert 'class="choice"' not in closed
    assert 'href="?_facets=True&amp;state=up&amp;status=enabled"' in closed
    assert 'data-src="filters/?_facets=True&amp;state=up&amp;status=enabled"' in closed
    assert '="?_facets' not in opened
    assert console.get(f"{NODES}?{'&'.join(f'cell={n}' for n in range(500))}").status_code == 400


def test_aggregates_stand_on_the_pages_of_a_host(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "a")
    cloud.host("cell1", "b")
    cloud.add_aggregate("rack r01", ["a"])
    cloud.add_aggregate("ssd", ["a"])
    for url in (f"{NODES}{node.uuid}/", f"{SERVICES}{service.uuid}/"):
        assert '?aggregate=rack%20r01">rack r01</a>' in page(console, url)
    for path in (NODES, SERVICES):
        assert "rack r01, ssd" in page(console, f"{path}?columns=aggregates")
        exported = b"".join(console.get(f"{path}export.csv")).decode()
        assert '"rack r01, ssd"' in exported


def test_many_aggregates_are_offered_by_name(cloud: Cloud, console: Client) -> None:
    names = [f"rack r{number:02}" for number in range(40)]
    for name in names:
        cloud.host("cell1", name)
        cloud.add_aggregate(name, [name])
    cloud.add_aggregate("all", names)
    counts = choices(console, NODES, "Aggregate")
    assert len(counts) == HostAggregateFilter.max_choices
    assert counts["all"] == "40"
    url = f"{NODES}?aggregate=rack+r39&status=enabled&_facets=True"
    html = re.sub(r"\s+", " ", page(console, url))
    assert "10 more, by name:" in html
    (form,) = re.findall(r'<form method="get" class="more">(.*?)</form>', html)
    assert 'type="hidden" name="aggregate" value="rack r39"' in form
    assert 'type="hidden" name="status" value="enabled"' in form
    assert choices(console, f"{NODES}?aggregate=rack+r39", "Aggregate")["rack r39"] == "1"
