"""DELETE os-services/{id}: blockers, and what is deleted with the service."""

from typing import Any

import pytest

from audit.models import Entry
from cells.models import AggregateHost, HostMapping
from hypervisors.models import ComputeNode
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud

#: A uuid to Nova, which takes any number of braces.
LONG = "{" * 300 + "11111111-2222-4333-8444-555555555555"
VERSIONS = ["2.1", "2.53", "2.104"]


def url(service: Service, version: str) -> str:
    id = service.id if version == "2.1" else service.uuid
    return f"/os-services/{id}"


def service_of(cloud: Cloud, cell: str, service: Service) -> Service:
    found: Service = Service.with_deleted.using(cloud.cell(cell).alias).get(id=service.id)
    return found


def nodes(cloud: Cloud, cell: str) -> list[ComputeNode]:
    return list(ComputeNode.with_deleted.using(cloud.cell(cell).alias).order_by("id"))


@pytest.mark.parametrize("version", VERSIONS)
def test_delete_removes_everything_of_the_host(cloud: Cloud, api: ApiClient, version: str) -> None:
    cloud.host("cell1", "stays")
    cloud.map_host("cmp", "cell2")
    cloud.add_service("cell2", "other")
    service = cloud.add_service("cell2", "cmp", id=70)
    cloud.add_node("cell2", "cmp", hypervisor_hostname="ironic-1")
    cloud.add_node("cell2", "cmp", hypervisor_hostname="ironic-2")
    cloud.add_node("cell2", None, hypervisor_hostname="very-old", service_id=70)
    cloud.add_node("cell2", "other")
    cloud.add_aggregate("a", ["cmp", "stays"], zone="west")
    cloud.add_aggregate("b", ["cmp"])

    answer = api.delete(url(service, version), version)

    assert (answer.status, answer.text) == (204, "")
    gone = service_of(cloud, "cell2", service)
    assert gone.deleted == 70
    assert gone.deleted_at is not None
    assert gone.updated_at is None
    after = nodes(cloud, "cell2")
    assert [(node.hypervisor_hostname, node.deleted, node.mapped) for node in after] == [
        ("ironic-1", 1, 0),
        ("ironic-2", 2, 0),
        ("very-old", 3, 0),
        ("other", 0, 1),
    ]
    assert all((node.deleted_at is None) == (node.deleted == 0) for node in after)
    assert list(AggregateHost.objects.values_list("host", flat=True)) == ["stays"]
    assert list(HostMapping.objects.values_list("host", flat=True)) == ["stays"]
    entry = Entry.objects.get()
    assert (entry.action, entry.outcome, entry.after) == ("delete", "done", None)

    answer = api.delete(url(service, version), version)
    assert answer.body == {
        "itemNotFound": {
            "code": 404,
            "message": f"Service {url(service, version).rpartition('/')[2]} not found.",
        }
    }


@pytest.mark.parametrize("version", ["2.1", "2.53"])
def test_deleting_other_services_keeps_the_host(cloud: Cloud, api: ApiClient, version: str) -> None:
    cloud.host("cell1", "ctl")
    cloud.add_instance("cell1", "ctl")
    cloud.add_aggregate("a", ["ctl"])
    conductor = cloud.add_service("cell1", "ctl", id=71, binary="nova-conductor")
    assert api.delete(url(conductor, version), version).status == 204
    assert service_of(cloud, "cell1", conductor).deleted == 71
    assert nodes(cloud, "cell1")[0].deleted == 0
    assert HostMapping.objects.count() == 1
    assert AggregateHost.objects.count() == 1


def test_services_of_cell0_can_be_deleted(cloud: Cloud, api: ApiClient) -> None:
    service = cloud.add_service("cell0", "ctl", id=72, binary="nova-conductor")
    assert api.delete("/os-services/72", "2.1").status == 204
    assert service_of(cloud, "cell0", service).deleted == 72


def unchanged(cloud: Cloud, service: Service) -> bool:
    return (
        service_of(cloud, "cell2", service).deleted == 0
        and [node.deleted for node in nodes(cloud, "cell2")] == [0]
        and HostMapping.objects.filter(host="cmp").exists()
        and AggregateHost.objects.filter(host="cmp").exists()
    )


@pytest.fixture
def service(cloud: Cloud) -> Service:
    cloud.add_aggregate("a", ["cmp"])
    return cloud.host("cell2", "cmp")[0]


