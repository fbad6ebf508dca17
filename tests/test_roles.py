"""Every endpoint and every form of the console, tried with every role, offered or not."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from audit.models import Entry, Outcome
from cells.locate import key_of
from hypervisors.models import ComputeNode
from portal.api.routers import router
from portal.models import ApiToken, SavedView
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.engines import tables_of

pytestmark = pytest.mark.any_engine

#: Tables that every request may write to, whoever sends it.
ANYONES = {
    "audit_entry", "audit_intent", "audit_outboxmessage", "axes_accessattempt", "django_session",
    "django_admin_log",
}  # fmt: skip
#: What may be seen without a login, below /admin/.
PUBLIC = {"login", "jsi18n"}
#: What belongs to whoever is logged in, so that each role may change it.
OWN = {"password_change", "logout"} | {
    f"{model}_{what}"
    for model in ("services_service", "hypervisors_computenode")
    for what in ("saveview", "columns")
}
PATH = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")
PASSWORD = "a good old password"


class World:
    """A cloud with something of everything, and what is in all of its tables."""

    def __init__(self, cloud: Cloud) -> None:
        call_command("migrate", database="default", verbosity=0)
        self.cloud = cloud
        cloud.add_aggregate("rack", ["busy"])
        self.service, self.node = cloud.host("cell1", "idle")
        self.busy, _node = cloud.host("cell2", "busy", service={"disabled": True})
        self.victim = User.objects.create_user("victim", password=PASSWORD)
        self.group = Group.objects.create(name="crew")
        self.victim.groups.add(self.group)
        self.token = ApiToken.objects.issue(self.victim, name="of the victim")[0]
        self.view = SavedView.objects.create(
            user=self.victim, page="services_service_changelist", name="of the victim"
        )
        Entry.objects.create(username="x", action="disable", outcome=Outcome.DONE, host="idle")
        self.entry = Entry.objects.latest("id")
        self.users = {
            "nobody": User.objects.create_user("nobody", password=PASSWORD),
            "viewer": self._member("viewer", "reader"),
            "operator": self._member("operator", "admin"),
            "root": User.objects.create_superuser("root", password=PASSWORD),
        }

    def _member(self, name: str, group: str) -> User:
        user = User.objects.create_user(name, password=PASSWORD)
        user.groups.add(Group.objects.get(name=group))
        return user

    def client(self, role: str) -> Client:
        client = Client()
        if role != "anonymous":
            client.force_login(self.users[role])
        return client

    def rows(self) -> dict[str, Any]:
        """All rows of all tables, but for those that everyone's requests write to."""
        found = {}
        for alias in ("default", "api", *(cell.alias for cell in self.cloud.cells)):
            with connections[alias].cursor() as cursor:
                for table in set(tables_of(alias)) - ANYONES:
                    cursor.execute(f"SELECT * FROM {table}")
                    names = [column[0] for column in cursor.description]
                    kept = [n for n, name in enumerate(names) if name != "last_used_at"]
                    found[f"{alias}.{table}"] = sorted(
                        repr([row[n] for n in kept]) for row in cursor.fetchall()
                    )
        return found

    def changed(self, before: dict[str, Any]) -> set[str]:
        """The tables that have changed, without what is the business of a role itself."""
        after = self.rows()
        return {name.partition(".")[2] for name in after if after[name] != before[name]}

    def paths(self) -> Iterator[tuple[str, str]]:
        """The name and a path of every page of the console, for things that there are."""
        for name, route in console_routes(get_resolver()):
            arguments = {
                match[0]: self._argument(name, match[1] or match[2])
                for match in PATH.finditer(route)
            }
            path = route
            for argument, value in arguments.items():
                path = path.replace(argument, value)
            yield name, path

    def _argument(self, name: str, argument: str) -> str:
        by_page = {
            "services_service": key_of(self.cloud.cell("cell1"), self.service),
            "hypervisors_computenode": key_of(self.cloud.cell("cell1"), self.node),
            "auth_user": self.victim.pk,
            "auth_group": self.group.pk,
            "portal_apitoken": self.token.pk,
            "audit_entry": self.entry.pk,
        }
        if argument == "view_id":
            return str(self.view.pk)
        if argument == "app_label":
            return "auth"
        return str(next((value for page, value in by_page.items() if name.startswith(page)), 1))

    def forms(self, name: str) -> list[dict[str, Any]]:
        """What to post to a page: a form that does all that pages can do, with every action where
        there are several.
        """
        key = key_of(self.cloud.cell("cell1"), self.service)
        new = "correct horse battery"
        everything = {
            "key": key, f"host:{key}": "idle", "confirm": "1", "reason": "because", "post": "yes",
            "host": "idle", "username": "victim2", "email": "a@b.example", "is_superuser": "on",
            "is_staff": "on", "is_active": "on", "groups": [self.group.pk], "name": "a new name",
            "query": "q=x", "columns": "host", "shared": "1",
            "user": self.victim.pk, "expires_at": "2040-01-01T00:00",
            "permissions": [1], "usable_password": "true", "set-password": "1",
            "old_password": PASSWORD,
            "password1": new, "password2": new, "new_password1": new, "new_password2": new,
        }  # fmt: skip
        actions = ["disable", "enable", "force-down", "force-up", "delete", "delete_selected"]
        if not name.endswith(("_act", "_changelist")):
            actions = actions[:1]
        return [
            everything | {"action": action, "_selected_action": [self.victim.pk, self.token.pk]}
            for action in actions
        ]


