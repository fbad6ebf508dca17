"""GET os-services over all cells, at each version."""

import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from cells.registry import Cell
from services.models import Service
from tests.clients import Answer, ApiClient
from tests.clouds import Cloud
from tests.counting import Queries

Counting = Callable[[], AbstractContextManager[Queries]]


def hosts(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [service["host"] for service in answer["services"]]


def the_one(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.text
    [service] = answer["services"]
    assert isinstance(service, dict)
    return service


def seconds_ago(seconds: float) -> datetime.datetime:
    return timezone.now() - datetime.timedelta(seconds=seconds)


# --- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "by_uuid", "forced_down"),
    [
        ("2.1", False, False),
        ("2.10", False, False),
        ("2.11", False, True),
        ("2.52", False, True),
        ("2.53", True, True),
        ("2.69", True, True),
        ("2.104", True, True),
    ],
)
def test_a_service_at_each_version(
    cloud: Cloud, api: ApiClient, version: str, by_uuid: bool, forced_down: bool
) -> None:
    seen = datetime.datetime(2026, 6, 1, 12, 0, 0, tzinfo=datetime.UTC)
    row = cloud.add_service(
        "cell1", "compute-1", updated_at=seen, disabled=True, disabled_reason="broken fan"
    )
    expected = {
        "id": row.uuid if by_uuid else 1,
        "binary": "nova-compute",
        "host": "compute-1",
        "zone": "nova",
        "status": "disabled",
        "state": "up",
        "updated_at": "2026-06-01T12:00:00.000000",
        "disabled_reason": "broken fan",
    }
    assert the_one(api.get("/os-services", version)) == expected | (
        {"forced_down": False} if forced_down else {}
    )


def test_the_order_is_the_cells_then_the_ids(cloud: Cloud, api: ApiClient) -> None:
    for name in ("cell3", "cell1", "cell0", "cell2"):
        cloud.add_service(name, f"{name}-b", id=2)
        cloud.add_service(name, f"{name}-a", id=1)
    assert hosts(api.get("/os-services")) == [
        f"cell{number}-{letter}" for number in range(4) for letter in "ab"
    ]


def test_services_that_nova_does_not_list(cloud: Cloud, api: ApiClient) -> None:
    cloud.add_service("cell0", "api-1", binary="nova-osapi_compute")
    cloud.add_service("cell0", "api-1", binary="nova-metadata")
    cloud.add_service("cell1", "gone", deleted=1)
    cloud.add_service("cell0", "controller", binary="nova-scheduler")
    assert hosts(api.get("/os-services", "2.53")) == ["controller"]


def test_no_services_is_an_empty_list(api: ApiClient) -> None:
    answer = api.get("/os-services")
    assert (answer.body, "Warning" in answer.headers) == ({"services": []}, False)


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({}, "up"),
        ({"last_seen_up": 55}, "up"),
        ({"last_seen_up": 65}, "down"),
        ({"last_seen_up": -55}, "up"),
        ({"last_seen_up": -75}, "down"),
        ({"forced_down": True}, "down"),
        ({"last_seen_up": None, "created_at": 5}, "up"),
        ({"last_seen_up": None, "created_at": 65}, "down"),
        ({"last_seen_up": None, "created_at": None}, "down"),
        ({"last_seen_up": 65, "created_at": 5}, "down"),
        ({"disabled": True}, "up"),
        ({"forced_down": None}, "up"),
    ],
)
def test_what_is_up(cloud: Cloud, api: ApiClient, columns: dict[str, Any], state: str) -> None:
    """Times are seconds ago."""
    times = {
        name: seconds_ago(value) if value is not None else None
        for name, value in columns.items()
        if name in ("last_seen_up", "created_at")
    }
    cloud.add_service("cell1", "compute-1", **(columns | times))
    assert the_one(api.get("/os-services"))["state"] == state


def test_service_down_time_is_a_setting(cloud: Cloud, api: ApiClient, settings: Settings) -> None:
    cloud.add_service("cell1", "compute-1", last_seen_up=seconds_ago(300))
    settings.SERVICE_DOWN_TIME = 600
    assert the_one(api.get("/os-services"))["state"] == "up"


def test_zones_come_from_aggregates(cloud: Cloud, api: ApiClient, settings: Settings) -> None:
    settings.INTERNAL_AVAILABILITY_ZONE = "inner"
    settings.DEFAULT_AVAILABILITY_ZONE = "outer"
    for host in ("north-1", "none-1", "ssd-1"):
        cloud.add_service("cell1", host)
    cloud.add_service("cell1", "north-1", binary="nova-conductor")
    cloud.add_aggregate("north", ["north-1"], zone="north")
    cloud.add_aggregate("ssd", ["north-1", "ssd-1"])
    zones = [
        (service["host"], service["binary"], service["zone"])
        for service in api.get("/os-services")["services"]
    ]
    assert zones == [
        ("north-1", "nova-compute", "north"),
        ("none-1", "nova-compute", "outer"),
        ("ssd-1", "nova-compute", "outer"),
        ("north-1", "nova-conductor", "inner"),
    ]


# --- filters --------------------------------------------------------------------------------------


