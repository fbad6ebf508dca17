"""Deleting a nova-compute where there is a placement: what goes, what stays, and interruptions."""

import datetime
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from pytest_django import Settings

from audit import journal, outbox
from audit.journal import Actor
from audit.models import Channel, Entry, Intent, OutboxMessage
from cells.models import AggregateHost, HostMapping
from hypervisors.models import ComputeNode
from services.actions import DELETE, ServiceRef
from services.facts import facts_by_key
from services.models import Service
from tests.clients import ApiClient
from tests.cloud_servers import Call, Placement, Reply, Stored
from tests.clouds import Cloud
from tests.servers import ROOT

ACTOR = Actor("ann", Channel.COMMAND)
CELL = "cell2"
STAYS, NUMA, GPU, SERVER, OTHER = (str(uuid.UUID(int=number)) for number in range(1, 6))
AT_ONCE = datetime.timedelta(0)


@pytest.fixture
def host(cloud: Cloud, placement: Placement) -> tuple[Service, ComputeNode]:
    """A host with a provider tree, in no aggregate."""
    placement.add(Stored(STAYS, "stays"))
    cloud.host("cell1", "stays", node={"uuid": STAYS})
    service, node = cloud.host(CELL, "cmp")
    assert node.uuid
    placement.add(Stored(node.uuid, "cmp"), Stored(NUMA, "numa", node.uuid), Stored(GPU, "g", NUMA))
    return service, node


def join(cloud: Cloud, placement: Placement, node: ComputeNode) -> str:
    """Put the host and its provider into an aggregate; returns its uuid."""
    aggregate = cloud.add_aggregate("a", ["cmp", "stays"])
    assert aggregate.uuid
    for provider in (node.uuid, STAYS):
        placement.providers[str(provider)].aggregates = [aggregate.uuid]
    return aggregate.uuid


def is_whole(cloud: Cloud, service: Service) -> bool:
    """Whether nothing of the host has been deleted from the databases."""
    alias = cloud.cell(CELL).alias
    return (
        Service.objects.using(alias).filter(id=service.id).exists()
        and ComputeNode.objects.using(alias).filter(host="cmp", mapped=1).exists()
        and HostMapping.objects.filter(host="cmp").exists()
    )


def is_gone(cloud: Cloud, service: Service) -> bool:
    """Whether everything of the host has been."""
    alias = cloud.cell(CELL).alias
    return not (
        Service.objects.using(alias).filter(id=service.id).exists()
        or ComputeNode.objects.using(alias).filter(host=service.host).exists()
        or HostMapping.objects.filter(host=service.host).exists()
        or AggregateHost.objects.filter(host=service.host).exists()
    )


def test_the_tree_goes_and_what_evacuated_servers_had_of_it(
    cloud: Cloud, api: ApiClient, placement: Placement, host: tuple[Service, ComputeNode]
) -> None:
    service, node = host
    join(cloud, placement, node)
    cloud.add_migration(
        CELL, "cmp", status="done", migration_type="evacuation", instance_uuid=SERVER
    )
    placement.allocations = {SERVER: {str(node.uuid): {"VCPU": 1}, STAYS: {"VCPU": 1}}}
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    assert (answer.status, answer.headers.get("Warning")) == (204, None)
    assert is_gone(cloud, service)
    assert list(placement.providers) == [STAYS]
    assert placement.allocations == {SERVER: {STAYS: {"VCPU": 1}}}
    entry = Entry.objects.get()
    assert (entry.outcome, entry.message) == ("done", "")
    assert not OutboxMessage.objects.exists()


def test_all_nodes_of_an_ironic_host_and_none_of_others(
    cloud: Cloud, api: ApiClient, placement: Placement, host: tuple[Service, ComputeNode]
) -> None:
    service, _node = host
    for number in range(20):
        node = cloud.add_node(CELL, "cmp", hypervisor_hostname=f"ironic-{number}")
        placement.add(Stored(str(node.uuid), f"ironic-{number}"))
    cloud.add_node("cell1", "cmp", hypervisor_hostname="elsewhere", uuid=OTHER)
    placement.add(Stored(OTHER, "elsewhere"))
    assert api.delete(f"/os-services/{service.uuid}", "2.53").status == 204
    assert list(placement.providers) == [STAYS, OTHER]


