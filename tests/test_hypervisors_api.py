"""GET os-hypervisors over all cells, at each version."""

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from cells.registry import Cell
from hypervisors.models import ComputeNode
from services.models import Service
from tests.clients import Answer, ApiClient, fault, names
from tests.clouds import Cloud
from tests.counting import Queries

Counting = Callable[[], AbstractContextManager[Queries]]
NO_UUID = "aaaaaaaa-0000-4000-8000-000000000000"


@pytest.fixture
def three(cloud: Cloud) -> dict[str, ComputeNode]:
    """A host in each cell, in no particular order; each has id 1 there."""
    return {name: cloud.host(name, f"node-{name}")[1] for name in ("cell3", "cell1", "cell2")}


# --- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.1", "2.52", "2.53", "2.87", "2.88", "2.104"])
def test_the_list_at_each_version(
    three: dict[str, ComputeNode], api: ApiClient, version: str
) -> None:
    by_uuid = version not in ("2.1", "2.52")
    assert api.get("/os-hypervisors", version)["hypervisors"] == [
        {
            "id": three[name].uuid if by_uuid else 1,
            "hypervisor_hostname": f"node-{name}",
            "state": "up",
            "status": "enabled",
        }
        for name in ("cell1", "cell2", "cell3")
    ]


@pytest.mark.parametrize(
    "version", ["2.1", "2.27", "2.28", "2.52", "2.53", "2.87", "2.88", "2.104"]
)
def test_the_details_at_each_version(cloud: Cloud, api: ApiClient, version: str) -> None:
    minor = int(version.split(".")[1])
    service, node = cloud.host(
        "cell1",
        "host-1",
        service={"disabled": True, "disabled_reason": "broken fan", "forced_down": True},
        node={"hypervisor_hostname": "node-1", "stats": '{"uptime": " 12:00 up 3 days"}'},
    )
    capacity = {
        "vcpus": 16,
        "memory_mb": 65536,
        "local_gb": 1000,
        "vcpus_used": 2,
        "memory_mb_used": 4608,
        "local_gb_used": 40,
        "free_ram_mb": 60928,
        "free_disk_gb": 960,
        "current_workload": 0,
        "running_vms": 2,
        "disk_available_least": 900,
    }
    cpu_info = {"arch": "x86_64", "model": "Nehalem"}
    expected: dict[str, Any] = {
        "id": node.uuid if minor >= 53 else 1,
        "hypervisor_hostname": "node-1",
        "state": "down",
        "status": "disabled",
        "hypervisor_type": "QEMU",
        "hypervisor_version": 8002000,
        "host_ip": "192.0.2.1",
        "service": {
            "id": service.uuid if minor >= 53 else 1,
            "host": "host-1",
            "disabled_reason": "broken fan",
        },
    }
    if minor < 88:
        expected |= capacity
        expected["cpu_info"] = cpu_info if minor >= 28 else node.cpu_info
    else:
        expected["uptime"] = " 12:00 up 3 days"
    assert api.get("/os-hypervisors/detail", version)["hypervisors"] == [expected]
    assert api.get(f"/os-hypervisors/{expected['id']}", version)["hypervisor"] == expected


def test_columns_without_a_value(cloud: Cloud, api: ApiClient) -> None:
    empty = dict.fromkeys(
        ["host_ip", "free_ram_mb", "free_disk_gb", "current_workload", "running_vms"]
    )
    cloud.host(
        "cell1", "bare", node={**empty, "disk_available_least": None, "cpu_info": "", "stats": None}
    )
    shown = api.get("/os-hypervisors/detail", "2.28")["hypervisors"][0]
    assert {name: shown[name] for name in empty} == empty
    assert shown["cpu_info"] == {}
    assert api.get("/os-hypervisors/detail", "2.1")["hypervisors"][0]["cpu_info"] == ""
    assert api.get("/os-hypervisors/detail", "2.88")["hypervisors"][0]["uptime"] is None