@pytest.fixture
def some(cloud: Cloud) -> None:
    cloud.add_service("cell1", "host-1")
    cloud.add_service("cell1", "host-1", binary="nova-conductor")
    cloud.add_service("cell2", "Host-2")
    cloud.add_service("cell3", "host-1")


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("host=host-1", ["host-1", "host-1", "host-1"]),
        ("host=Host-2", ["Host-2"]),
        ("host=host-2", []),
        ("host=HOST-1", []),
        ("host=host", []),
        ("host=host-1%20", []),
        ("host=host_1", []),
        ("host=%25", []),
        ("binary=nova-conductor", ["host-1"]),
        ("binary=NOVA-CONDUCTOR", []),
        ("binary=nova-compute&host=host-1", ["host-1", "host-1"]),
        ("host=", ["host-1", "host-1", "Host-2", "host-1"]),
        ("binary=&host=Host-2", ["Host-2"]),
        ("host=Host-2&host=host-1", ["host-1", "host-1", "host-1"]),
        ("host=host-1&host=", ["host-1", "host-1", "Host-2", "host-1"]),
        ("host=nul%00", []),
        ("host=%F0%9F%90%A2", []),
        ("binary=" + "x" * 1000, []),
    ],
)
def test_filters(api: ApiClient, query: str, found: list[str]) -> None:
    for version in ("2.1", "2.75"):
        assert hosts(api.get(f"/os-services?{query}", version)) == found


@pytest.mark.usefixtures("some")
def test_unknown_parameters_are_refused_since_2_75(api: ApiClient) -> None:
    for version in ("2.1", "2.53", "2.74"):
        assert len(hosts(api.get("/os-services?hots=host-1&limit=1", version))) == 4
    for version in ("2.75", "2.104"):
        answer = api.get("/os-services?hots=host-1", version)
        assert answer.status == 400
        assert "hots" in answer["badRequest"]["message"]


@pytest.mark.usefixtures("some")
def test_a_query_that_is_not_utf_8_is_refused(api: ApiClient) -> None:
    assert api.get("/os-services?host=%ff").status == 400


# --- services without a uuid ----------------------------------------------------------------------


def test_a_service_without_a_uuid_is_listed_with_a_warning(cloud: Cloud, api: ApiClient) -> None:
    cloud.add_service("cell1", "new")
    cloud.add_service("cell2", "old", uuid=None)
    for version in ("2.53", "2.69", "2.104"):
        answer = api.get("/os-services", version)
        assert hosts(answer) == ["new", "old"]
        assert answer["services"][1]["id"] is None
        assert "backfill_service_uuids" in answer.headers["Warning"]
        assert answer.headers["Warning"].startswith("199 - ")
    assert "Warning" not in api.get("/os-services?host=new", "2.53").headers
    assert "Warning" not in api.get("/os-services", "2.52").headers


# --- unreachable cells ----------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "unknown"), [("2.1", False), ("2.68", False), ("2.69", True)])
def test_hosts_of_a_dead_cell_are_unknown_since_2_69(
    cloud: Cloud, api: ApiClient, dead_cell: Cell, version: str, unknown: bool
) -> None:
    cloud.host("cell1", "host-1")
    cloud.map_host("host-2", "cell2")
    cloud.map_host("host-2b", "cell2")
    cloud.host("cell3", "host-3")
    answer = api.get("/os-services", version)
    lost = ["host-2", "host-2b"] if unknown else []
    assert hosts(answer) == ["host-1", *lost, "host-3"]
    for service in answer["services"][1:-1]:
        assert service == {
            "binary": "nova-compute",
            "host": service["host"],
            "status": "UNKNOWN",
        }
    assert "cell cell2 did not answer" in answer.headers["Warning"]
    assert "secret" not in answer.headers["Warning"]


def test_unknown_hosts_are_filtered_like_others(
    cloud: Cloud, api: ApiClient, dead_cell: Cell
) -> None:
    cloud.map_host("host-2", "cell2")
    cloud.map_host("host-2b", "cell2")
    for query, found in (
        ("host=host-2", ["host-2"]),
        ("host=HOST-2", []),
        ("binary=nova-compute", ["host-2", "host-2b"]),
        ("binary=nova-conductor", []),
        ("host=other", []),
    ):
        answer = api.get(f"/os-services?{query}", "2.69")
        assert hosts(answer) == found, query
        assert "Warning" in answer.headers


def test_a_hung_cell_does_not_affect_the_others(
    cloud: Cloud, api: ApiClient, hung_cell: Cell
) -> None:
    cloud.host("cell1", "host-1")
    cloud.map_host("host-2", "cell2")
    cloud.host("cell3", "host-3")
    assert hosts(api.get("/os-services", "2.69")) == ["host-1", "host-2", "host-3"]


# --- cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_cell", [1, 40])
def test_a_list_is_one_query_per_cell_however_long(
    cloud: Cloud, api: ApiClient, count_queries: Counting, per_cell: int
) -> None:
    for cell in cloud.cells:
        Service.objects.using(cell.alias).bulk_create(
            Service(id=number, host=f"{cell.name}-{number}", binary="nova-compute", topic="compute")
            for number in range(1, per_cell + 1)
        )
    for path, version in (
        ("/os-services", "2.1"),
        ("/os-services", "2.104"),
        ("/os-services?binary=nova-compute", "2.104"),
        ("/os-services?host=cell1-1", "2.104"),
    ):
        with count_queries() as queries:
            api.get(path, version)
        assert queries.per_cell() == dict.fromkeys(["cell0", "cell1", "cell2", "cell3"], 1)
        assert len(queries.on("api")) == 1  # the zones
        assert len(queries.on("default")) == 1  # the token


def test_unknown_hosts_cost_one_query_more(
    cloud: Cloud, api: ApiClient, count_queries: Counting, dead_cell: Cell
) -> None:
    for number in range(20):
        cloud.map_host(f"host-{number}", "cell2")
    with count_queries() as queries:
        assert len(hosts(api.get("/os-services", "2.69"))) == 20
    assert len(queries.on("api")) == 2  # the zones, and the hosts
