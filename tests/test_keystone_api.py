"""Tokens of Keystone and the operator's policy in the compute API, beside the portal's users."""

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from audit.models import Entry
from cloud import clients
from cloud.config import load
from cloud.policy import RULES
from portal.api.routers import router
from tests.clients import ApiClient
from tests.cloud_servers import Keystone, keystone_conf
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

UNAUTHORIZED = {
    "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }
}


@pytest.fixture
def keystone(settings: Settings, tmp_path: Path) -> Iterator[Keystone]:
    """The portal is attached to a cloud with this Keystone, and a policy.yaml without rules."""
    server = Keystone()
    path = tmp_path / "nova.conf"
    policy = tmp_path / "policy.yaml"
    policy.write_text("{}")
    path.write_text(keystone_conf(server, policy))
    with server.running():
        settings.NOVA_CONFIG = load([str(path)])
        settings.KEYSTONE_DEADLINE = 1
        settings.CLOUD_RETRY_AFTER = 0.01
        clients.forget_clients()
        yield server
    clients.forget_clients()


@pytest.fixture
def admin(keystone: Keystone, cloud: Cloud) -> ApiClient:
    """Keystone's administrator; the cloud has a service."""
    cloud.add_service("cell1", "compute-1")
    return ApiClient("token-of-admin")


def as_roles(keystone: Keystone, *roles: str) -> ApiClient:
    """The user of Keystone with other roles, whose token has not been seen yet."""
    keystone.changes = {"roles": [{"id": role, "name": role} for role in roles]}
    clients.forget_clients()
    return ApiClient("token-of-admin")


def test_a_token_of_keystone_is_one_of_the_cloud(admin: ApiClient) -> None:
    answer = admin.get("/os-services", "2.53")
    assert [service["host"] for service in answer["services"]] == ["compute-1"]
    path = f"/os-services/{answer['services'][0]['id']}"
    assert admin.put(path, {"status": "disabled"}, "2.53").status == 200
    entry = Entry.objects.get()
    assert (entry.username, entry.outcome) == ("admin@Default", "done")
    assert not User.objects.filter(username__contains="@").exists()


@pytest.mark.parametrize("token", [None, "nonsense"])
def test_who_has_no_token_is_sent_to_keystone(admin: ApiClient, token: str | None) -> None:
    for path in ("/os-services", "/nowhere"):
        answer = ApiClient(token).get(path)
        assert (answer.status, answer.body) == (401, UNAUTHORIZED)
        challenge = 'Keystone uri="https://keystone.example.net/v3"'
        assert answer.headers["WWW-Authenticate"] == challenge


def test_the_project_of_the_url_is_that_of_the_token(keystone: Keystone, admin: ApiClient) -> None:
    identity = clients.keystone().identify("token-of-admin")  # type: ignore[union-attr]
    assert identity is not None
    assert admin.get(f"/v2.1/{identity.project_id}/os-services").status == 200
    other = "0" * 32
    answer = admin.get(f"/v2.1/{other}/os-services")
    assert answer.status == 400
    assert answer["badRequest"]["message"] == (
        f"Malformed request URL: URL's project_id '{other}' doesn't match Context's project_id "
        f"'{identity.project_id}'"
    )
    keystone.changes = {"system": {"all": True}, "project": None}
    clients.forget_clients()
    answer = admin.get(f"/v2.1/{other}/os-services")
    assert answer["badRequest"]["message"].endswith("doesn't match Context's project_id 'None'")
    assert admin.get("/os-services").status == 403  # its scope is not a project


def test_a_service_token_must_be_valid(admin: ApiClient) -> None:
    assert admin.get("/os-services", X_Service_Token="token-of-nova").status == 200
    assert admin.get("/os-services", X_Service_Token="nonsense").status == 401


def test_while_keystone_is_away_its_tokens_get_503_and_others_go_on(
    keystone: Keystone, admin: ApiClient, admin_token: str
) -> None:
    keystone.awake.clear()
    local = ApiClient(admin_token)
    asked = len(keystone.calls)
    assert local.get("/os-services").status == 200
    assert len(keystone.calls) == asked  # no round trip
    begun = time.monotonic()
    answer = admin.get("/os-services", Accept="application/json")
    assert time.monotonic() - begun < 3
    assert answer.status == 503
    assert "The Keystone service is temporarily unavailable." in answer.body["message"]
    assert local.get("/os-services").status == 200


def test_an_expired_token_is_refused(keystone: Keystone, admin: ApiClient) -> None:
    keystone.lifetime = datetime.timedelta(seconds=-1)
    assert admin.get("/os-services").status == 401


# --- policy ---------------------------------------------------------------------------------------


def test_every_endpoint_has_a_rule_of_nova() -> None:
    used = {
        f"{viewset.policy_base}:{getattr(viewset, action).endpoint.policy}"
        for _, viewset, _ in router.registry
        for route in router.get_routes(viewset)
        for action in router.get_method_map(viewset, route.mapping).values()
    }
    assert used <= set(RULES)


def test_the_operators_policy_decides_and_is_read_again(
    keystone: Keystone, admin: ApiClient, tmp_path: Path, admin_token: str
) -> None:
    policy = tmp_path / "policy.yaml"

    def write(text: str) -> None:
        policy.write_text(text)
        later = time.time() + write.count  # type: ignore[attr-defined]
        write.count += 5  # type: ignore[attr-defined]
        os.utime(policy, (later, later))

    write.count = 5  # type: ignore[attr-defined]
    reader = as_roles(keystone, "reader")
    for client in (reader, admin.as_user("bob", "reader")):
        write("{}")
        refused = client.get("/os-services")
        assert refused["forbidden"]["message"] == (
            "Policy doesn't allow os_compute_api:os-services:list to be performed."
        )
        write('"os_compute_api:os-services:list": "role:reader"')
        assert client.get("/os-services").status == 200
        assert client.get("/os-hypervisors").status == 403
        assert (
            client.put("/os-services/disable", {"host": "compute-1", "binary": "x"}).status == 403
        )
        local = ApiClient(admin_token)
        assert local.get("/os-services").status == 200  # an administrator is a reader too
        write('"os_compute_api:os-hypervisors:list": "!"')
        assert local.get("/os-hypervisors").status == 403
        write("- not\n- a mapping\n")
        assert local.get("/os-hypervisors").status == 403  # the rules read last