def test_a_provider_that_others_use_is_left_as_nova_leaves_it(
    cloud: Cloud, api: ApiClient, placement: Placement, host: tuple[Service, ComputeNode]
) -> None:
    service, node = host
    aggregate = join(cloud, placement, node)
    placement.allocations = {OTHER: {str(node.uuid): {"VCPU": 1}}}
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    assert answer.status == 204
    assert "has allocations" in answer.headers["Warning"]
    assert is_gone(cloud, service)
    assert list(placement.providers) == [STAYS, node.uuid]
    assert placement.providers[str(node.uuid)].aggregates == []
    assert placement.providers[STAYS].aggregates == [aggregate]
    assert "has allocations" in Entry.objects.get().message


def test_a_provider_that_is_missing_is_said_before_anything_is_changed(
    cloud: Cloud, api: ApiClient, placement: Placement, host: tuple[Service, ComputeNode]
) -> None:
    """Real Nova takes the host out of its aggregates and then fails with 500."""
    service, node = host
    join(cloud, placement, node)
    placement.providers = {STAYS: placement.providers[STAYS]}
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    assert answer.status == 409
    message = answer["conflictingRequest"]["message"]
    assert f"cmp has no resource provider {node.uuid}" in message
    assert is_whole(cloud, service)
    assert AggregateHost.objects.filter(host="cmp").exists()
    assert Entry.objects.get().outcome == "refused"


def test_a_host_without_nodes_needs_no_placement(
    cloud: Cloud, api: ApiClient, placement: Placement, host: tuple[Service, ComputeNode]
) -> None:
    service = cloud.add_service(CELL, "bare")
    placement.broken = 503
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    assert (answer.status, answer.headers.get("Warning")) == (204, None)


@pytest.mark.parametrize("broken", [503, 403])
def test_nothing_is_changed_when_nova_would_fail_halfway(
    cloud: Cloud, api: ApiClient, placement: Placement,
    host: tuple[Service, ComputeNode], broken: int,
) -> None:  # fmt: skip
    """Placement is away and the host is in an aggregate; or it refuses the portal."""
    service, node = host
    if broken == 503:
        join(cloud, placement, node)
    placement.broken = broken
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    assert answer.status == 503
    assert (
        f"placement is needed: placement: GET /resource_providers?in_tree={node.uuid}: {broken}"
        in (answer["serviceUnavailable"]["message"])
    )
    assert is_whole(cloud, service)
    assert not Intent.objects.exists()
    placement.broken = 0
    assert api.delete(f"/os-services/{service.uuid}", "2.53").status == 204
    assert list(placement.providers) == [STAYS]


def test_without_aggregates_it_is_done_and_placement_follows_when_it_is_back(
    cloud: Cloud, api: ApiClient, placement: Placement,
    host: tuple[Service, ComputeNode], settings: Settings,
) -> None:  # fmt: skip
    service, _node = host
    settings.PLACEMENT_DEADLINE = 0.5
    placement.awake.clear()
    answer = api.delete(f"/os-services/{service.uuid}", "2.53")
    placement.awake.set()
    assert answer.status == 204
    assert "removed once it answers" in answer.headers["Warning"]
    assert is_gone(cloud, service)
    assert len(placement.providers) == 4
    assert outbox.deliver().left == 0
    assert list(placement.providers) == [STAYS]


def test_placement_may_fail_at_any_request(
    cloud: Cloud, api: ApiClient, placement: Placement, host: tuple[Service, ComputeNode]
) -> None:
    """Either nothing is changed, or all of it is finished by the outbox, whenever that fails."""
    service, node = host
    aggregate = join(cloud, placement, node)
    placement.allocations = {SERVER: {str(node.uuid): {"VCPU": 1}, OTHER: {"VCPU": 1}}}
    placement.add(Stored(OTHER, "other"))
    cloud.add_migration(
        CELL, "cmp", status="done", migration_type="evacuation", instance_uuid=SERVER
    )
    answered = 0
    statuses = []

    def fail_after(call: Call) -> Reply | None:
        nonlocal answered
        answered -= 1
        return None if answered >= 0 else (503, {}, {})

    placement.intercept = fail_after
    for budget in range(12):
        answered = budget
        if not is_gone(cloud, service):
            statuses.append(api.delete(f"/os-services/{service.uuid}", "2.53").status)
            assert is_whole(cloud, service) == (statuses[-1] == 503)
        elif not outbox.deliver().left:
            break
    assert statuses == [503, 204]
    assert not OutboxMessage.objects.exists()
    assert list(placement.providers) == [STAYS, OTHER]
    assert placement.allocations == {SERVER: {OTHER: {"VCPU": 1}}}
    assert placement.providers[STAYS].aggregates == [aggregate]


