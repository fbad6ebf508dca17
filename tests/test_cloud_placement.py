"""Reading and changing placement, against a server with recorded answers."""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cloud.config import ConfigError, load
from cloud.placement import Placement
from cloud.providers import (
    GenerationConflict,
    PlacementUnavailable,
    Provider,
    ProviderInUse,
    ProviderNotFound,
    top_down,
)
from tests import cloud_servers
from tests.cloud_servers import Stored

NODE, OTHER, NUMA, GPU, SERVER, AGGREGATE = (str(uuid.UUID(int=number)) for number in range(1, 7))
DEADLINE = 1.0


@pytest.fixture
def server() -> Iterator[cloud_servers.Placement]:
    placement = cloud_servers.Placement()
    placement.add(
        Stored(NODE, "node"), Stored(NUMA, "numa0", NODE), Stored(GPU, "gpu0", NUMA),
        Stored(OTHER, "other"),
    )  # fmt: skip
    with placement.running():
        yield placement


@pytest.fixture
def conf(tmp_path: Path, server: cloud_servers.Placement) -> Path:
    """The configuration for a placement without Keystone."""
    path = tmp_path / "nova.conf"
    path.write_text(
        f"[placement]\nauth_type = admin_token\nendpoint = {server.url}\ntoken = admin\n"
    )
    return path


def placement_of(conf: Path, retry_after: float = 0) -> Placement:
    config = load([str(conf)])
    return Placement(config, deadline=DEADLINE, retry_after=retry_after, bulk_deadline=DEADLINE)


@pytest.fixture
def placement(conf: Path) -> Placement:
    return placement_of(conf)


def names(providers: list[Provider]) -> list[str]:
    return [provider.name for provider in providers]


