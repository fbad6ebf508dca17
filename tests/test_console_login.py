"""Logging in to the console with Keystone, beside the portal's own accounts."""

import datetime
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit.models import Entry, Outcome
from cells.locate import key_of
from cloud import clients
from cloud.config import load
from portal import keystone_sessions
from portal.backends import MAX_USERNAME_LENGTH, account_of
from portal.models import ApiToken, KeystoneAccount, SavedView
from tests.cloud_servers import Call, Keystone, Reply, keystone_conf
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

LOGIN, SERVICES = "/admin/login/", "/admin/services/service/"
PASSWORD = "oracle"


class Portal:
    """A portal that is attached to a cloud with a Keystone, and a policy.yaml."""

    def __init__(self, keystone: Keystone, cloud: Cloud, policy: Path) -> None:
        call_command("migrate", database="default", verbosity=0)
        self.key = key_of(cloud.cell("cell1"), cloud.add_service("cell1", "compute-1"))
        self.keystone = keystone
        self.policy = policy

    def post(self, client: Client, **more: str) -> Any:
        """Send the form; without ``more``, as Keystone's administrator."""
        form = {
            "account": "keystone", "username": "admin", "password": PASSWORD,
            "user_domain": "Default", "project": "admin", "project_domain": "Default",
        }  # fmt: skip
        return client.post(LOGIN, form | more)

    def log_in(self, *roles: str) -> Client:
        """The browser of somebody who has logged in, with other roles if they are named."""
        if roles:
            self.keystone.changes = {"roles": [{"id": role, "name": role} for role in roles]}
        client = Client()
        answer = self.post(client)
        assert answer.status_code == 302, errors(answer)
        return client

    def time_passes(self) -> None:
        """So much that tokens are validated again, here and by the cache."""
        keystone_sessions._valid_until.clear()
        clients.forget_clients()


def errors(answer: Any) -> str:
    html = answer.content.decode()
    return " ".join(part.partition("</p>")[0] for part in html.split('class="errornote"')[1:])


@pytest.fixture
def portal(cloud: Cloud, settings: Settings, tmp_path: Path) -> Iterator[Portal]:
    server = Keystone()
    policy = tmp_path / "policy.yaml"
    policy.write_text("{}")
    path = tmp_path / "nova.conf"
    path.write_text(keystone_conf(server, policy))
    with server.running():
        settings.NOVA_CONFIG = load([str(path)])
        settings.KEYSTONE_DEADLINE = 1
        settings.CLOUD_RETRY_AFTER = 0.01
        clients.forget_clients()
        yield Portal(server, cloud, policy)
    clients.forget_clients()


def session_of(client: Client) -> Any:
    return Session.objects.get(session_key=client.session.session_key)


# --- the form -----------------------------------------------------------------------------------


def test_the_form_asks_for_a_project_only_where_there_is_a_keystone(
    portal: Portal, settings: Settings, client: Client
) -> None:
    html = client.get(LOGIN).content.decode()
    assert html.count('name="account"') == 2
    assert 'name="project"' in html
    assert 'value="Default"' in html
    settings.NOVA_CONFIG = load([])
    html = client.get(LOGIN).content.decode()
    assert 'name="account"' not in html
    assert 'name="project"' not in html
    assert client.get(SERVICES).status_code == 302


def test_accounts_of_the_portal_log_in_as_ever(portal: Portal, client: Client) -> None:
    User.objects.create_superuser("admin", password="of the portal")
    answer = client.post(LOGIN, {"username": "admin", "password": "of the portal"})
    assert answer.status_code == 302
    assert client.get(SERVICES).status_code == 200
    form = {"account": "portal", "username": "admin", "password": PASSWORD}
    assert Client().post(LOGIN, form).status_code == 200
    assert not [call for call in portal.keystone.calls if call.method == "POST"]