def test_several_nodes_of_one_host(cloud: Cloud, api: ApiClient) -> None:
    """As with ironic: they share the host's service."""
    service, _ = cloud.host("cell1", "ironic-1", node={"hypervisor_hostname": "bare-1"})
    cloud.add_node("cell1", "ironic-1", hypervisor_hostname="bare-2")
    shown = api.get("/os-hypervisors/detail", "2.53")["hypervisors"]
    assert [hypervisor["hypervisor_hostname"] for hypervisor in shown] == ["bare-1", "bare-2"]
    assert {hypervisor["service"]["id"] for hypervisor in shown} == {service.uuid}


def test_a_service_without_a_uuid_gives_a_warning(cloud: Cloud, api: ApiClient) -> None:
    _, node = cloud.host("cell1", "old", service={"uuid": None})
    for path in ("/os-hypervisors/detail", f"/os-hypervisors/{node.uuid}"):
        answer = api.get(path, "2.53")
        assert answer.status == 200
        shown = answer.body.get("hypervisor") or answer["hypervisors"][0]
        assert shown["service"]["id"] is None
        assert "backfill_service_uuids" in answer.headers["Warning"]
    assert "Warning" not in api.get("/os-hypervisors", "2.53").headers
    assert "Warning" not in api.get("/os-hypervisors/detail", "2.52").headers


# --- visibility -----------------------------------------------------------------------------------


def add_special_nodes(cloud: Cloud) -> None:
    """Nodes whose visibility is not obvious."""
    cloud.add_service("cell1", "unmapped")
    cloud.add_node("cell1", "unmapped")
    cloud.map_host("orphan", "cell1")
    cloud.add_node("cell1", "orphan")
    cloud.map_host("service-gone", "cell1")
    cloud.add_service("cell1", "service-gone", deleted=9)
    cloud.add_node("cell1", "service-gone")
    cloud.map_host("not-compute", "cell1")
    cloud.add_service("cell1", "not-compute", binary="nova-conductor")
    cloud.add_node("cell1", "not-compute")
    cloud.host("cell1", "node-gone", node={"deleted": 5})
    cloud.add_node("cell1", None, hypervisor_hostname="no-host-no-service")
    # Mapped to another cell: the service in that cell counts.
    cloud.map_host("moved", "cell2")
    cloud.add_service("cell1", "moved", disabled=False)
    cloud.add_service("cell2", "moved", disabled=True)
    cloud.add_node("cell1", "moved")
    cloud.map_host("moved-away", "cell2")
    cloud.add_service("cell1", "moved-away")
    cloud.add_node("cell1", "moved-away")
    # From before nodes had a host: they name their service by its id.
    cloud.map_host("liberty", "cell1")
    old = cloud.add_service("cell1", "liberty")
    cloud.add_node("cell1", None, hypervisor_hostname="liberty", service_id=old.id)


def test_only_nodes_with_a_live_service_in_the_mapped_cell(cloud: Cloud, api: ApiClient) -> None:
    cloud.host("cell1", "first")
    add_special_nodes(cloud)
    cloud.host("cell2", "last")
    for version in ("2.1", "2.33", "2.53", "2.88"):
        for path in ("/os-hypervisors", "/os-hypervisors/detail"):
            answer = api.get(path, version)
            assert names(answer) == ["first", "moved", "liberty", "last"]
    moved = api.get("/os-hypervisors/detail", "2.53")["hypervisors"][1]
    assert moved["status"] == "disabled"
    liberty = api.get("/os-hypervisors/detail", "2.53")["hypervisors"][2]
    assert liberty["service"]["host"] == "liberty"


def test_a_hidden_node_is_not_found_by_id(cloud: Cloud, api: ApiClient) -> None:
    cloud.add_node("cell1", "orphan")
    gone = cloud.add_node("cell1", "gone", deleted=2)
    orphan = ComputeNode.objects.using(cloud.cell("cell1").alias).get(host="orphan")
    for node in (orphan, gone):
        answer = api.get(f"/os-hypervisors/{node.uuid}", "2.53")
        assert fault(answer) == (404, f"Hypervisor with ID '{node.uuid}' could not be found.")
        assert api.get(f"/os-hypervisors/{node.id}").status == 404


