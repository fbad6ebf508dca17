"""The suite's own fixtures, on which every other test relies."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from cells.models import CellMapping
from cells.registry import Cell
from hypervisors.demo.fleet import Fleet
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.counting import Queries
from tests.servers import PortalServer


def test_each_engine_is_the_real_one(cloud: Cloud) -> None:
    assert {connections[cell.alias].vendor for cell in cloud.cells} == {cloud.engine}
    assert connections["api"].vendor == cloud.engine
    assert connections["default"].vendor == cloud.engine


@pytest.mark.parametrize("time", ["first", "second"])
def test_every_test_starts_with_empty_databases(cloud: Cloud, api: ApiClient, time: str) -> None:
    assert api.get("/os-services")["services"] == []
    assert User.objects.count() == 1
    assert CellMapping.objects.count() == 4
    for name in ("cell1", "cell2"):
        service, node = cloud.host(name, f"compute-{name}")
        assert (service.id, node.id) == (1, 1)
    assert len(api.get("/os-services")["services"]) == 2


def test_a_row_made_by_the_portal_does_not_collide(cloud: Cloud) -> None:
    cell = cloud.cell("cell1")
    cloud.add_service(cell, "one")
    Service.objects.using(cell.alias).create(host="two")
    cloud.add_service(cell, "three")
    assert Service.objects.using(cell.alias).count() == 3


def test_a_fleet_is_the_same_in_every_engine(cloud: Cloud, fleet: Fleet, api: ApiClient) -> None:
    services = api.get("/os-services", "2.53")["services"]
    known = {service.uuid for rows in fleet for service in rows.services}
    assert {service["id"] for service in services} <= known
    assert None in known
    for cell in cloud.cells:
        assert Service.objects.using(cell.alias).filter(id=1).exists()
        Service.objects.using(cell.alias).create(host="made later")


def test_queries_are_counted_on_every_thread(
    cloud: Cloud, api: ApiClient, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    cloud.host("cell1", "compute-1")
    with count_queries() as queries:
        api.get("/os-services")
    assert queries.per_cell() == {"cell0": 1, "cell1": 1, "cell2": 1, "cell3": 1}
    assert "SELECT" in queries.on("cell1")[0]
    with count_queries() as queries:
        pass
    assert len(queries) == 0


def test_a_hung_cell_does_not_respond(cloud: Cloud, api: ApiClient, hung_cell: Cell) -> None:
    assert "no answer within" in api.get("/os-services").headers["Warning"]


def test_a_dead_cell_refuses_connections(cloud: Cloud, api: ApiClient, dead_cell: Cell) -> None:
    assert "refused" in api.get("/os-services").headers["Warning"]


def test_the_served_portal_has_the_same_databases(
    cloud: Cloud, portal_server: PortalServer, admin_token: str
) -> None:
    cloud.host("cell1", "compute-1")
    answer = portal_server.get("/os-services", admin_token)
    assert [service["host"] for service in answer["services"]] == ["compute-1"]


def test_the_portal_alone_runs_on_sqlite(admin_client: Client) -> None:
    assert connections["default"].vendor == "sqlite"
    assert admin_client.get("/admin/").status_code == 200
