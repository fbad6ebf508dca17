"""Users, groups and tokens: who may do what to them, what ends with them, and what is on record."""

import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit.models import Channel, Entry
from portal import processes
from portal.models import ApiToken
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

TOKENS = "/admin/portal/apitoken/"


def member(name: str, *groups: str) -> User:
    user = User.objects.create_user(name, password=f"password of {name}")
    user.groups.set(Group.objects.get_or_create(name=group)[0] for group in groups)
    return user


def console_of(user: User) -> Client:
    client = Client(headers={"User-Agent": "test"})
    client.force_login(user)
    return client


@pytest.fixture
def root(cloud: Cloud) -> Client:
    call_command("migrate", database="default", verbosity=0)  # the groups and their permissions
    return console_of(User.objects.create_superuser("root", password="password of root"))


@pytest.fixture
def operator(root: Client) -> Client:
    return console_of(member("operator", "admin"))


@pytest.fixture
def viewer(root: Client) -> Client:
    return console_of(member("viewer", "reader"))


def token_form(user: str, **more: str) -> dict[str, str]:
    return {
        "user": str(User.objects.get(username=user).pk),
        "name": "script",
        "expires_at": "2030-01-01T00:00",
        **more,
    }


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["operator", "viewer"])
def test_everyone_issues_and_revokes_their_own_tokens_only(
    root: Client, operator: Client, viewer: Client, name: str
) -> None:
    client = {"operator": operator, "viewer": viewer}[name]
    of_root = ApiToken.objects.issue(User.objects.get(username="root"), name="of root")[0]
    assert TOKENS in client.get("/admin/").content.decode()
    assert 'name="expires_at"' in client.get(f"{TOKENS}add/").content.decode()
    assert client.post(f"{TOKENS}add/", token_form(name)).status_code == 302
    assert client.post(f"{TOKENS}add/", token_form("root")).status_code == 200  # no such choice
    token = ApiToken.objects.exclude(pk=of_root.pk).get()
    assert token.user.username == name
    html = client.get(TOKENS).content.decode()
    assert "script" in html
    assert "of root" not in html
    assert client.post(f"{TOKENS}{of_root.pk}/delete/", {"post": "yes"}).status_code == 302
    assert ApiToken.objects.filter(pk=of_root.pk).exists()
    data = {"action": "delete_selected", "_selected_action": [of_root.pk], "post": "yes"}
    client.post(TOKENS, data)
    assert ApiToken.objects.filter(pk=of_root.pk).exists()
    assert client.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not ApiToken.objects.filter(pk=token.pk).exists()
    assert "of root" in root.get(TOKENS).content.decode()


def test_a_token_ends_after_a_year_unless_it_is_said_when(root: Client, settings: Settings) -> None:
    user = User.objects.get(username="root")
    token = ApiToken.objects.issue(user)[0]
    assert token.expires_at is not None
    left = token.expires_at - timezone.now()
    assert datetime.timedelta(days=364) < left < datetime.timedelta(days=366)
    form = root.get(f"{TOKENS}add/").content.decode()
    assert f'value="{token.expires_at:%Y-%m-%dT%H:%M}' in form
    missing = root.post(f"{TOKENS}add/", token_form("root", expires_at=""))
    assert "This field is required" in missing.content.decode()
    settings.TOKEN_LIFETIME_DAYS = 1
    soon = ApiToken.objects.issue(user)[0].expires_at
    assert soon is not None
    assert soon - timezone.now() < datetime.timedelta(days=2)


def test_a_read_only_token_only_reads(cloud: Cloud, root: Client) -> None:
    service, _ = cloud.host("cell1", "a")
    text = ApiToken.objects.issue(User.objects.get(username="root"), read_only=True)[1]
    client = ApiClient(text)
    assert client.get("/os-services", "2.53").status == 200
    refused = client.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
    assert refused.status == 403
    assert "os_compute_api:os-services:update" in refused.text
    assert client.delete(f"/os-services/{service.uuid}", "2.53").status == 403
    assert [entry.outcome for entry in Entry.objects.filter(service_uuid=service.uuid)] == [
        "refused",
        "refused",
    ]