def console_routes(
    resolver: URLResolver, route: str = "", inside: bool = False
) -> Iterator[tuple[str, str]]:
    """The name and the route of every page of the console."""
    for pattern in resolver.url_patterns:
        full = f"{route}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from console_routes(pattern, full, inside or pattern.namespace == "admin")
        elif isinstance(pattern, URLPattern) and inside and pattern.name:
            yield pattern.name, "/" + full.replace("^", "").replace("$", "")


@pytest.fixture
def world(cloud: Cloud) -> World:
    return World(cloud)


def test_the_pages_are_found(world: World) -> None:
    paths = dict(world.paths())
    assert len(paths) > 40
    key = key_of(world.cloud.cell("cell1"), world.service)
    assert paths["services_service_change"] == f"/admin/services/service/{key}/"
    assert paths["auth_user_password_change"] == f"/admin/auth/user/{world.victim.pk}/password/"
    assert not [path for path in paths.values() if set("<>()?") & set(path)]


@pytest.mark.parametrize("role", ["anonymous", "nobody"])
def test_who_may_not_enter_sees_nothing(world: World, role: str) -> None:
    client = world.client(role)
    for name, path in world.paths():
        answer = client.get(path)
        assert answer.status_code in (302, 403) or name in PUBLIC, (name, answer.status_code)
        assert name in PUBLIC or b"victim" not in answer.content, name


@pytest.mark.parametrize("role", ["anonymous", "nobody", "viewer"])
def test_who_may_not_change_changes_nothing(world: World, role: str) -> None:
    """A viewer's own things apart, which are tried last."""
    client = world.client(role)
    before = world.rows()
    paths = [(name, path) for name, path in world.paths() if name not in OWN]
    for name, path in paths:
        for data in world.forms(name):
            answer = client.post(path, data)
            assert answer.status_code < 500, (name, answer.status_code)
    assert world.changed(before) == set()
    assert not Entry.objects.exclude(outcome=Outcome.REFUSED).exclude(pk=world.entry.pk).exists()


def test_operators_change_services_and_no_administrators(world: World) -> None:
    client = world.client("operator")
    admins = User.objects.filter(username__in=("root", "operator")).order_by("id")
    before = list(admins.values("username", "password", "is_superuser", "is_active"))
    for name, path in world.paths():
        if name in OWN:
            continue
        for user in (world.users["root"], world.users["operator"]):
            client.post(path.replace(f"/{world.victim.pk}/", f"/{user.pk}/"), world.forms(name)[0])
        for data in world.forms(name):
            assert client.post(path, data).status_code < 500, name
    assert list(admins.values("username", "password", "is_superuser", "is_active")) == before
    assert not User.objects.filter(is_superuser=True).exclude(username="root").exists()
    assert Group.objects.filter(name="crew").exists()
    assert ApiToken.objects.filter(user__username="root").count() == 0
    assert Entry.objects.filter(outcome=Outcome.DONE, action="disable", username="operator")