def test_all_providers_in_one_request(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    found = placement.providers()
    assert names(found) == ["node", "numa0", "gpu0", "other"]
    assert found[2] == Provider(GPU, "gpu0", generation=1, parent=NUMA, root=NODE)
    assert [str(call) for call in server.calls] == ["GET /resource_providers"]
    assert server.calls[0].headers["openstack-api-version"] == "placement 1.14"
    assert server.calls[0].headers["x-auth-token"] == "admin"


def test_one_by_name_and_a_tree_by_any_member(placement: Placement) -> None:
    named = placement.provider_named("numa0")
    assert named is not None
    assert named.uuid == NUMA
    assert placement.provider_named("no / such & node") is None
    assert names(placement.providers_in_tree(GPU)) == ["node", "numa0", "gpu0"]
    assert placement.providers_in_tree(SERVER) == []


def test_a_provider_in_detail(server: cloud_servers.Placement, placement: Placement) -> None:
    server.allocations = {SERVER: {NODE: {"VCPU": 1}}}
    server.providers[NODE].aggregates = [AGGREGATE]
    node, numa, _gpu = placement.detail(NODE)
    assert node.provider.uuid == NODE
    assert [each.resource_class for each in node.inventories] == ["DISK_GB", "MEMORY_MB", "VCPU"]
    memory, vcpu = node.inventories[1:]
    assert (memory.total, memory.reserved, memory.used, memory.capacity) == (8192, 512, 64, 7680)
    assert (vcpu.allocation_ratio, vcpu.capacity) == (4.0, 8)
    assert "COMPUTE_NODE" in node.traits
    assert not node.is_disabled
    assert node.aggregates == (AGGREGATE,)
    assert node.allocations == {SERVER: {"VCPU": 1}}
    assert numa.allocations == {}


def test_missing_providers_are_reported(placement: Placement) -> None:
    for ask in (placement.inventories, placement.usages, placement.traits, placement.aggregates):
        with pytest.raises(ProviderNotFound, match="404 The resource could not be found"):
            ask(SERVER)


def test_allocations_of_many(server: cloud_servers.Placement, placement: Placement) -> None:
    server.allocations = {SERVER: {NODE: {"VCPU": 1}, GPU: {"PGPU": 1}}}
    found, missing = placement.allocations_by_provider([NODE, OTHER, GPU, SERVER])
    assert found == {NODE: {SERVER: {"VCPU": 1}}, OTHER: {}, GPU: {SERVER: {"PGPU": 1}}}
    assert list(missing) == [SERVER]


def test_allocations_of_many_while_placement_is_down(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    server.awake.clear()
    began = time.monotonic()
    found, missing = placement.allocations_by_provider([str(uuid.UUID(int=n)) for n in range(50)])
    assert time.monotonic() - began < DEADLINE + 0.5
    assert not found
    assert len(missing) == 50


# --- deleting a compute service's providers -------------------------------------------------------


def test_a_tree_is_deleted_from_the_leaves_up(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    assert placement.delete_resource_provider(NODE) == []
    assert list(server.providers) == [OTHER]
    assert [str(call) for call in server.calls] == [
        f"GET /resource_providers?in_tree={NODE}",
        f"DELETE /resource_providers/{GPU}",
        f"DELETE /resource_providers/{NUMA}",
        f"DELETE /resource_providers/{NODE}",
    ]


def test_allocations_of_its_servers_go_first(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    server.allocations = {SERVER: {NODE: {"VCPU": 1}}}
    assert placement.delete_resource_provider(NODE, servers=[SERVER]) == []
    assert list(server.providers) == [OTHER]
    assert server.allocations == {}
    assert str(server.calls[0]) == f"DELETE /allocations/{SERVER}"


def test_of_evacuated_servers_only_what_they_have_here(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    server.allocations = {SERVER: {NODE: {"VCPU": 1}, GPU: {"PGPU": 1}, OTHER: {"VCPU": 1}}}
    assert placement.delete_resource_provider(NODE, evacuated=[SERVER, AGGREGATE]) == []
    assert list(server.providers) == [OTHER]
    assert server.allocations == {SERVER: {OTHER: {"VCPU": 1}}}


def test_providers_still_in_use_are_kept_and_reported(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    server.allocations = {SERVER: {NUMA: {"VCPU": 1}}}
    left = placement.delete_resource_provider(NODE)
    assert list(server.providers) == [NODE, NUMA, OTHER]
    assert len(left) == 2
    assert all(isinstance(error, ProviderInUse) for error in left)
    assert "has allocations" in str(left[0])


def test_a_provider_that_is_gone_is_no_error(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    assert placement.delete_resource_provider(SERVER) == []
    assert len(server.providers) == 4


def test_it_can_be_repeated_after_any_interruption(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    server.allocations = {SERVER: {NODE: {"VCPU": 1}, OTHER: {"VCPU": 1}}}
    for answers in range(8):
        budget = iter(range(answers))
        server.intercept = lambda call: None if next(budget, None) is not None else (503, {}, {})  # noqa: B023
        with suppress(PlacementUnavailable):
            placement.delete_resource_provider(NODE, evacuated=[SERVER])
    server.intercept = lambda call: None
    assert placement.delete_resource_provider(NODE, evacuated=[SERVER]) == []
    assert list(server.providers) == [OTHER]
    assert server.allocations == {SERVER: {OTHER: {"VCPU": 1}}}


def test_leaving_an_aggregate(server: cloud_servers.Placement, placement: Placement) -> None:
    server.providers[NODE].aggregates = [AGGREGATE, OTHER]
    assert placement.remove_from_aggregate("node", AGGREGATE)
    assert server.providers[NODE].aggregates == [OTHER]
    assert not placement.remove_from_aggregate("node", AGGREGATE)
    assert not placement.remove_from_aggregate("missing", AGGREGATE)


def test_leaving_an_aggregate_while_someone_else_changes_it(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    server.providers[NODE].aggregates = [AGGREGATE]

    def change(call: cloud_servers.Call) -> None:
        if call.method == "PUT":
            server.providers[NODE].generation += 1

    server.intercept = change
    with pytest.raises(GenerationConflict):
        placement.remove_from_aggregate("node", AGGREGATE)


# --- outages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 401])
def test_a_broken_placement(
    server: cloud_servers.Placement, placement: Placement, status: int
) -> None:
    server.broken = status
    with pytest.raises(PlacementUnavailable, match=str(status)):
        placement.providers()
    server.broken = 0
    assert placement.providers()


def test_an_unresponsive_placement_delays_by_one_deadline_and_is_then_skipped(
    server: cloud_servers.Placement, conf: Path
) -> None:
    placement = placement_of(conf, retry_after=60)
    server.awake.clear()
    began = time.monotonic()
    with pytest.raises(PlacementUnavailable):
        placement.traits(NODE)
    assert time.monotonic() - began < DEADLINE + 0.5
    began = time.monotonic()
    with pytest.raises(PlacementUnavailable):
        placement.delete_resource_provider(NODE)
    assert time.monotonic() - began < 0.1


def test_a_different_service_at_the_endpoint(
    server: cloud_servers.Placement, placement: Placement
) -> None:
    server.intercept = lambda call: (200, None, {})
    with pytest.raises(PlacementUnavailable, match="no JSON"):
        placement.providers()


def test_the_endpoint_comes_from_the_catalogue(tmp_path: Path) -> None:
    keystone = cloud_servers.Keystone()
    placement = cloud_servers.Placement()
    with keystone.running(), placement.running():
        token = cloud_servers.RECORDED["token of nova"]["body"]["token"]
        catalogue = [
            {**service, "endpoints": [
                {**endpoint, "url": placement.url} for endpoint in service["endpoints"]
            ]}
            for service in token["catalog"] if service["type"] == "placement"
        ]  # fmt: skip
        keystone.changes_of_services = {"catalog": catalogue}
        path = tmp_path / "nova.conf"
        path.write_text(
            f"""[placement]
auth_type = password
auth_url = {keystone.url}/v3
username = nova
password = oracle
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = RegionOne
"""
        )
        assert placement_of(path).providers() == []
    assert placement.calls[0].headers["x-auth-token"] == "token-of-nova"


def test_a_section_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text("")
    with pytest.raises(ConfigError, match="auth_type: must be set"):
        placement_of(path)
    path.write_text("[placement]\nauth_type = magic\n")
    with pytest.raises(ConfigError, match=rf"^{path}: \[placement\]/auth_type: The plugin magic"):
        placement_of(path)
    usable = "[placement]\nauth_type = admin_token\nendpoint = http://p/\ntoken = s3cret\n"
    for option, said in (
        ("cafile = /no/such.pem", "/cafile: /no/such.pem: No such file or directory"),
        ("timeout = soon", "/timeout: could not convert string to float: 'soon'"),
        ("valid_interfaces = none", ": 'none' is not a valid value for valid_interfaces"),
    ):
        path.write_text(f"{usable}{option}\n")
        with pytest.raises(ConfigError) as refused:
            placement_of(path)
        assert str(refused.value).startswith(f"{path}: [placement]{said}")


def test_a_tree_in_order() -> None:
    root, child, leaf = (
        Provider("1", "r", 1),
        Provider("2", "c", 1, "1"),
        Provider("3", "l", 1, "2"),
    )
    assert top_down([leaf, root, child]) == [root, child, leaf]
    with pytest.raises(ValueError, match="without their parents: 3"):
        top_down([root, leaf])