def test_the_last_use_is_noted_now_and_then(cloud: Cloud, root: Client) -> None:
    token, text = ApiToken.objects.issue(User.objects.get(username="root"), name="script")
    client = ApiClient(text)

    def used() -> datetime.datetime | None:
        assert client.get("/os-services").status == 200
        token.refresh_from_db()
        return token.last_used_at

    first = used()
    assert first is not None
    assert used() == first
    ApiToken.objects.update(last_used_at=first - datetime.timedelta(hours=1))
    later = used()
    assert later is not None
    assert later > first
    assert "0 s ago" in root.get(TOKENS).content.decode()


def change_own(client: Client, user: User) -> None:
    data = {"old_password": f"password of {user}", **new_password("new")}
    assert client.post("/admin/password_change/", data).status_code == 302


def change_by_another(client: Client, user: User) -> None:
    root = console_of(User.objects.get(username="root"))
    data = {"usable_password": "true", **new_password("")}
    data = {name.replace("new_", ""): value for name, value in data.items()}
    path = f"/admin/auth/user/{user.pk}/password/"
    assert root.post(path, data | {"set-password": "1"}).status_code == 302


def end_passwords(client: Client, user: User) -> None:
    root = console_of(User.objects.get(username="root"))
    path = f"/admin/auth/user/{user.pk}/password/"
    data = {"usable_password": "false", "unset-password": "1"}
    assert root.post(path, data).status_code == 302


def deactivate(client: Client, user: User) -> None:
    user.is_active = False
    user.save()


def change_by_command(client: Client, user: User) -> None:
    user.set_password("as manage.py changepassword does")
    user.save()


def new_password(prefix: str) -> dict[str, str]:
    return {f"new_password{n}": "correct horse battery" for n in (1, 2)}


@pytest.mark.parametrize(
    "change", [change_own, change_by_another, end_passwords, deactivate, change_by_command]
)
def test_a_new_password_and_deactivation_end_everything_at_once(
    root: Client, operator: Client, change: Any
) -> None:
    user = User.objects.get(username="operator")
    other = ApiToken.objects.issue(User.objects.get(username="root"))[1]
    text = ApiToken.objects.issue(user)[1]
    elsewhere = console_of(user)
    assert ApiClient(text).get("/os-services").status == 200
    assert elsewhere.get("/admin/").status_code == 200
    change(operator, user)
    assert ApiClient(text).get("/os-services").status == 401
    assert elsewhere.get("/admin/").status_code == 302
    assert ApiClient(other).get("/os-services").status == 200


def test_a_renewed_hash_ends_no_token(root: Client, settings: Settings) -> None:
    user = User.objects.get(username="root")
    text = ApiToken.objects.issue(user)[1]
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    before = user.password
    data = {"username": "root", "password": "password of root"}
    assert Client().post("/admin/login/", data).status_code == 302
    user.refresh_from_db()
    assert user.password != before
    assert ApiClient(text).get("/os-services").status == 200


# --- roles ----------------------------------------------------------------------------------------


def user_form(user: User, **more: Any) -> dict[str, Any]:
    return {"username": user.username, "is_active": "on", "groups": [], **more}


def test_only_superusers_make_administrators(root: Client, operator: Client) -> None:
    me = User.objects.get(username="operator")
    admins = Group.objects.get(name="admin")
    bob = member("bob")
    everything = {"is_superuser": "on", "is_staff": "on", "groups": [admins.pk]}
    for user in (me, bob):
        operator.post(f"/admin/auth/user/{user.pk}/change/", user_form(user, **everything))
        user.refresh_from_db()
        assert not user.is_superuser
        assert not user.is_staff
    assert not bob.groups.exists()
    for path in (f"/admin/auth/group/{admins.pk}/change/", "/admin/auth/group/add/"):
        assert operator.post(path, {"name": "x", "permissions": []}).status_code == 403
    root.post(f"/admin/auth/user/{bob.pk}/change/", user_form(bob, **everything))
    bob.refresh_from_db()
    assert bob.is_superuser