def test_keystones_administrator_is_one_here(portal: Portal) -> None:
    client = portal.log_in()
    html = client.get(SERVICES).content.decode()
    assert "compute-1" in html
    assert 'value="delete"' in html
    assert "admin@Default" in html
    for page in ("/admin/audit/entry/", "/admin/auth/user/", "/admin/problems/"):
        assert client.get(page).status_code == 200, page


def test_no_local_password_opens_an_account_of_keystone(portal: Portal, client: Client) -> None:
    """Nor the other way round, although both are called admin."""
    User.objects.create_superuser("admin", password="of the portal")
    assert portal.post(client, password="of the portal").status_code == 200
    portal.log_in()
    user = User.objects.get(username="admin@Default")
    assert not user.has_usable_password()
    answer = client.post(LOGIN, {"username": "admin@Default", "password": PASSWORD})
    assert answer.status_code == 200


def test_what_is_missing_is_said(portal: Portal, client: Client) -> None:
    answer = portal.post(client, project="")
    assert "Please fill in what is missing." in errors(answer)
    assert not portal.keystone.calls
    assert not Entry.objects.exists()


# --- roles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["member", "reader"])
def test_users_of_mere_projects_do_not_enter(portal: Portal, client: Client, role: str) -> None:
    portal.keystone.changes = {"roles": [{"id": role, "name": role}]}
    answer = portal.post(client)
    assert f"Your roles in the project admin do not open the console: {role}." in errors(answer)
    assert client.get(SERVICES).status_code == 302


def test_policy_opens_the_console_to_other_roles(portal: Portal) -> None:
    portal.policy.write_text('"os_compute_api:os-services:list": "role:reader"')
    client = portal.log_in("reader")
    html = client.get(SERVICES).content.decode()
    assert "compute-1" in html
    assert 'value="disable"' not in html
    assert client.get("/admin/hypervisors/computenode/").status_code == 403
    assert client.get("/admin/auth/user/add/").status_code == 403
    assert client.get("/v2.1/os-services").status_code == 200
    body = '{"host": "compute-1", "binary": "nova-compute"}'
    assert client.put("/v2.1/os-services/disable", body, "application/json").status_code == 403


def test_roles_are_the_sessions_alone(portal: Portal) -> None:
    portal.policy.write_text('"os_compute_api:os-services:list": "role:reader"')
    admin, reader = portal.log_in(), portal.log_in("reader")
    [user] = User.objects.all()
    assert not user.groups.exists()
    assert not user.is_superuser
    for _ in range(2):
        assert 'value="disable"' in admin.get(SERVICES).content.decode()
        assert 'value="disable"' not in reader.get(SERVICES).content.decode()


def test_what_the_account_was_given_here_does_not_count(portal: Portal) -> None:
    portal.policy.write_text('"os_compute_api:os-services:list": "role:reader"')
    client = portal.log_in("reader")
    user = User.objects.get()
    user.is_superuser = user.is_staff = True
    user.save()
    user.groups.add(Group.objects.get(name="admin"))
    assert 'value="disable"' not in client.get(SERVICES).content.decode()
    assert client.get("/admin/auth/user/add/").status_code == 403


# --- accounts -----------------------------------------------------------------------------------


def test_an_account_is_found_again_by_its_id(portal: Portal) -> None:
    client = portal.log_in()
    client.post(f"{SERVICES}views/", {"name": "mine", "query": "q=x"})
    assert SavedView.objects.get().user.username == "admin@Default"
    user = {"id": KeystoneAccount.objects.get().keystone_id, "name": "root"}
    portal.keystone.changes = {"user": user | {"domain": {"id": "default", "name": "Default"}}}
    again = portal.log_in()
    assert User.objects.get().username == "root@Default"
    assert "mine" in again.get(SERVICES).content.decode()


def test_a_name_that_is_taken_is_not_taken_over(portal: Portal) -> None:
    taken = User.objects.create_superuser("admin@Default", password="of the portal")
    client = portal.log_in()
    account = KeystoneAccount.objects.get()
    assert account.user_id != taken.pk
    assert account.user.username == f"admin@Default#{account.keystone_id}"
    assert client.get(SERVICES).status_code == 200
    portal.log_in()
    assert KeystoneAccount.objects.count() == 1