@pytest.mark.parametrize(
    "instance", [{}, {"vm_state": "deleted"}, {"vm_state": "error"}, {"node": "elsewhere"}]
)
def test_instances_block_deletion(
    cloud: Cloud, api: ApiClient, service: Service, instance: dict[str, str]
) -> None:
    cloud.add_instance("cell2", "cmp", **instance)
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    assert answer.body == {
        "conflictingRequest": {
            "code": 409,
            "message": "Unable to delete compute service that is hosting instances. "
            "Migrate or delete the instances first.",
        }
    }
    assert unchanged(cloud, service)
    assert Entry.objects.get().outcome == "refused"


def test_deleted_instances_and_those_elsewhere_do_not_block_deletion(
    cloud: Cloud, api: ApiClient, service: Service
) -> None:
    cloud.add_instance("cell2", "cmp", id=5, deleted=5)
    cloud.add_instance("cell2", "cmp-2")
    cloud.add_instance("cell1", "cmp")
    assert api.delete(f"/os-services/{service.uuid}", "2.53").status == 204


@pytest.mark.parametrize(
    "migration",
    [
        {},
        {"status": "queued"},
        {"status": "finished"},
        {"source": "cmp-2", "dest_compute": "cmp", "dest_node": "cmp"},
    ],
)
def test_migrations_block_deletion(
    cloud: Cloud, api: ApiClient, service: Service, migration: dict[str, str]
) -> None:
    cloud.add_migration("cell2", migration.pop("source", "cmp"), **migration)
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    assert answer.body == {
        "conflictingRequest": {
            "code": 409,
            "message": "Unable to delete compute service that has in-progress migrations. "
            "Complete the migrations or delete the instances first.",
        }
    }
    assert unchanged(cloud, service)


@pytest.mark.parametrize(
    "migration",
    [
        *(
            {"status": status}
            for status in ("confirmed", "reverted", "error", "failed", "completed")
        ),
        {"status": "cancelled"},
        {"status": "done", "migration_type": "evacuation"},
        {"status": None},
        {"source_node": "another-node"},
        {"id": 4, "deleted": 4},
    ],
)
def test_finished_and_foreign_migrations_do_not_block_deletion(
    cloud: Cloud, api: ApiClient, service: Service, migration: dict[str, Any]
) -> None:
    cloud.add_migration("cell2", "cmp", **migration)
    assert api.delete(f"/os-services/{service.uuid}", "2.53").status == 204


def test_integer_id_in_several_cells(cloud: Cloud, api: ApiClient, service: Service) -> None:
    cloud.add_service("cell0", "ctl", id=service.id, binary="nova-conductor")
    answer = api.delete(f"/os-services/{service.id}", "2.52")
    assert answer.body == {
        "badRequest": {
            "code": 400,
            "message": f"Service id {service.id} refers to multiple services.",
        }
    }
    assert unchanged(cloud, service)


@pytest.mark.parametrize(
    ("version", "id", "status", "message"),
    [
        ("2.1", "abc", 400, "Invalid input received: id must be an integer"),
        ("2.52", "1.5", 400, "Invalid input received: id must be an integer"),
        ("2.1", "007", 404, "Service 007 not found."),
        ("2.1", "-1", 404, "Service -1 not found."),
        ("2.1", "99999999999", 404, "Service 99999999999 not found."),
        ("2.1", "9" * 30, 404, f"Service {'9' * 30} not found."),
        ("2.53", "7", 400, "Invalid uuid 7"),
        ("2.53", LONG, 404, f"Service {LONG} not found."),
    ],
)
def test_ids(
    api: ApiClient, service: Service, version: str, id: str, status: int, message: str
) -> None:
    answer = api.delete(f"/os-services/{id}", version)
    assert answer.status == status
    assert next(iter(answer.body.values()))["message"] == message


def test_policy_comes_before_the_form_of_the_id(api: ApiClient, service: Service) -> None:
    answer = api.as_user("bob", "member").delete("/os-services/abc", "2.53")
    assert (answer.status, answer["forbidden"]["message"]) == (
        403,
        "Policy doesn't allow os_compute_api:os-services:delete to be performed.",
    )


def test_cell_that_does_not_answer(
    cloud: Cloud, api: ApiClient, service: Service, dead_cell: Any
) -> None:
    assert api.delete(f"/os-services/{service.uuid}", "2.53").status == 503
    assert api.delete("/os-services/9", "2.1").status == 503
    assert HostMapping.objects.filter(host="cmp").exists()