@pytest.mark.parametrize("name", ["root", "colleague"])
def test_administrators_are_changed_by_superusers_only(
    root: Client, operator: Client, name: str
) -> None:
    user = User.objects.filter(username=name).first() or member(name, "Admin")
    base = f"/admin/auth/user/{user.pk}/"
    before = User.objects.values().get(pk=user.pk)
    new = {"password1": "correct horse battery", "password2": "correct horse battery"}
    data = {"usable_password": "true", "set-password": "1", **new}
    assert operator.post(f"{base}password/", data).status_code == 403
    assert operator.post(f"{base}change/", user_form(user, email="x@y.z")).status_code == 403
    assert operator.post(f"{base}delete/", {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    operator.post("/admin/auth/user/", selected)
    assert User.objects.values().get(pk=user.pk) == before
    assert "password/" not in operator.get(f"{base}change/").content.decode()


def test_a_viewer_is_not_offered_to_set_passwords(root: Client, viewer: Client) -> None:
    bob = member("bob")
    html = viewer.get(f"/admin/auth/user/{bob.pk}/change/").content.decode()
    assert "bob" in html
    assert "password" not in html.lower().replace("password_change", "").replace(
        "change password", ""
    )
    assert viewer.post(f"/admin/auth/user/{bob.pk}/password/", {}).status_code == 403


# --- the audit ------------------------------------------------------------------------------------


def recorded() -> list[tuple[str, str, str]]:
    """Who did what to what, oldest first."""
    return [(entry.username, entry.action, entry.subject) for entry in Entry.objects.order_by("id")]


def test_what_is_done_in_the_console_is_on_record(root: Client) -> None:
    new = {"password1": "correct horse battery", "password2": "correct horse battery"}
    data = {"username": "bob", "usable_password": "true", **new}
    assert root.post("/admin/auth/user/add/", data).status_code == 302
    bob = User.objects.get(username="bob")
    readers = Group.objects.get(name="reader")
    root.post(f"/admin/auth/user/{bob.pk}/change/", user_form(bob, groups=[readers.pk]))
    root.post(f"/admin/auth/user/{bob.pk}/change/", user_form(bob, is_superuser="on"))
    root.post(f"{TOKENS}add/", token_form("bob"))
    password = {"usable_password": "true", "set-password": "1", **new}
    root.post(f"/admin/auth/user/{bob.pk}/password/", password)
    root.post(f"/admin/auth/user/{bob.pk}/delete/", {"post": "yes"})
    root.post("/admin/auth/group/add/", {"name": "crew", "permissions": []})
    assert recorded() == [
        ("root", "create user", "user bob"),
        ("root", "change user", "user bob"),
        ("root", "change user", "user bob"),
        ("root", "change user", "user bob"),
        ("root", "issue API token", "API token script of bob"),
        ("root", "change user", "user bob"),
        ("root", "revoke API token", "API token script of bob"),
        ("root", "delete user", "user bob"),
        ("root", "create group", "group crew"),
    ]
    entries = list(Entry.objects.order_by("id"))
    assert {entry.channel for entry in entries} == {Channel.CONSOLE}
    assert {entry.remote_address for entry in entries} == {"127.0.0.1"}
    assert "groups added: reader" in [entry.message for entry in entries]
    assert "groups removed: reader" in [entry.message for entry in entries]
    assert "password changed" in [entry.message for entry in entries]
    assert any((entry.after or {}).get("is_superuser") for entry in entries)
    html = root.get("/admin/audit/entry/").content.decode()
    assert "is_superuser: false → true" in html
    assert "API token script of bob" in html
    assert "pbkdf2" not in str(list(Entry.objects.values()))


def test_what_commands_do_is_on_record(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "command", "create_token")
    call_command("create_token", "root", "--read-only")
    entry = Entry.objects.get()
    assert (entry.channel, entry.action) == (Channel.COMMAND, "issue API token")
    assert entry.after is not None
    assert entry.after["read_only"] is True
    monkeypatch.setattr(processes, "command", "migrate")
    Group.objects.create(name="made by a migration")
    assert Entry.objects.count() == 1


def test_the_end_of_a_session_is_on_record(root: Client) -> None:
    root.post("/admin/logout/")
    assert recorded() == [("root", "log out", "user root")]