def test_the_preview_names_what_placement_loses(
    cloud: Cloud, placement: Placement, host: tuple[Service, ComputeNode]
) -> None:
    service, node = host
    placement.allocations = {OTHER: {NUMA: {"VCPU": 1}}}

    def said() -> tuple[list[str], list[str], list[str]]:
        asked = facts_by_key(
            [str(service.uuid)], ("servers", "migrations", "nodes"), placement=True
        )
        facts = asked.facts[str(service.uuid)]
        blockers = [blocker.message for blocker in DELETE.blockers(facts)]
        return blockers, DELETE.warnings(facts), DELETE.effects(facts)

    blockers, warnings, effects = said()
    assert not blockers
    assert "1 server or migration still has allocations in placement" in warnings[0]
    assert "in placement 3 resource providers: cmp, numa, g" in effects
    del placement.providers[str(node.uuid)], placement.providers[NUMA], placement.providers[GPU]
    blockers, _warnings, _effects = said()
    assert "has no resource provider" in blockers[0]
    placement.broken = 500
    blockers, warnings, _effects = said()
    assert not blockers
    assert "removed once it answers" in warnings[0]


def test_without_placement_it_says_so(cloud: Cloud) -> None:
    service, _node = cloud.host(CELL, "cmp")
    key = str(service.uuid)
    facts = facts_by_key([key], (*DELETE.decided_by, *DELETE.shows), placement=True).facts[key]
    assert "placement was not asked" in DELETE.effects(facts)
    assert DELETE.apply(ServiceRef(uuid=service.uuid or ""), ACTOR).remark == ""


# --- a process that is killed -------------------------------------------------------------------


def test_killed_at_any_step(
    cloud: Cloud, placement: Placement, placement_conf: Path, tmp_path: Path
) -> None:
    """A process is killed at its first step, another at its second, and so on until one is not.

    Steps are statements of any database, commits (before and after), and requests of placement.
    """
    hosts: list[tuple[Service, ComputeNode]] = []
    placement.add(Stored(STAYS, "stays"))
    cloud.host("cell1", "stays", node={"uuid": STAYS})
    names = [f"cmp-{number}" for number in range(60)]
    cloud.add_aggregate("a", names)
    for name in names:
        service, node = cloud.host(CELL, name)
        placement.add(Stored(str(node.uuid), name))
        placement.add(Stored(str(uuid.uuid4()), f"numa of {name}", node.uuid))
        hosts.append((service, node))
    environment = {
        "SECRET_KEY": "only for tests " * 4,
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": cloud.portal_url,
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "NOVA_CONFIG_FILES": str(placement_conf),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "CELL_DEADLINE": "10",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    uuids = [str(service.uuid) for service, _node in hosts]
    done = subprocess.run(
        [sys.executable, "-m", "tests.kill_at_each_step", *uuids],
        cwd=ROOT, env=kept | environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    statuses = [int(line) for line in done.stdout.split()]
    assert statuses[-1] == 0
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert 20 < len(statuses) < len(hosts)

    journal.settle_interrupted(AT_ONCE)
    assert outbox.deliver().left == 0
    assert not Intent.objects.exists()
    gone = []
    for (service, node), _status in zip(hosts, statuses, strict=False):
        alias = cloud.cell(CELL).alias
        is_deleted = not Service.objects.using(alias).filter(id=service.id).exists()
        gone.append(is_deleted)
        assert is_gone(cloud, service) == is_deleted
        assert (node.uuid not in placement.providers) == is_deleted
        names_left = {provider.name for provider in placement.providers.values()}
        assert (f"numa of {service.host}" not in names_left) == is_deleted
        in_aggregate = AggregateHost.objects.filter(host=service.host).exists()
        mapped = HostMapping.objects.filter(host=service.host).exists()
        assert in_aggregate == mapped == (not is_deleted)
    # Once the cell has committed it is always finished.
    assert gone == sorted(gone)
    assert gone[-1]
    assert gone.count(True) > 4
    outcomes = Entry.objects.values_list("outcome", flat=True)
    assert list(outcomes).count("done") == gone.count(True)
    assert set(outcomes) == {"done", "failed"}
    assert placement.providers[STAYS]