def test_the_forms_do_what_is_tried_above(world: World) -> None:
    """As a superuser: so that it is the role that stops the others, not the form."""
    client = world.client("root")
    changed: set[str] = set()
    first = [
        "auth_user_change",
        "auth_user_password_change",
        "portal_apitoken_add",
        "auth_user_delete",
        "auth_group_delete",
    ]
    paths = sorted(
        world.paths(), key=lambda page: first.index(page[0]) if page[0] in first else len(first)
    )
    for name, path in paths:
        if name in ("logout", "password_change"):
            continue
        before = world.rows()
        for data in world.forms(name):
            assert client.post(path, data).status_code < 500, name
        changed |= {f"{name}: {table}" for table in world.changed(before)}
    assert {
        "auth_user_add: auth_user",
        "auth_user_change: auth_user",
        "auth_user_password_change: auth_user",
        "auth_user_delete: auth_user",
        "auth_group_add: auth_group",
        "auth_group_delete: auth_group",
        "portal_apitoken_add: portal_apitoken",
        "services_service_act: services",
        "services_service_saveview: portal_savedview",
        "services_service_columns: portal_listpreference",
    } <= changed


def test_views_of_others_stay(world: World) -> None:
    for role in world.users:
        for what in ("delete", "share"):
            data = {"shared": "1"}
            world.client(role).post(f"/admin/services/service/views/{world.view.pk}/{what}/", data)
        assert SavedView.objects.filter(pk=world.view.pk, is_shared=False).exists()


# --- the compute API ------------------------------------------------------------------------------


def api_requests(world: World) -> Iterator[tuple[str, str, str, Any]]:
    """Method, version, path and body of every endpoint, for things that there are."""
    names = {"host": "idle", "binary": "nova-compute"}
    bodies = {
        "enable": names,
        "disable": names,
        "disable-log-reason": names | {"disabled_reason": "x"},
        str(world.service.uuid): {"status": "disabled"},
    }
    for prefix, viewset, _basename in router.registry:
        thing: Service | ComputeNode = world.service if prefix == "os-services" else world.node
        for route in router.get_routes(viewset):
            for method in router.get_method_map(viewset, route.mapping):
                for version, id in (("2.1", str(thing.id)), ("2.53", str(thing.uuid))):
                    ids = [id] if method != "put" or version == "2.53" else list(bodies)[:3]
                    for one in ids if route.detail else [""]:
                        path = route.url.format(prefix=prefix, lookup=one, trailing_slash="")
                        body = bodies[one] if method == "put" else None
                        yield method.upper(), version, f"/{path}", body


@pytest.mark.parametrize("role", ["anonymous", "wrong token", "nobody", "viewer", "read-only"])
def test_the_api_refuses_who_may_not(world: World, role: str) -> None:
    users = {"nobody": "nobody", "viewer": "viewer", "read-only": "root"}
    text: str | None = "wrong"
    if role in users:
        user = world.users[users[role]]
        text = ApiToken.objects.issue(user, read_only=role == "read-only")[1]
    client = ApiClient(None if role == "anonymous" else text)
    before = world.rows()
    seen = set()
    for method, version, path, body in api_requests(world):
        answer = client.send(method, path, version, body)
        seen.add((method, answer.status))
        if role in ("anonymous", "wrong token"):
            assert answer.status in (401, 429), (method, path)
        elif method != "GET":
            assert answer.status == 403, (method, path, answer.text)
        elif role != "read-only":  # nor may readers, by Nova's policy
            assert answer.status in (403, 404), (method, path, answer.text)
        assert "idle" not in answer.text or role == "read-only", path
    assert {method for method, _status in seen} == {"GET", "PUT", "DELETE"}
    assert (("GET", 200) in seen) == (role == "read-only")
    assert world.changed(before) == set()


def test_the_api_lets_administrators(world: World) -> None:
    client = ApiClient(ApiToken.objects.issue(world.users["operator"])[1])
    seen = {
        (method, client.send(method, path, version, body).status)
        for method, version, path, body in api_requests(world)
    }
    assert {("GET", 200), ("PUT", 200), ("DELETE", 204)} <= seen
    assert not Service.objects.using(world.cloud.cell("cell1").alias).filter(host="idle").exists()
