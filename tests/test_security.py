"""Logins, tokens and passwords."""

import base64
import datetime
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from audit.models import Entry
from portal.api import authentication
from portal.api.authentication import DEMO_USER, DemoBackend
from portal.models import ApiToken, digest_of
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

DEMO_PASSWORD = "printed at the start"


# --- the demo's login -----------------------------------------------------------------------------


@pytest.fixture
def demo_user(db: None, settings: Settings) -> User:
    """The demo's administrator, as ``make run`` makes it."""
    settings.EMBEDDED, settings.DEMO_PASSWORD = True, DEMO_PASSWORD
    user = User.objects.create_superuser(DEMO_USER)
    assert not user.has_usable_password()
    return user


def log_in(password: str = DEMO_PASSWORD, **request: str) -> bool:
    """Whether the console's login form lets the demo user in."""
    client = Client(**request)  # type: ignore[arg-type]
    client.post("/admin/login/", {"username": DEMO_USER, "password": password})
    return "_auth_user_id" in client.session


def basic(name: str, password: str) -> dict[str, str]:
    """The header of a login by HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_demo_login_works_on_this_machine(demo_user: User, address: str) -> None:
    assert log_in(REMOTE_ADDR=address)


@pytest.mark.parametrize(
    "request_",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": "::ffff:192.0.2.7"},
        {"REMOTE_ADDR": "127.0.0.1.example.org"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=127.0.0.1"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REAL_IP": "127.0.0.1"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_HOST": "localhost"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_VIA": "1.1 proxy"},
    ],
)
def test_the_demo_login_works_from_nowhere_else(demo_user: User, request_: dict[str, str]) -> None:
    assert not log_in(**request_)


def test_the_demo_login_is_of_the_embedded_demo_only(demo_user: User, settings: Settings) -> None:
    settings.EMBEDDED = False
    assert not log_in()
    request = RequestFactory().get("/")
    assert DemoBackend().authenticate(request, DEMO_USER, DEMO_PASSWORD) is None


def test_the_demo_login_needs_its_password_and_its_user(demo_user: User) -> None:
    assert not log_in("wrong")
    assert not log_in("")
    User.objects.create_superuser("alice")
    request = RequestFactory().get("/")
    assert DemoBackend().authenticate(request, "alice", DEMO_PASSWORD) is None
    assert DemoBackend().authenticate(None, DEMO_USER, DEMO_PASSWORD) is None
    User.objects.filter(username=DEMO_USER).update(is_active=False)
    assert not log_in()


def test_without_a_printed_password_there_is_no_demo_login(
    demo_user: User, settings: Settings
) -> None:
    settings.DEMO_PASSWORD = ""
    assert not log_in("")
    assert not log_in()


def test_a_real_password_ends_the_demo_login(demo_user: User) -> None:
    demo_user.set_password("a real password")
    demo_user.save()
    assert not log_in()
    assert log_in("a real password", REMOTE_ADDR="192.0.2.7")


def test_nobody_is_made_by_trying_to_log_in(db: None, settings: Settings) -> None:
    settings.EMBEDDED = True
    assert not log_in()
    assert User.objects.count() == 0


def test_the_demo_login_works_for_the_api_from_here_only(cloud: Cloud, demo_user: User) -> None:
    nobody = ApiClient(None)
    headers = basic(DEMO_USER, DEMO_PASSWORD)
    assert nobody.get("/os-services", **headers).status == 200
    assert nobody.get("/os-services", **headers, X_Forwarded_For="192.0.2.7").status == 401
    nobody.client.defaults["REMOTE_ADDR"] = "192.0.2.7"
    assert nobody.get("/os-services", **headers).status == 401


# --- tokens ---------------------------------------------------------------------------------------


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_superuser("alice", password="her secret")


def test_a_token_is_kept_as_a_digest_only(alice: User) -> None:
    token, text = ApiToken.objects.issue(alice, name="for a script")
    assert len(text) >= 43
    row = ApiToken.objects.filter(pk=token.pk).values().get()
    assert row["digest"] == digest_of(text) != text
    assert text not in str(row)
    assert text not in f"{token} {token!r}"
    assert ApiToken.objects.valid(text) == token


def test_tokens_differ(alice: User) -> None:
    assert len({ApiToken.objects.issue(alice)[1] for _ in range(50)}) == 50


def test_neither_the_digest_nor_a_part_is_a_token(alice: User) -> None:
    token, text = ApiToken.objects.issue(alice)
    for wrong in (token.digest, text[:-1], text + "x", text.upper(), "", " " + text):
        assert ApiToken.objects.valid(wrong) is None


def test_a_token_expires(cloud: Cloud, alice: User) -> None:
    now = timezone.now()
    late = ApiToken.objects.issue(alice, expires_at=now - datetime.timedelta(seconds=1))[1]
    soon = ApiToken.objects.issue(alice, expires_at=now + datetime.timedelta(minutes=1))[1]
    assert ApiClient(late).get("/os-services").status == 401
    assert ApiClient(soon).get("/os-services").status == 200
    ApiToken.objects.update(expires_at=now)
    assert ApiClient(soon).get("/os-services").status == 401


def test_a_token_goes_with_its_user_and_can_be_revoked(cloud: Cloud, alice: User) -> None:
    token, text = ApiToken.objects.issue(alice)
    other = ApiToken.objects.issue(alice)[1]
    token.delete()
    assert ApiClient(text).get("/os-services").status == 401
    assert ApiClient(other).get("/os-services").status == 200
    alice.delete()
    assert ApiClient(other).get("/os-services").status == 401


# --- passwords ------------------------------------------------------------------------------------


class Hashing:
    """How often a password was hashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        check = User.check_password

        def counted(user: User, password: str) -> bool:
            self.times += 1
            return check(user, password)

        monkeypatch.setattr(User, "check_password", counted)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    monkeypatch.setattr(authentication, "_verified", authentication._VerifiedPasswords())
    return Hashing(monkeypatch)