# --- single hypervisors ---------------------------------------------------------------------------


def test_show_by_integer_id(cloud: Cloud, api: ApiClient) -> None:
    cloud.host("cell1", "node-1")
    cloud.host("cell2", "node-7001", node={"id": 7001})
    for text in ("7001", "07001", "%207001", "+7001"):
        answer = api.get(f"/os-hypervisors/{text}", "2.52")
        assert answer["hypervisor"]["hypervisor_hostname"] == "node-7001"
    for text in ("7", "0", "-1", "x", "1.0", "9" * 30, NO_UUID):
        answer = api.get(f"/os-hypervisors/{text}", "2.52")
        assert fault(answer) == (404, f"Hypervisor with ID '{text}' could not be found.")


@pytest.mark.parametrize("tail", ["", "/uptime"])
def test_an_integer_id_of_several_cells_is_a_400(
    three: dict[str, ComputeNode], api: ApiClient, tail: str
) -> None:
    status, text = fault(api.get(f"/os-hypervisors/1{tail}", "2.52"))
    assert status == 400
    assert "refers to multiple hypervisors, in cells cell1, cell2, cell3" in text
    assert "2.53" in text


def test_hidden_nodes_do_not_make_an_id_ambiguous(cloud: Cloud, api: ApiClient) -> None:
    _, node = cloud.host("cell2", "shown", node={"id": 30, "stats": '{"uptime": "up"}'})
    cloud.add_node("cell1", "unmapped", id=30)
    cloud.map_host("no-service", "cell3")
    cloud.add_node("cell3", "no-service", id=30)
    for tail in ("", "/uptime"):
        answer = api.get(f"/os-hypervisors/30{tail}", "2.52")
        assert answer["hypervisor"]["hypervisor_hostname"] == "shown"
    Service.objects.using(cloud.cell("cell2").alias).update(deleted=1)
    answer = api.get("/os-hypervisors/30", "2.52")
    assert fault(answer) == (404, "Hypervisor with ID '30' could not be found.")
    assert api.get(f"/os-hypervisors/{node.uuid}", "2.53").status == 404


def test_only_cells_with_visible_nodes_are_named(cloud: Cloud, api: ApiClient) -> None:
    cloud.add_node("cell1", "hidden", id=30)
    for name in ("cell2", "cell3"):
        cloud.host(name, f"shown-{name}", node={"id": 30})
    assert fault(api.get("/os-hypervisors/30", "2.52")) == (
        400,
        "Hypervisor id 30 refers to multiple hypervisors, in cells cell2, cell3. "
        "Use microversion 2.53 and the hypervisor's uuid.",
    )


def test_a_node_visible_through_another_cell_makes_an_id_ambiguous(
    cloud: Cloud, api: ApiClient
) -> None:
    """Its host is mapped to the cell where the service is; the node is in another one."""
    cloud.map_host("moved", "cell2")
    cloud.add_service("cell2", "moved")
    cloud.add_node("cell1", "moved", id=30)
    answer = api.get("/os-hypervisors/30", "2.52")
    assert answer["hypervisor"]["hypervisor_hostname"] == "moved"
    cloud.host("cell2", "other", node={"id": 30})
    status, text = fault(api.get("/os-hypervisors/30", "2.52"))
    assert status == 400
    assert "in cells cell1, cell2" in text


def test_show_by_uuid(three: dict[str, ComputeNode], api: ApiClient) -> None:
    for name, node in three.items():
        for text in (str(node.uuid), str(node.uuid).upper()):
            answer = api.get(f"/os-hypervisors/{text}", "2.53")
            assert answer["hypervisor"]["hypervisor_hostname"] == f"node-{name}"


def test_an_invalid_uuid_is_a_400_since_2_53(three: dict[str, ComputeNode], api: ApiClient) -> None:
    for text in ("1", "x", NO_UUID + "0"):
        assert fault(api.get(f"/os-hypervisors/{text}", "2.53")) == (400, f"Invalid uuid {text}")
    assert api.get(f"/os-hypervisors/{NO_UUID}", "2.53").status == 404
    undashed = uuid.UUID(str(three["cell1"].uuid)).hex
    assert api.get(f"/os-hypervisors/{undashed}", "2.53").status == 404


