"""What the console offers is what Nova's policy allows, as in the API."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from audit.models import Entry
from cells.locate import key_of
from cloud import clients
from cloud.policy import RULES
from portal import roles
from services.actions import ACTIONS, actions_for
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

SERVICES, HYPERVISORS = "/admin/services/service/", "/admin/hypervisors/computenode/"
FIND_SERVER = "/admin/search/?q=a-server-of-someone"
LIST = "os_compute_api:os-services:list"
UPDATE = "os_compute_api:os-services:update"
DELETE = "os_compute_api:os-services:delete"
NODES = "os_compute_api:os-hypervisors:list-detail"

#: Writes the operator's policy.yaml.
Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write_policy(settings: Settings, tmp_path: Path) -> Any:
    path, times = tmp_path / "policy.yaml", iter(range(1_800_000_000, 1_900_000_000, 10))

    def write(rules: dict[str, str]) -> None:
        path.write_text(json.dumps(rules))
        when = next(times)
        os.utime(path, (when, when))

    write({})
    settings.POLICY_FILE = str(path)
    clients.forget_clients()
    yield write
    clients.forget_clients()


class Console:
    """A cloud with one host, and whoever looks at it."""

    def __init__(self, cloud: Cloud) -> None:
        call_command("migrate", database="default", verbosity=0)
        self.cloud = cloud
        self.service, node = cloud.host("cell1", "compute-1")
        cloud.add_instance("cell1", "compute-1", display_name="a-server-of-someone")
        self.key = key_of(cloud.cell("cell1"), self.service)
        self.node = f"{HYPERVISORS}{key_of(cloud.cell('cell1'), node)}/"

    def user(self, *groups: str, **columns: Any) -> Client:
        name = "-".join(groups) or "somebody"
        user = User.objects.create_user(name, **columns)
        user.groups.set(Group.objects.get_or_create(name=group)[0] for group in groups)
        client = Client()
        client.force_login(user)
        return client

    def offered(self, client: Client) -> set[str]:
        """The actions that have a button on the list and on the page of the service."""
        pages = [client.get(path).content.decode() for path in self.pages]
        [of_list, of_page] = (
            {name for name in ACTIONS if f'value="{name}"' in html or f"action={name}" in html}
            for html in pages
        )
        assert of_page <= of_list
        return of_list

    @property
    def pages(self) -> list[str]:
        return [SERVICES, f"{SERVICES}{self.key}/"]

    def post(self, client: Client, action: str) -> int:
        form = {"action": action, "key": self.key, "confirm": "1", f"host:{self.key}": "compute-1"}
        return client.post(f"{SERVICES}act/", form).status_code


@pytest.fixture
def console(cloud: Cloud, write_policy: Write) -> Console:
    return Console(cloud)


def test_every_tied_permission_has_a_rule_of_nova() -> None:
    assert set(roles._rules.values()) <= set(RULES)
    assert {action.permission for action in ACTIONS.values()} <= set(roles._rules)


@pytest.mark.parametrize("superuser", [True, False])
def test_an_action_that_policy_forbids_is_not_offered_and_refused(
    console: Console, write_policy: Write, superuser: bool
) -> None:
    client = console.user(is_superuser=True, is_staff=True) if superuser else console.user("admin")
    assert console.offered(client) == set(ACTIONS)
    write_policy({DELETE: "!"})
    assert console.offered(client) == set(ACTIONS) - {"delete"}
    assert console.post(client, "delete") == 403
    assert console.post(client, "disable") == 302
    assert [entry.action for entry in Entry.objects.exclude(action="log in")] == ["disable"]
    write_policy({UPDATE: "!"})
    assert console.offered(client) == {"delete"}
    assert console.post(client, "enable") == 403
    assert console.post(client, "delete") == 302


def test_the_api_agrees(console: Console, write_policy: Write) -> None:
    api = ApiClient(None).as_user("operator", "admin")
    write_policy({DELETE: "!"})
    assert api.delete(f"/os-services/{console.service.uuid}", "2.53").status == 403


def test_a_role_that_policy_allows_has_buttons(console: Console, write_policy: Write) -> None:
    client = console.user("helpdesk")
    assert client.get(SERVICES).status_code == 302, "may not enter"
    write_policy({LIST: "role:helpdesk", UPDATE: "role:helpdesk"})
    assert console.offered(client) == {"enable", "disable", "force-down", "force-up"}
    assert console.post(client, "delete") == 403
    assert client.get(HYPERVISORS).status_code == 403
    write_policy({LIST: "role:helpdesk", NODES: "role:helpdesk"})
    assert console.offered(client) == set()
    assert client.get(HYPERVISORS).status_code == 200


def test_menu_entries_follow_policy(console: Console, write_policy: Write) -> None:
    client = console.user("admin")

    def menu() -> str:
        return client.get("/admin/").content.decode().partition("console-nav")[2]

    assert f'href="{SERVICES}"' in menu()
    assert f'href="{HYPERVISORS}"' in menu()
    write_policy({LIST: "!"})
    assert f'href="{SERVICES}"' not in menu()
    assert "/admin/problems/" not in menu()
    assert f'href="{HYPERVISORS}"' in menu()
    assert client.get(SERVICES).status_code == 403
    assert client.get(f"{SERVICES}export.csv").status_code == 403
    assert client.get(f"{SERVICES}{console.key}/").status_code == 403


def test_the_page_of_a_hypervisor_follows_its_rules(console: Console, write_policy: Write) -> None:
    client = console.user("admin")
    console.cloud.add_migration("cell1", "compute-1", instance_uuid="a-moved-server")
    for server in ("a-server-of-someone", "a-moved-server"):
        assert server in client.get(console.node).content.decode()
    assert client.get(FIND_SERVER).status_code == 302, "it leads to the server"
    write_policy({"os_compute_api:os-hypervisors:servers": "!"})
    assert client.get(FIND_SERVER).status_code == 200, "it is not found"
    for server in ("a-server-of-someone", "a-moved-server"):
        assert server not in client.get(console.node).content.decode()
    write_policy({"os_compute_api:os-hypervisors:show": "!"})
    assert client.get(console.node).status_code == 403
    assert client.get(HYPERVISORS).status_code == 200


def test_a_maintenance_needs_the_rules_of_its_actions(
    console: Console, write_policy: Write
) -> None:
    client = console.user("admin")
    url = f"/admin/maintenance/start/?of=services&key={console.key}&action="
    assert client.get(f"{url}retire").status_code == 200
    write_policy({DELETE: "!"})
    assert client.get(f"{url}retire").status_code == 403
    assert client.get(f"{url}empty").status_code == 200
    html = client.get(SERVICES).content.decode()
    assert 'value="retire"' not in html
    assert 'value="empty"' in html


def test_readers_look_on_unless_policy_says_who_does(console: Console, write_policy: Write) -> None:
    reader = console.user("reader")
    assert console.offered(reader) == set()
    assert "a-server-of-someone" in reader.get(console.node).content.decode()
    for old_or_new in (LIST, "os_compute_api:os-services"):
        write_policy({old_or_new: "role:auditor"})
        assert reader.get(SERVICES).status_code == 403
        assert reader.get(HYPERVISORS).status_code == 200
    write_policy({LIST: "role:reader"})
    assert reader.get(SERVICES).status_code == 200


def test_permissions_of_django_alone_do_not_let_anyone_act(console: Console) -> None:
    client = console.user("crew", is_staff=True)
    group = Group.objects.get(name="crew")
    group.permissions.set(Group.objects.get(name="admin").permissions.all())
    assert console.offered(client) == set()
    assert console.post(client, "disable") == 403


def test_metrics_are_for_who_may_list_services(
    console: Console, write_policy: Write, settings: Settings
) -> None:
    settings.METRICS_ALLOWED = []
    root, reader = console.user(is_superuser=True), console.user("reader")
    assert [client.get("/metrics").status_code for client in (root, reader)] == [200, 200]
    write_policy({LIST: "role:auditor"})
    assert [client.get("/metrics").status_code for client in (root, reader)] == [403, 403]
    assert console.user("auditor").get("/metrics").status_code == 200


def test_what_is_shown_of_the_actions_is_what_may_be_done(console: Console) -> None:
    user = User.objects.create_superuser("root")
    client = Client()
    client.force_login(user)
    seen = client.get(SERVICES).wsgi_request.user
    assert actions_for(seen) == list(ACTIONS.values())
