"""``/metrics``: what a scrape has, who may have it, and that it waits for nobody."""

import base64
import datetime
import gzip
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from pytest_django import Settings

from audit.models import Channel, Entry, OutboxMessage, Outcome
from cells.availability_zones import host_zones
from cells.models import AggregateMetadata
from cells.registry import Cell
from hypervisors.metrics import _last_templates, aggregate_labels
from hypervisors.report import latest_report
from portal.models import ApiToken
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.counting import settle
from tests.servers import serve

Samples = dict[str, list[Sample]]


@pytest.fixture(autouse=True)
def _forget(cloud: Cloud) -> Iterator[None]:
    """What scrapes remember, and the threads that they leave behind."""
    labels = (aggregate_labels.by_cell, host_zones.by_cell)
    for label in labels:
        label.clear()
    yield
    for label in labels:
        label.clear()
    for thread in threading.enumerate():
        if thread.name == "metrics":
            thread.join(60)


def scrape(**request: Any) -> Samples:
    """The samples of a scrape by name; the library's own parser reads them."""
    response = Client(**request).get("/metrics")
    assert response.status_code == 200, response.content
    return samples_in(b"".join(response.streaming_content).decode())  # type: ignore[attr-defined]


def samples_in(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found, "samples of a metric must stand together"
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def values(samples: Samples, name: str, **labels: str) -> list[float]:
    """The values of those that have these labels."""
    return [
        sample.value for sample in samples.get(name, []) if labels.items() <= sample.labels.items()
    ]


def value(samples: Samples, name: str, **labels: str) -> float:
    [only] = values(samples, name, **labels)
    return only


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape that waits for cells to which there is no connection yet, on a busy machine too."""
    monkeypatch.setattr("portal.metrics.PATIENCE", 10)


def test_hypervisors_and_services_as_openstack_exporter_names_them(
    patient: None, cloud: Cloud
) -> None:
    service, _node = cloud.host("cell1", "cmp1", node={"hypervisor_hostname": "cmp1.example.org"})
    cloud.host("cell2", "cmp1b", service={"forced_down": True, "disabled": True,
               "disabled_reason": 'disk "sda"\nand \\ gone'})  # fmt: skip
    cloud.add_service("cell1", "ctl1", binary="nova-conductor", uuid=None)
    cloud.add_service("cell1", "api1", binary="nova-osapi_compute")
    cloud.add_node("cell1", "no-service")
    cloud.add_instance("cell1", "cmp1")
    cloud.add_aggregate("az1", ["cmp1"], zone="east")
    cloud.add_aggregate("ssd", ["cmp1"])
    both = cloud.add_aggregate("gpu", ["cmp1"], zone="east")
    AggregateMetadata.objects.create(aggregate=both, key="gpu", value="yes")

    samples = scrape()

    [agent] = [s for s in samples["openstack_nova_agent_state"] if s.labels["hostname"] == "cmp1"]
    assert agent.value == 1
    assert agent.labels == {
        "cell": "cell1",
        "id": service.uuid,
        "hostname": "cmp1",
        "service": "nova-compute",
        "adminState": "enabled",
        "zone": "east",
        "disabledReason": "",
    }
    [conductor] = [
        s for s in samples["openstack_nova_agent_state"] if s.labels["service"] == "nova-conductor"
    ]
    assert (conductor.labels["id"], conductor.labels["zone"]) == ("", "internal")
    [down] = [s for s in samples["openstack_nova_agent_state"] if s.labels["cell"] == "cell2"]
    assert down.value == 0
    assert down.labels["adminState"] == "disabled"
    assert down.labels["disabledReason"] == 'disk "sda"\nand \\ gone'
    assert len(samples["openstack_nova_agent_state"]) == 3

    of_cmp1 = {
        "cell": "cell1",
        "hostname": "cmp1.example.org",
        "availability_zone": "east",
        "aggregates": "gpu,ssd",
    }
    expected = {
        "running_vms": 2,
        "current_workload": 0,
        "vcpus_available": 16,
        "vcpus_used": 2,
        "memory_available_bytes": 65536 * 2**20,
        "memory_used_bytes": 4608 * 2**20,
        "local_storage_available_bytes": 1000 * 2**30,
        "local_storage_used_bytes": 40 * 2**30,
        "free_disk_bytes": 960 * 2**30,
    }
    for name, number in expected.items():
        mine = [s for s in samples[f"openstack_nova_{name}"] if s.labels["cell"] == "cell1"]
        assert [(s.labels, s.value) for s in mine] == [(of_cmp1, number)], name
    assert value(samples, "openstack_nova_total_vms", cell="cell1") == 1
    assert values(samples, "nova_cell_servers_on_down_host") == [2]
    assert values(samples, "nova_cell_servers_on_down_host", cell="cell2", host="cmp1b") == [2]
    assert value(samples, "nova_cell_services_without_uuid", cell="cell1") == 1


def test_what_a_scrape_asks_of_each_cell_does_not_grow_with_its_hosts(
    cloud: Cloud, count_queries: Any
) -> None:
    counts = []
    for number in range(2):
        cloud.host("cell1", f"cmp{number}")
        scrape()
        latest_report.get()
        with count_queries() as queries:
            scrape()
        counts.append(queries.per_cell())
    assert counts[0] == counts[1] == dict.fromkeys(counts[0], 2)


def test_labels_are_made_again_only_where_the_cell_has_changed(patient: None, cloud: Cloud) -> None:
    """A scrape of a large fleet takes several times as long while it compares, or makes, all."""
    for cell in ("cell1", "cell2"):
        cloud.host(cell, f"{cell}-cmp")
    unchanged, changed = cloud.cell("cell1"), cloud.cell("cell2")
    scrape()
    before = _last_templates[unchanged].text

    cloud.add_aggregate("ssd", ["cell2-cmp"])
    aggregate_labels.by_cell.expire()
    samples = scrape()

    assert {s.labels["aggregates"] for s in samples["openstack_nova_running_vms"]} == {"", "ssd"}
    assert _last_templates[unchanged].text is before
    assert _last_templates[unchanged].aggregates == {}
    assert _last_templates[changed].aggregates == {"cell2-cmp": "ssd"}


def test_a_scrape_is_compressed_for_those_who_accept_it(patient: None, cloud: Cloud) -> None:
    cloud.host("cell1", "cmp1")
    plain, packed = (
        Client().get("/metrics", headers={"accept-encoding": accepted})
        for accepted in ("identity", "gzip, deflate")
    )
    assert "Content-Encoding" not in plain.headers
    assert packed["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in plain["Vary"] == packed["Vary"]
    texts = (
        b"".join(plain.streaming_content),  # type: ignore[attr-defined]
        gzip.decompress(b"".join(packed.streaming_content)),  # type: ignore[attr-defined]
    )
    of_cells = [
        [line for line in text.splitlines() if line.startswith(b"openstack_nova_")]
        for text in texts
    ]
    assert of_cells[0] == of_cells[1] != []


def test_a_hung_cell_is_not_waited_for(
    cloud: Cloud, hung_cell: Cell, short_deadline: float
) -> None:
    cloud.host("cell1", "cmp1")
    latest_report.get()  # the check of the fleet has noticed: as in a portal that is in use
    settle()
    for _ in range(2):
        started = time.monotonic()
        samples = scrape()
        assert time.monotonic() - started < short_deadline
        assert value(samples, "nova_cell_up", cell="cell1") == 1
        assert value(samples, "nova_cell_up", cell="cell2", cell_uuid=hung_cell.uuid) == 0
        assert values(samples, "openstack_nova_running_vms") == [2]
    assert value(samples, "nova_cell_breaker_open", cell="cell2") == 1


def test_a_hung_cell_is_noticed_by_scrapes_alone(
    cloud: Cloud, hung_cell: Cell, short_deadline: float
) -> None:
    started = time.monotonic()
    assert value(scrape(), "nova_cell_up", cell="cell2") == 0
    assert time.monotonic() - started < 2 * short_deadline
    until = time.monotonic() + 10 * short_deadline
    while not value(scrape(), "nova_cell_breaker_open", cell="cell2"):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_cells_that_share_a_name_are_told_apart(patient: None, cloud: Cloud) -> None:
    from cells.models import CellMapping
    from cells.registry import forget_cells

    CellMapping.objects.filter(name__in=["cell1", "cell2"]).update(name="twin")
    forget_cells()
    cloud.add_service(cloud.cells[1], "a")
    cloud.add_service(cloud.cells[2], "a")
    cells = {s.labels["cell"] for s in scrape()["openstack_nova_agent_state"]}
    assert cells == {cloud.cells[1].uuid, cloud.cells[2].uuid}


def test_problems_are_those_of_the_check_which_is_made_beside_the_scrapes(cloud: Cloud) -> None:
    cloud.host("cell1", "cmp1", service={"forced_down": True})
    assert "nova_portal_problems" not in scrape()
    until = time.monotonic() + 30
    while latest_report.last is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    samples = scrape()
    assert value(samples, "nova_portal_problems", problem="forced-reporting", severity="bad") == 1
    assert value(samples, "nova_portal_problems", problem="duplicate-host") == 0
    age = time.time() - value(samples, "nova_portal_problems_checked_timestamp_seconds")
    assert 0 <= age < 30


def test_actions_and_the_outbox(cloud: Cloud) -> None:
    for outcome in (Outcome.DONE, Outcome.DONE, Outcome.REFUSED):
        Entry.objects.create(
            username="alice", channel=Channel.API, action="disable", outcome=outcome
        )
    OutboxMessage.objects.create(
        transport="bus", sequence=1, subject="x", payload={},
        created_at=timezone.now() - datetime.timedelta(seconds=700),
    )  # fmt: skip
    samples = scrape()
    actions = {"action": "disable", "channel": "api"}
    assert value(samples, "nova_portal_actions_total", **actions, outcome="done") == 2
    assert value(samples, "nova_portal_actions_total", **actions, outcome="refused") == 1
    assert value(samples, "nova_portal_outbox_messages", transport="bus") == 1
    assert 700 <= value(samples, "nova_portal_outbox_oldest_seconds", transport="bus") < 760


def test_requests_by_route_microversion_and_status(api: ApiClient) -> None:
    def count(**labels: str) -> float:
        return sum(values(scrape(), "nova_portal_requests_total", method="GET", **labels))

    route = "/v2.1/os-hypervisors/<id>"
    before = {
        status: count(route=route, status=status, microversion=version)
        for status, version in (("400", "2.60"), ("404", "2.53"))
    }
    api.get("/os-hypervisors/7d1c2b7e-3c2b-4d0e-9a55-000000000001", "2.53")
    api.get("/os-hypervisors/7d1c2b7e-3c2b-4d0e-9a55-000000000002", "2.53")
    api.get("/os-hypervisors/x", "2.60")
    assert count(route=route, status="404", microversion="2.53") == before["404"] + 2
    assert count(route=route, status="400", microversion="2.60") == before["400"] + 1
    api.get("/os-hypervisors", "2.98765")
    refused = [s for s in scrape()["nova_portal_requests_total"] if s.labels["status"] == "406"]
    assert {s.labels["microversion"] for s in refused} == {""}


@pytest.mark.any_engine
class TestWhoMayScrape:
    """Loopback, a token, and whoever may read the API."""

    FAR = "192.0.2.9"

    @pytest.fixture(autouse=True)
    def _token(self, settings: Settings) -> None:
        settings.METRICS_TOKEN = "let-me-scrape"
        cache.clear()

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ({"REMOTE_ADDR": "127.0.0.1"}, 200),
            ({"REMOTE_ADDR": "::1"}, 200),
            ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": FAR}, 401),
            ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": f"for={FAR}"}, 401),
            ({"REMOTE_ADDR": FAR}, 401),
            ({"REMOTE_ADDR": ""}, 401),
            ({"REMOTE_ADDR": FAR, "HTTP_AUTHORIZATION": "Bearer let-me-scrape"}, 200),
            ({"REMOTE_ADDR": FAR, "HTTP_AUTHORIZATION": "Bearer let-me-scrap"}, 401),
            ({"REMOTE_ADDR": FAR, "HTTP_AUTHORIZATION": "Bearer "}, 401),
        ],
    )
    def test_by_address_or_token(self, request_: dict[str, str], status: int) -> None:
        assert Client(**request_).get("/metrics").status_code == status  # type: ignore[arg-type]

    def test_no_token_is_no_way_in(self, settings: Settings) -> None:
        settings.METRICS_TOKEN = ""
        for header in ("Bearer ", "Bearer", "bearer  "):
            request = {"REMOTE_ADDR": self.FAR, "HTTP_AUTHORIZATION": header}
            assert Client(**request).get("/metrics").status_code == 401  # type: ignore[arg-type]

    def test_readers_of_the_api(self, db: None) -> None:
        user = User.objects.create_superuser("prom", password="secret")
        basic = "Basic " + base64.b64encode(b"prom:secret").decode()
        for headers in (
            {"HTTP_X_AUTH_TOKEN": ApiToken.objects.issue(user)[1]},
            {"HTTP_AUTHORIZATION": basic},
        ):
            client = Client(REMOTE_ADDR=self.FAR, **headers)  # type: ignore[arg-type]
            assert client.get("/metrics").status_code == 200


@pytest.fixture
def two_workers(cloud: Cloud, admin_token: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a portal with two processes, and a token."""
    environment = {
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "DATABASE_URL": cloud.portal_url,
        "VAR_DIR": str(tmp_path),
        "CELL_DEADLINE": "10",
    }
    with serve(environment, tmp_path / "log", "--workers", "2") as server:
        yield server.url, admin_token


@pytest.mark.any_engine
def test_two_workers_count_together(two_workers: tuple[str, str]) -> None:
    url, token = two_workers

    def get(path: str) -> str:
        request = urllib.request.Request(  # noqa: S310
            url + path, headers={"X-Auth-Token": token}
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            text: str = response.read().decode()
            return text

    for _ in range(40):
        get("/v2.1/os-services")
    for _ in range(6):  # whichever of them answers
        samples = samples_in(get("/metrics"))
        route = {"route": "/v2.1/os-services", "method": "GET", "status": "200"}
        assert value(samples, "nova_portal_requests_total", **route) == 40
        assert value(samples, "nova_cell_breaker_open", cell="cell1") == 0
        assert value(samples, "nova_cell_queries_total", cell="cell1", outcome="answered") >= 40
        assert {name.partition("_")[0] for name in samples} == {"nova", "openstack"}