def test_uptime(cloud: Cloud, api: ApiClient) -> None:
    text = " 12:00:00 up 3 days, 2:01,  1 user,  load average: 0.20, 0.12, 0.14"
    _, node = cloud.host("cell1", "host-1", node={"stats": f'{{"uptime": "{text}"}}'})
    for version, id in (("2.1", "1"), ("2.52", "1"), ("2.53", node.uuid), ("2.87", node.uuid)):
        assert api.get(f"/os-hypervisors/{id}/uptime", version)["hypervisor"] == {
            "id": node.uuid if version >= "2.53" else 1,
            "hypervisor_hostname": "host-1",
            "state": "up",
            "status": "enabled",
            "uptime": text,
        }
    assert api.get(f"/os-hypervisors/{node.uuid}/uptime", "2.88").status == 404


def test_unknown_uptime(cloud: Cloud, api: ApiClient) -> None:
    cloud.host("cell1", "down", service={"forced_down": True})
    cloud.host("cell1", "silent", node={"stats": "{}"})
    said = "Compute service of down is unavailable at this time."
    assert fault(api.get("/os-hypervisors/1/uptime")) == (400, said)
    assert fault(api.get("/os-hypervisors/2/uptime")) == (
        501,
        "The requested functionality is not supported.",
    )


# --- servers --------------------------------------------------------------------------------------


def test_servers_of_the_host(cloud: Cloud, api: ApiClient) -> None:
    _, node = cloud.host("cell1", "busy")
    cloud.host("cell2", "idle")
    first = cloud.add_instance("cell1", "busy")
    second = cloud.add_instance("cell1", "busy", id=255)
    cloud.add_instance("cell1", "busy", deleted=3)
    cloud.add_instance("cell2", "busy")  # of another cell's host of that name
    cloud.add_instance("cell1", None)
    servers = [
        {"name": "instance-00000001", "uuid": first.uuid},
        {"name": "instance-000000ff", "uuid": second.uuid},
    ]

    def of_each(answer: Answer) -> dict[str, Any]:
        shown = answer.body.get("hypervisors") or [answer["hypervisor"]]
        return {
            hypervisor["hypervisor_hostname"]: hypervisor.get("servers") for hypervisor in shown
        }

    assert of_each(api.get("/os-hypervisors/bus/servers", "2.1")) == {"busy": servers}
    for version, none in (("2.53", None), ("2.74", None), ("2.75", []), ("2.104", [])):
        for path in ("/os-hypervisors", "/os-hypervisors/detail"):
            answer = api.get(f"{path}?with_servers=true", version)
            assert of_each(answer) == {"busy": servers, "idle": none}
        one = api.get(f"/os-hypervisors/{node.uuid}?with_servers=1", version)
        assert of_each(one) == {"busy": servers}
        assert of_each(api.get("/os-hypervisors", version)) == {"busy": None, "idle": None}


@pytest.mark.parametrize("value", ["", "maybe", "2", "tRue"])
def test_with_servers_is_a_boolean(
    three: dict[str, ComputeNode], api: ApiClient, value: str
) -> None:
    assert api.get(f"/os-hypervisors?with_servers={value}", "2.53").status == 400
    assert api.get(f"/os-hypervisors?with_servers={value}", "2.52").status == 200


# --- statistics -----------------------------------------------------------------------------------


