"""A PostgreSQL server that is stopped (SIGSTOP): it takes connections, and never says a word.

It has one of the portal's databases at a time, and SQLite all others.
"""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from cells import breakers
from cells.backends import guards
from cells.models import CellMapping
from portal.models import ApiToken
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud, fresh_cloud
from tests.engines import Engine, PostgreSQL, empty
from tests.waiting import lasting, wait_until

pytestmark = [
    pytest.mark.server,
    pytest.mark.parametrize("databases", ["postgresql"], indirect=True),
]

#: What ends within the deadline, on a machine that is busy.
IN_TIME = 5


@pytest.fixture
def on_sqlite(
    databases: Engine,
    _sqlite: Engine,
    db: None,
    short_deadline: float,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cloud]:
    """A cloud with a host in cell1 and cell2, all of it on SQLite."""
    monkeypatch.setattr(breakers, "FIRST_PROBE_AFTER", 0.3)
    _sqlite.activate()
    empty("default")
    yield fresh_cloud(_sqlite)
    databases.activate()


@pytest.fixture
def server(databases: Engine) -> PostgreSQL:
    assert isinstance(databases, PostgreSQL)
    return databases


def operator() -> ApiClient:
    return ApiClient(ApiToken.objects.issue(User.objects.create_superuser("operator"))[1])


def add_hosts(cloud: Cloud) -> Service:
    """A host in cell1 and in cell2; returns the nova-compute of the latter."""
    cloud.host("cell1", "other")
    return cloud.host("cell2", "cmp")[0]


def list_services(api: ApiClient) -> tuple[int, list[str], str]:
    """The status, the hosts, and the warning."""
    answer = api.get("/os-services", "2.53")
    hosts = [one["host"] for one in answer.body.get("services", [])]
    return answer.status, hosts, answer.headers.get("Warning", "")


def test_a_cell(on_sqlite: Cloud, server: PostgreSQL) -> None:
    cloud, api = on_sqlite, operator()
    empty(cloud.cell("cell2").alias)
    cloud.point("cell2", server.urls["cell2"])
    empty(cloud.cell("cell2").alias)
    service = add_hosts(cloud)
    assert list_services(api) == (200, ["other", "cmp"], "")
    with server.stopped():
        with lasting(IN_TIME):
            status, hosts, warning = list_services(api)
        assert (status, hosts) == (200, ["other"])
        assert "cell2" in warning
        with lasting(1):  # it is known by now
            assert list_services(api)[1] == ["other"]
            changed = api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
        assert changed.status == 503
    wait_until(lambda: list_services(api) == (200, ["other", "cmp"], ""), 15)
    assert not Service.objects.using(cloud.cell("cell2").alias).get().disabled


def test_the_api_database(on_sqlite: Cloud, server: PostgreSQL) -> None:
    cloud, api = on_sqlite, operator()
    mappings = list(CellMapping.objects.all())
    cloud.point_own("api", server.urls["api"])
    guards.serve()
    empty("api")
    CellMapping.objects.bulk_create(mappings)
    service = add_hosts(cloud)
    everything = list_services(api)
    assert everything == (200, ["other", "cmp"], "")
    with server.stopped():
        with lasting(IN_TIME):
            deleted = api.delete(f"/os-services/{service.uuid}", "2.53")
        assert deleted.status == 503
        assert "API database" in deleted.body["serviceUnavailable"]["message"]
        with lasting(1):
            assert Client().get("/healthz").json()["databases_away"] == ["api"]
            assert list_services(api)[:2] == everything[:2]
    wait_until(lambda: Client().get("/healthz").status_code == 200, 15)
    assert list_services(api) == everything


def test_the_portals_own_database(on_sqlite: Cloud, server: PostgreSQL) -> None:
    cloud = on_sqlite
    cloud.point_own("default", server.urls["default"])
    guards.serve()
    empty("default")
    service, api = add_hosts(cloud), operator()
    everything = list_services(api)
    with server.stopped():
        with lasting(IN_TIME):
            changed = api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
        assert changed.status == 503
        with lasting(1):
            assert Client().get("/healthz").json()["databases_away"] == ["default"]
            assert list_services(api) == everything
    wait_until(lambda: Client().get("/healthz").status_code == 200, 15)
    assert not Service.objects.using(cloud.cell("cell2").alias).get().disabled