def ask(name: str, password: str) -> int:
    return ApiClient(None).get("/os-services", **basic(name, password)).status


def test_a_password_is_not_hashed_for_every_request(
    cloud: Cloud, alice: User, hashing: Hashing
) -> None:
    for _ in range(5):
        assert ask("alice", "her secret") == 200
    assert hashing.times == 1


def test_a_wrong_password_is_never_remembered(cloud: Cloud, alice: User, hashing: Hashing) -> None:
    for _ in range(3):
        assert ask("alice", "wrong") == 401
    assert hashing.times == 3
    assert ask("alice", "her secret") == 200
    assert ask("alice", "wrong") == 401


@pytest.mark.parametrize("how", ["changed", "emptied", "deactivated", "deleted"])
def test_a_password_that_was_right_is_forgotten_at_once(
    cloud: Cloud, alice: User, hashing: Hashing, how: str
) -> None:
    assert ask("alice", "her secret") == 200
    changes: dict[str, Any] = {
        "changed": {"password": make_password("another")},
        "emptied": {"password": make_password(None)},
        "deactivated": {"is_active": False},
    }
    if how == "deleted":
        alice.delete()
    else:
        User.objects.filter(pk=alice.pk).update(**changes[how])
    assert ask("alice", "her secret") == 401
    if how == "changed":
        assert ask("alice", "another") == 200


def test_a_remembered_password_is_of_one_user(cloud: Cloud, alice: User, hashing: Hashing) -> None:
    User.objects.create_superuser("bob", password="his secret")
    assert ask("alice", "her secret") == 200
    assert ask("bob", "her secret") == 401
    assert ask("bob", "his secret") == 200


def test_what_is_remembered_ends(
    cloud: Cloud, alice: User, hashing: Hashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication._VerifiedPasswords, "SECONDS", 0)
    assert ask("alice", "her secret") == 200
    assert ask("alice", "her secret") == 200
    assert hashing.times == 2


def test_what_is_remembered_has_a_limit_and_no_password(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication._VerifiedPasswords, "MAX_LENGTH", 10)
    verified = authentication._VerifiedPasswords()
    for number in range(100):
        verified.add(alice, f"secret {number}")
        assert (alice, f"secret {number}") in verified
        assert len(verified._until) <= 10
    assert not any(b"secret" in digest for digest in verified._until._values)


# --- what a browser is told -----------------------------------------------------------------------


def test_pages_allow_nothing_from_elsewhere(admin_client: Client) -> None:
    response = admin_client.get("/admin/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_console_needs_a_login(db: None, client: Client) -> None:
    for path in ("/admin/", "/admin/services/service/", "/admin/hypervisors/computenode/"):
        response = client.get(path)
        assert response.status_code == 302, path
        assert response.headers["Location"].startswith("/admin/login/"), path


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/os-services", "/os-services/7", "/os-hypervisors/detail", "/x"])
def test_a_refused_browser_gets_the_page_with_the_way_to_the_login(
    cloud: Cloud, alice: User, method: str, path: str
) -> None:
    anonymous = ApiClient(None)
    for headers in ({}, basic("alice", "wrong"), basic("nobody", "x"), {"Authorization": "Basic"}):
        answer = anonymous.send(method, path, headers={"Accept": "text/html", **headers})
        assert answer.status == 401
        assert answer.headers["Content-Type"].startswith("text/html")
        if method != "HEAD":
            assert f'/admin/login/?next=%2Fv2.1{path.replace("/", "%2F")}"' in answer.text
    assert not Entry.objects.filter(service_uuid="", host="").exclude(action="log in").exists()


def test_a_browser_without_the_role_is_told_who_is_logged_in(cloud: Cloud, alice: User) -> None:
    client = ApiClient(None)
    client.client.force_login(User.objects.create_user("bob"))
    answer = client.get("/os-services", Accept="text/html")
    assert answer.status == 403
    assert "logged in as bob" in answer.text
    assert "Policy doesn&#x27;t allow os_compute_api:os-services:list" in answer.text
    assert Entry.objects.count() == 0