def test_statistics_are_sums_over_live_enabled_services(cloud: Cloud, api: ApiClient) -> None:
    cloud.host("cell1", "one")
    cloud.host("cell2", "two", node={"vcpus": 4, "free_ram_mb": None, "running_vms": None})
    cloud.host("cell3", "disabled", service={"disabled": True})
    cloud.add_node("cell3", "orphan")
    cloud.host("cell3", "gone", node={"deleted": 1})
    cloud.add_service("cell3", "unmapped")
    cloud.add_node("cell3", "unmapped", vcpus=100)
    for version in ("2.1", "2.53", "2.87"):
        assert api.get("/os-hypervisors/statistics", version)["hypervisor_statistics"] == {
            "count": 3,
            "vcpus": 16 + 4 + 100,
            "memory_mb": 3 * 65536,
            "local_gb": 3000,
            "vcpus_used": 6,
            "memory_mb_used": 3 * 4608,
            "local_gb_used": 120,
            "free_ram_mb": 2 * 60928,
            "free_disk_gb": 3 * 960,
            "current_workload": 0,
            "running_vms": 4,
            "disk_available_least": 2700,
        }
    assert api.get("/os-hypervisors/statistics", "2.88").status == 404


def test_statistics_of_an_empty_cloud_are_zeros(api: ApiClient) -> None:
    statistics = api.get("/os-hypervisors/statistics")["hypervisor_statistics"]
    assert set(statistics.values()) == {0}


# --- unreachable cells ----------------------------------------------------------------------------


@pytest.fixture
def cell2_unreachable(three: dict[str, ComputeNode], dead_cell: Cell) -> dict[str, ComputeNode]:
    """A host in each cell, and cell2 refuses connections."""
    return three


def test_lists_report_the_missing_cell(
    cell2_unreachable: dict[str, ComputeNode], api: ApiClient
) -> None:
    for path, version in (
        ("/os-hypervisors", "2.1"),
        ("/os-hypervisors", "2.104"),
        ("/os-hypervisors/detail", "2.53"),
        ("/os-hypervisors?limit=2", "2.53"),
        ("/os-hypervisors?hypervisor_hostname_pattern=node", "2.53"),
        ("/os-hypervisors?with_servers=true", "2.53"),
        ("/os-hypervisors/node/search", "2.1"),
        ("/os-hypervisors/node/servers", "2.1"),
    ):
        answer = api.get(path, version)
        assert names(answer) == ["node-cell1", "node-cell3"], path
        assert answer.headers["Warning"].count("cell cell2 did not answer") == 1, path
    answer = api.get("/os-hypervisors/statistics")
    assert answer["hypervisor_statistics"]["count"] == 2
    assert "cell2" in answer.headers["Warning"]


def test_an_object_that_may_be_in_the_cell_is_a_503_and_not_a_404(
    cell2_unreachable: dict[str, ComputeNode], api: ApiClient
) -> None:
    for path, version in (
        (f"/os-hypervisors/{cell2_unreachable['cell2'].uuid}", "2.53"),
        (f"/os-hypervisors/{NO_UUID}", "2.53"),
        ("/os-hypervisors/7001", "2.1"),
        ("/os-hypervisors/7001/uptime", "2.1"),
        (f"/os-hypervisors?marker={cell2_unreachable['cell2'].uuid}", "2.53"),
        ("/os-hypervisors?marker=7001", "2.33"),
        ("/os-hypervisors?hypervisor_hostname_pattern=nothing", "2.53"),
        ("/os-hypervisors/nothing/search", "2.1"),
    ):
        answer = api.get(path, version)
        assert answer.status == 503, path
        assert "cell cell2: " in fault(answer)[1]
        assert "secret" not in fault(answer)[1]
        assert answer.headers["Retry-After"]


def test_an_object_of_another_cell_is_found(
    cell2_unreachable: dict[str, ComputeNode], api: ApiClient
) -> None:
    for name in ("cell1", "cell3"):
        answer = api.get(f"/os-hypervisors/{cell2_unreachable[name].uuid}", "2.53")
        assert answer["hypervisor"]["hypervisor_hostname"] == f"node-{name}"
    assert api.get("/os-hypervisors/1").status == 400  # ambiguous with the others already


def test_a_hung_cell_delays_lists_but_does_not_fail_them(
    three: dict[str, ComputeNode], api: ApiClient, hung_cell: Cell
) -> None:
    assert names(api.get("/os-hypervisors", "2.53")) == ["node-cell1", "node-cell3"]
