"""os-aggregates beyond what is compared with recorded answers of Nova."""

import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager

from cells.models import Aggregate, AggregateHost, AggregateMetadata
from cells.registry import Cell
from tests.clients import ApiClient, fault
from tests.clouds import Cloud
from tests.counting import Queries

NOON = datetime.datetime(2026, 6, 1, 12, 0, 0, 250, tzinfo=datetime.UTC)


def test_an_aggregate(cloud: Cloud, api: ApiClient) -> None:
    aggregate = cloud.add_aggregate("north", ["b", "a"], zone="az1")
    AggregateMetadata.objects.create(aggregate=aggregate, key="a first key", value="é")
    Aggregate.objects.update(created_at=NOON, updated_at=NOON)
    shown = {
        "id": aggregate.id,
        "name": "north",
        "hosts": ["b", "a"],
        "metadata": {"a first key": "é", "availability_zone": "az1"},
        "created_at": "2026-06-01T12:00:00.000250",
        "updated_at": "2026-06-01T12:00:00.000250",
        "deleted_at": None,
        "deleted": False,
        "availability_zone": "az1",
    }
    assert api.get(f"/os-aggregates/{aggregate.id}", "2.40").body == {"aggregate": shown}
    shown["uuid"] = aggregate.uuid
    assert api.get(f"/os-aggregates/{aggregate.id}", "2.41").body == {"aggregate": shown}


def test_each_has_its_own_hosts_and_metadata(cloud: Cloud, api: ApiClient) -> None:
    cloud.add_aggregate("north", ["a"], zone="az1")
    empty = cloud.add_aggregate("empty")
    south = cloud.add_aggregate("south", ["b", "a"])
    AggregateHost.objects.create(aggregate=south, host=None)
    listed = api.get("/os-aggregates", "2.104")["aggregates"]
    assert [(each["name"], each["hosts"], each["metadata"]) for each in listed] == [
        ("north", ["a"], {"availability_zone": "az1"}),
        ("empty", [], {}),
        ("south", ["b", "a"], {}),
    ]
    [shown] = [each for each in listed if each["id"] == empty.id]
    assert api.get(f"/os-aggregates/{empty.id}", "2.104").body == {"aggregate": shown}


def test_a_list_is_three_queries_of_the_api_database(
    cloud: Cloud, api: ApiClient, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    for number in range(5):
        cloud.add_aggregate(f"rack{number}", [f"host{number}"], zone=f"az{number}")
    with count_queries() as queries:
        assert len(api.get("/os-aggregates")["aggregates"]) == 5
    assert len(queries.on("api")) == 3
    assert not any(queries.per_cell().values())


def test_it_is_served_while_no_cell_answers(cloud: Cloud, api: ApiClient, dead_cell: Cell) -> None:
    cloud.add_aggregate("north")
    answer = api.get("/os-aggregates")
    assert answer.status == 200
    assert "Warning" not in answer.headers


def test_ids_that_no_aggregate_has(cloud: Cloud, api: ApiClient) -> None:
    cloud.add_aggregate("north")
    for id in ("0", "-1", "2147483648", "9" * 30):
        answer = api.get(f"/os-aggregates/{id}", "2.41")
        assert fault(answer) == (404, f"Aggregate {id} could not be found.")
    for id in ("north", "1.0", "9" * 5000):
        answer = api.get(f"/os-aggregates/{id}", "2.41")
        assert fault(answer) == (400, "Invalid input received: id must be an integer")
