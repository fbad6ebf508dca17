"""What ``check_fleet`` and the console find by comparing cells with placement."""

import json
import time
import uuid
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from cells.registry import Cell
from hypervisors.models import ComputeNode
from hypervisors.placement_facts import latest_facts
from hypervisors.placement_problems import PLACEMENT_PROBLEMS
from hypervisors.report import Report, check_fleet, latest_report
from tests.cloud_servers import Call, Placement, Reply, Stored
from tests.clouds import Cloud

NAMES = [problem.name for problem in PLACEMENT_PROBLEMS]


def found(report: Report) -> dict[str, list[str]]:
    """Subjects by the name of the problem, of problems with placement."""
    return {
        result.problem.name: [finding.subject for finding in result.findings]
        for result in report.results
        if result.count and result.problem.name in NAMES
    }


def add_host(cloud: Cloud, placement: Placement, cell: str, name: str) -> ComputeNode:
    """A host with a provider that has another one below it."""
    _service, node = cloud.host(cell, name)
    root = str(node.uuid)
    placement.add(Stored(root, name), Stored(str(uuid.uuid4()), f"{name} numa", root))
    return node


@pytest.fixture
def nodes(cloud: Cloud, placement: Placement) -> dict[str, ComputeNode]:
    """Two hosts in each of two cells."""
    return {
        name: add_host(cloud, placement, cell, name)
        for cell, name in (("cell1", "a"), ("cell1", "b"), ("cell2", "c"), ("cell2", "d"))
    }


def allocate(placement: Placement, consumer: str | None, *nodes: ComputeNode) -> str:
    """Let the consumer, or a new one, have some of each node; returns it."""
    consumer = consumer or str(uuid.uuid4())
    placement.allocations[consumer] = {str(node.uuid): {"VCPU": 1} for node in nodes}
    for node in nodes:
        placement.providers[str(node.uuid)].generation += 1
    return consumer


def test_nothing_is_wrong_where_both_agree(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode]
) -> None:
    server = cloud.add_instance("cell1", "a")
    allocate(placement, server.uuid, nodes["a"])
    placement.add(Stored(str(uuid.uuid4()), "shared disk", traits=["MISC_SHARES_VIA_AGGREGATE"]))
    report = check_fleet()
    assert found(report) == {}
    assert (report.placement.was_asked, report.placement.remark) == (True, "")


def test_providers_and_nodes_without_one_another(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode]
) -> None:
    cloud.host("cell2", "bare")
    orphan = Stored(str(uuid.uuid4()), "orphan")
    placement.add(orphan, Stored(str(uuid.uuid4()), "orphan's child", orphan.uuid))
    deleted = add_host(cloud, placement, "cell1", "deleted")
    ComputeNode.objects.using(cloud.cell("cell1").alias).filter(id=deleted.id).update(deleted=1)
    assert found(check_fleet()) == {
        "node-without-provider": ["bare"],
        "provider-without-node": [f"orphan ({orphan.uuid})", f"deleted ({deleted.uuid})"],
    }


def test_allocations_of_servers_elsewhere(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode]
) -> None:
    moved = cloud.add_instance("cell1", "b")
    allocate(placement, moved.uuid, nodes["a"], nodes["b"])
    other_cell = cloud.add_instance("cell2", "c")
    allocate(placement, other_cell.uuid, nodes["b"])
    gone = allocate(placement, None, nodes["d"])
    assert set(found(check_fleet())["allocation-elsewhere"]) == {
        f"{moved.uuid} on host a",
        f"{other_cell.uuid} on host b",
        f"{gone} on host d",
    }


def test_servers_that_may_be_in_two_places(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode]
) -> None:
    """A migration in progress, by the uuid of either; an evacuation; one that is being built."""
    migrating = cloud.add_instance("cell1", "a")
    migration = cloud.add_migration(
        "cell1", "a", dest_compute="b", dest_node="b", instance_uuid=migrating.uuid
    )
    allocate(placement, migration.uuid, nodes["a"])
    allocate(placement, migrating.uuid, nodes["b"])
    evacuated = cloud.add_instance("cell2", "d")
    cloud.add_migration(
        "cell2", "c", dest_compute="d", dest_node="d", instance_uuid=evacuated.uuid,
        status="done", migration_type="evacuation",
    )  # fmt: skip
    allocate(placement, evacuated.uuid, nodes["c"], nodes["d"])
    built = cloud.add_instance("cell2", None)
    allocate(placement, built.uuid, nodes["c"])
    assert found(check_fleet()) == {}
    finished = cloud.add_instance("cell1", "b")
    cloud.add_migration(
        "cell1", "a", dest_compute="b", dest_node="b", instance_uuid=finished.uuid,
        status="confirmed",
    )  # fmt: skip
    allocate(placement, finished.uuid, nodes["a"])
    assert found(check_fleet()) == {"allocation-elsewhere": [f"{finished.uuid} on host a"]}