def test_long_names_fit(portal: Portal) -> None:
    portal.log_in()
    identity = clients.keystone().identify("token-of-admin")  # type: ignore[union-attr]
    values = vars(identity) | {"user_id": "f" * 64, "user_name": "x" * 255}
    user = account_of(type(identity)(**values))  # type: ignore[misc]
    assert len(user.username) == MAX_USERNAME_LENGTH


def test_the_portal_issues_no_tokens_to_them(portal: Portal) -> None:
    client = portal.log_in()
    assert "/admin/portal/apitoken/" not in client.get("/admin/").content.decode()
    assert client.get("/admin/portal/apitoken/add/").status_code == 403
    user = User.objects.get()
    with pytest.raises(ValueError, match="Keystone"):
        ApiToken.objects.issue(user)
    with pytest.raises(CommandError, match="Keystone"):
        call_command("create_token", user.username)
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    assert "admin@Default" not in root.get("/admin/portal/apitoken/add/").content.decode()
    assert root.get(f"/admin/auth/user/{user.pk}/password/").status_code == 403
    root.post(f"/admin/auth/user/{user.pk}/change/", {"username": "x", "is_superuser": "on"})
    assert not User.objects.get(pk=user.pk).is_superuser


def test_an_account_that_was_deactivated_does_not_enter(portal: Portal, client: Client) -> None:
    entered = portal.log_in()
    User.objects.update(is_active=False)
    assert entered.get(SERVICES).status_code == 302
    assert portal.post(client).status_code == 200


# --- the session --------------------------------------------------------------------------------


def test_a_session_ends_with_its_token(portal: Portal) -> None:
    portal.keystone.lifetime = datetime.timedelta(minutes=7)
    client = portal.log_in()
    left = session_of(client).expire_date - timezone.now()
    assert datetime.timedelta(minutes=6) < left < datetime.timedelta(minutes=7, seconds=2)
    assert 360 < client.cookies["sessionid"]["max-age"] <= 421


def test_an_expired_token_opens_nothing_whatever_the_cookie_says(portal: Portal) -> None:
    portal.keystone.lifetime = datetime.timedelta(seconds=2)
    client = portal.log_in()
    row = session_of(client)
    time.sleep(2.1)
    row.expire_date = timezone.now() + datetime.timedelta(hours=1)
    row.save()
    assert client.get(SERVICES).status_code == 302


def test_a_form_outlives_the_session_that_its_token_ends(portal: Portal) -> None:
    """Also where the form is of a still earlier session, so that its CSRF token is wrong."""
    client = portal.log_in()
    html = client.get(SERVICES).content.decode()
    (sender, *_others) = re.findall(r'name="sender" value="([^"]+)"', html)
    client.handler.enforce_csrf_checks = True
    portal.keystone.intercept = lambda call: (
        portal.keystone._recorded("not a token") if "x-subject-token" in call.headers else None
    )
    portal.time_passes()
    form = {"action": "disable", "key": "x", "sender": sender}
    assert client.post(f"{SERVICES}act/", form)["Location"].startswith("/admin/login/?next=")
    (kept,) = client.session["kept_forms"].values()
    assert "action=disable" in kept["form"]


def test_neither_the_password_nor_a_readable_token_is_kept(portal: Portal) -> None:
    client = portal.log_in()
    text = str(session_of(client).get_decoded())
    assert PASSWORD not in text
    assert "token-of-admin" not in text
    assert "admin" in text


