"""Calls to nova-compute over its cell's message bus: after an action, and for an uptime."""

import secrets
import time
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from audit.models import Entry
from cells.models import CellMapping
from cells.registry import forget_cells
from cloud import clients
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.test_cloud_compute_rpc import NovaCompute, Unable, running

CELL = "cell2"
DEADLINE = 3.0


@pytest.fixture
def host() -> str:
    return f"host-{secrets.token_hex(4)}"


@pytest.fixture
def bus(cloud: Cloud, settings: Settings) -> Iterator[str]:
    """The message bus of the cell, which the portal knows of by the cell's mapping."""
    url = f"fake://{secrets.token_hex(4)}/"
    CellMapping.objects.filter(name=CELL).update(transport_url=url)
    forget_cells()
    settings.NOVA_TRANSPORT_URL = "fake://main/"
    settings.RPC_DEADLINE = DEADLINE
    settings.CLOUD_RETRY_AFTER = 0.01
    clients.forget_clients()
    yield url
    clients.forget_clients()


def put(api: ApiClient, service: Service, **body: object) -> str:
    """Update the service; returns the warning of the answer."""
    answer = api.put(f"/os-services/{service.uuid}", body, "2.53")
    assert answer.status == 200
    return str(answer.headers.get("Warning", ""))


def test_a_nova_compute_is_told_that_it_is_disabled_and_enabled(
    cloud: Cloud, api: ApiClient, bus: str, host: str
) -> None:
    service, _node = cloud.host(CELL, host)
    with running(bus, host, NovaCompute()) as compute:
        assert put(api, service, status="disabled") == ""
        assert put(api, service, status="disabled") == ""  # Nova tells it again
        assert put(api, service, status="enabled") == ""
        assert put(api, service, forced_down=True) == ""
        old = api.put("/os-services/disable", {"host": host, "binary": "nova-compute"}, "2.1")
        assert old.status == 200  # it is forced down, and is not told
    assert [enabled for _context, enabled in compute.calls] == [False, False, True]
    context = compute.calls[0][0]
    assert context["user_name"] == "operator"
    assert context["is_admin"]
    assert not context.get("auth_token")


@pytest.mark.parametrize("columns", [{"version": 37}, {"last_seen_up": None, "created_at": None}])
def test_one_that_is_old_or_down_is_not_told(
    cloud: Cloud, api: ApiClient, bus: str, host: str, columns: dict[str, object]
) -> None:
    service, _node = cloud.host(CELL, host, service=columns)
    if "created_at" in columns:
        Service.objects.using(cloud.cell(CELL).alias).update(created_at=None)
    with running(bus, host, NovaCompute()) as compute:
        assert put(api, service, status="disabled") == ""
    assert compute.calls == []


def test_its_failure_is_told_and_fails_nothing(
    cloud: Cloud, api: ApiClient, bus: str, host: str, settings: Settings
) -> None:
    service, _node = cloud.host(CELL, host)
    with running(bus, host, Unable()):
        assert "LookupError: no such node; nova-compute syncs" in put(
            api, service, status="disabled"
        )
    settings.RPC_DEADLINE = 0.5
    clients.forget_clients()
    began = time.monotonic()
    assert "no answer" in put(api, service, status="enabled")
    assert time.monotonic() - began < 5
    service.refresh_from_db()
    assert service.status == "enabled"
    messages = list(Entry.objects.order_by("id").values_list("outcome", "message"))
    assert [outcome for outcome, _message in messages] == ["done", "done"]
    assert "LookupError" in messages[0][1]
    assert "no answer" in messages[1][1]


def test_a_cell_without_a_bus_is_not_asked(
    cloud: Cloud, api: ApiClient, bus: str, host: str
) -> None:
    CellMapping.objects.filter(name=CELL).update(transport_url="")
    forget_cells()
    service, node = cloud.host(CELL, host)
    assert put(api, service, status="disabled") == ""
    assert api.get(f"/os-hypervisors/{node.uuid}/uptime", "2.53").status == 501


REPORTED = '{"uptime": "as reported"}'


def test_uptime_is_asked_for(cloud: Cloud, api: ApiClient, bus: str, host: str) -> None:
    _service, node = cloud.host(CELL, host, node={"stats": REPORTED})
    _other, bare = cloud.host("cell1", "other")
    with running(bus, host, NovaCompute()) as compute:
        answer = api.get(f"/os-hypervisors/{node.uuid}/uptime", "2.53")
        assert "up 5 days" in answer["hypervisor"]["uptime"]
        # From 2.88 what was reported is enough, and no list asks.
        shown = api.get(f"/os-hypervisors/{node.uuid}", "2.88")["hypervisor"]
        assert shown["uptime"] == "as reported"
        assert len(compute.calls) == 1
    answer = api.get(f"/os-hypervisors/{bare.uuid}/uptime", "2.53")
    assert answer.status == 501  # "none:///" is no bus, and nothing was reported


def test_uptime_in_details_of_one(cloud: Cloud, api: ApiClient, bus: str, host: str) -> None:
    _service, node = cloud.host(CELL, host)
    with running(bus, host, NovaCompute()) as compute:
        shown = api.get(f"/os-hypervisors/{node.uuid}", "2.88")["hypervisor"]
        assert "up 5 days" in shown["uptime"]
        [listed] = api.get("/os-hypervisors/detail", "2.88")["hypervisors"]
        assert listed["uptime"] is None
        assert len(compute.calls) == 1


@pytest.mark.parametrize(
    ("endpoint", "status", "message"),
    [
        (Unable, 501, "The requested functionality is not supported."),
        (None, 500, "no answer"),
    ],
)
def test_uptime_that_is_not_answered(
    cloud: Cloud, api: ApiClient, bus: str, host: str, settings: Settings,
    endpoint: type[NovaCompute] | None, status: int, message: str,
) -> None:  # fmt: skip
    settings.RPC_DEADLINE = 0.5 if endpoint is None else DEADLINE
    clients.forget_clients()
    _service, node = cloud.host(CELL, host)
    with running(bus, host if endpoint else "another", (endpoint or NovaCompute)()):
        answer = api.get(f"/os-hypervisors/{node.uuid}/uptime", "2.87")
        assert answer.status == status
        assert message in next(iter(answer.body.values()))["message"]
        shown = api.get(f"/os-hypervisors/{node.uuid}", "2.88")
        assert shown["hypervisor"]["uptime"] is None
        assert (message in shown.headers.get("Warning", "")) == (status == 500)


def test_no_uptime_of_a_host_that_is_down(
    cloud: Cloud, api: ApiClient, bus: str, host: str
) -> None:
    _service, node = cloud.host(CELL, host, service={"forced_down": True})
    with running(bus, host, NovaCompute()) as compute:
        answer = api.get(f"/os-hypervisors/{node.uuid}/uptime", "2.53")
        assert answer.status == 400
        assert api.get(f"/os-hypervisors/{node.uuid}", "2.88")["hypervisor"]["uptime"] is None
    assert compute.calls == []