def test_a_cell_that_is_away_hides_what_it_may_have(
    cloud: Cloud, placement: Placement, dead_cell: Cell
) -> None:
    """``dead_cell`` is one of the cells; what is in the others is still found."""
    node = add_host(cloud, placement, "cell1", "a")
    cloud.host("cell1", "bare")
    placement.add(Stored(str(uuid.uuid4()), "of the dead cell, maybe"))
    allocate(placement, None, node)
    known = cloud.add_instance("cell1", "bare")
    allocate(placement, known.uuid, node)
    assert found(check_fleet()) == {
        "node-without-provider": ["bare"],
        "allocation-elsewhere": [f"{known.uuid} on host a"],
    }


def test_providers_are_asked_again_only_when_they_have_changed(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode]
) -> None:
    leaked = allocate(placement, None, nodes["a"])
    assert check_fleet().count
    placement.calls.clear()
    assert check_fleet().count
    assert [str(call) for call in placement.calls] == [
        "GET /resource_providers",
        "GET /resource_providers?required=MISC_SHARES_VIA_AGGREGATE",
        f"GET /resource_providers/{nodes['a'].uuid}/allocations",  # as it looked wrong
    ]
    del placement.allocations[leaked]  # which changes no generation
    assert check_fleet().count == 0
    allocate(placement, None, nodes["b"])
    assert check_fleet().count == 1


def test_placement_that_is_away_is_told(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode]
) -> None:
    placement.broken = 503
    report = check_fleet()
    assert found(report) == {}
    assert report.severity == "warning"
    assert "503" in report.placement.remark
    placement.broken = 0

    def refuse(call: Call) -> Reply | None:
        return (503, {}, {}) if call.path.endswith(f"{nodes['c'].uuid}/allocations") else None

    placement.intercept = refuse
    assert "allocations of 1 resource provider" in check_fleet().placement.remark
    placement.intercept = lambda call: None
    report = check_fleet()
    assert (report.severity, report.placement.remark) == ("good", "")


def test_pages_do_not_wait_for_placement(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode], admin_client: Client
) -> None:
    cloud.host("cell2", "bare")
    placement.awake.clear()
    html = admin_client.get("/admin/problems/").content.decode()
    assert "Placement is being asked" in html
    assert "Compute nodes without a resource provider" not in html  # nobody has looked for them yet
    assert "Services without a uuid" in html
    placement.awake.set()
    until = time.monotonic() + 10
    while not latest_facts().was_asked and time.monotonic() < until:
        time.sleep(0.05)
    latest_report.clear()
    html = admin_client.get("/admin/problems/").content.decode()
    assert ">bare</a>" in html


def test_without_placement(cloud: Cloud, settings: Settings) -> None:
    cloud.host("cell1", "a", node={"id": 7}, service={"id": 8})
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_fleet", "--json", stdout=out)
    assert ended.value.code == 0
    assert json.loads(out.getvalue())["placement"] == "placement was not asked"


# --- the page of a hypervisor -------------------------------------------------------------------


def page_of(client: Client, node: ComputeNode) -> str:
    """The part of the page about placement."""
    html = client.get(f"/admin/hypervisors/computenode/{node.uuid}/").content.decode()
    return html.partition('id="placement"')[2].partition("</section>")[0]


def test_the_page_of_a_hypervisor_shows_its_providers(
    cloud: Cloud, placement: Placement, nodes: dict[str, ComputeNode], admin_client: Client
) -> None:
    node = nodes["a"]
    aggregate = cloud.add_aggregate("fast hosts", ["a"])
    placement.providers[str(node.uuid)].aggregates = [str(aggregate.uuid)]
    allocate(placement, None, node)
    html = page_of(admin_client, node)
    for text in ("a numa", "MEMORY_MB", "7680", "512", "COMPUTE_NODE", "fast hosts", "<dd>1</dd>"):
        assert text in html
    assert "b numa" not in html


@pytest.mark.parametrize(
    ("fault", "text"),
    [("missing", "no resource provider of this"), ("broken", "503"), ("silent", "Placement: ")],
)
def test_the_page_without_an_answer(
    cloud: Cloud, placement: Placement, admin_client: Client, settings: Settings,
    fault: str, text: str,
) -> None:  # fmt: skip
    settings.PLACEMENT_DEADLINE = 0.5
    _service, node = cloud.host("cell1", "bare")
    if fault == "broken":
        placement.broken = 503
    if fault == "silent":
        placement.awake.clear()
    began = time.monotonic()
    assert text in page_of(admin_client, node)
    assert time.monotonic() - began < 5


def test_the_page_without_placement(cloud: Cloud, admin_client: Client) -> None:
    _service, node = cloud.host("cell1", "bare")
    assert "Placement was not asked" in page_of(admin_client, node)