def test_a_revoked_token_ends_the_session_in_time(portal: Portal) -> None:
    client = portal.log_in()
    assert client.get(SERVICES).status_code == 200
    asked = portal.keystone.validations
    assert asked == 0, "it was valid a moment ago"
    portal.time_passes()
    assert client.get(SERVICES).status_code == 200
    assert portal.keystone.validations == 1

    def revoked(call: Call) -> Reply | None:
        of_user = call.headers.get("x-subject-token") == "token-of-admin"
        return portal.keystone._recorded("not a token") if of_user else None

    portal.keystone.intercept = revoked
    assert client.get(SERVICES).status_code == 200
    portal.time_passes()
    answer = client.get(SERVICES, follow=True)
    assert "Your login with Keystone has ended." in answer.content.decode()
    entry = Entry.objects.filter(action="log out").get()
    assert (entry.username, entry.subject) == ("admin@Default", "user admin@Default")
    assert entry.message == "the token of the session is not valid any more"
    assert entry.keystone_user_id
    assert entry.keystone_project
    portal.keystone.intercept = lambda call: None
    assert client.get(SERVICES).status_code == 302, "it does not come back"


def test_while_keystone_is_away_sessions_go_on_and_logins_say_so(portal: Portal) -> None:
    client = portal.log_in()
    User.objects.create_superuser("root", password="of the portal")
    portal.time_passes()
    portal.keystone.awake.clear()
    assert client.get(SERVICES).status_code == 200
    begun = time.monotonic()
    assert client.get(SERVICES).status_code == 200
    assert time.monotonic() - begun < 5
    answer = portal.post(Client())
    assert "Keystone does not answer at the moment." in errors(answer)
    assert time.monotonic() - begun < 10
    assert not Entry.objects.filter(outcome=Outcome.REFUSED).exists(), "no failure of the user's"
    local = Client().post(LOGIN, {"username": "root", "password": "of the portal"})
    assert local.status_code == 302


def test_another_login_in_the_same_browser_replaces_the_first(portal: Portal) -> None:
    User.objects.create_superuser("root", password="of the portal")
    client = portal.log_in()
    client.post(LOGIN, {"username": "root", "password": "of the portal"})
    assert keystone_sessions.SESSION_KEY not in client.session
    assert client.get("/admin/portal/apitoken/").status_code == 200
    portal.post(client)
    assert client.get("/admin/portal/apitoken/").status_code == 403


# --- on record ----------------------------------------------------------------------------------


def test_the_audit_knows_the_user_and_the_project(portal: Portal) -> None:
    client = portal.log_in()
    account = KeystoneAccount.objects.get()
    entry = Entry.objects.get()
    assert (entry.action, entry.subject) == ("log in", "user admin@Default")
    assert entry.keystone_user_id == account.keystone_id
    client.post(f"{SERVICES}act/", {"action": "disable", "key": portal.key, "confirm": "1"})
    entry = Entry.objects.get(action="disable")
    assert (entry.username, entry.keystone_project) == ("admin@Default", "admin")
    assert entry.keystone_user_id == account.keystone_id
    assert len(entry.keystone_project_id) == 32
    html = client.get(f"/admin/audit/entry/{entry.pk}/change/").content.decode()
    assert account.keystone_id in html


def test_failures_lock_the_account_out(portal: Portal, client: Client) -> None:
    User.objects.create_superuser("admin", password="of the portal")
    for name in ("admin", "ADMIN", "admin", "Admin"):
        answer = portal.post(client, username=name, password="wrong")
        assert "Keystone does not accept this user, password or project." in errors(answer)
    assert portal.post(client, password="wrong").status_code == 429
    asked = len(portal.keystone.calls)
    assert portal.post(client).status_code == 429
    assert len(portal.keystone.calls) == asked, "the password is not even tried"
    entries = Entry.objects.filter(outcome=Outcome.REFUSED)
    assert entries.first().username == "admin@Default"  # type: ignore[union-attr]
    local = Client().post(LOGIN, {"username": "admin", "password": "of the portal"})
    assert local.status_code == 302


def test_a_login_makes_failures_forgotten(portal: Portal) -> None:
    for _ in range(2):
        for _ in range(4):
            assert portal.post(Client(), password="wrong").status_code == 200
        portal.log_in()
