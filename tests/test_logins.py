"""Throttled logins: by account and address, without harm to anybody else."""

import threading
import time
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from audit.models import Channel, Entry, Outcome
from portal import logins
from portal.api import authentication
from portal.models import ApiToken
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.test_security import basic

HERE, ELSEWHERE = "192.0.2.7", "192.0.2.8"
PASSWORD = "her secret"


@pytest.fixture
def alice(cloud: Cloud) -> User:
    return User.objects.create_superuser("alice", password=PASSWORD)


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_verified", authentication._VerifiedPasswords())


def log_in(name: str, password: str, address: str = HERE, **headers: str) -> Any:
    """What the console's login form answers."""
    client = Client(REMOTE_ADDR=address, headers=headers)
    return client.post("/admin/login/", {"username": name, "password": password})


def ask(name: str, password: str, address: str = HERE, **headers: str) -> Any:
    """What the API answers to HTTP Basic."""
    client = ApiClient(None)
    client.client.defaults["REMOTE_ADDR"] = address
    return client.get("/os-services", **basic(name, password), **headers)


def try_token(text: str, address: str = HERE) -> Any:
    client = ApiClient(text)
    client.client.defaults["REMOTE_ADDR"] = address
    return client.get("/os-services")


def lock_out(name: str = "alice", address: str = HERE) -> None:
    for _ in range(4):
        assert log_in(name, "wrong", address).status_code == 200
    assert log_in(name, "wrong", address).status_code == 429


def test_an_account_is_locked_out_from_one_address_only(alice: User, settings: Settings) -> None:
    lock_out()
    refused = log_in("alice", PASSWORD)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "300"
    assert "Too many failed logins. Try again in 5 min." in refused.content.decode()
    # the API agrees
    answer = ask("alice", PASSWORD)
    assert answer.status == 429
    assert answer["overLimit"]["code"] == 429
    assert answer.headers["Retry-After"] == "300"
    # she from elsewhere, and others from here, are not concerned
    assert log_in("alice", PASSWORD, ELSEWHERE).status_code == 302
    assert ask("alice", PASSWORD, ELSEWHERE).status == 200
    User.objects.create_superuser("bob", password="his secret")
    assert log_in("bob", "his secret").status_code == 302
    # and it ends
    settings.AXES_COOLOFF_TIME *= 0
    assert log_in("alice", PASSWORD).status_code == 302


def test_a_right_password_makes_failures_forgotten(alice: User) -> None:
    for _ in range(3):
        for _ in range(4):
            assert log_in("alice", "wrong").status_code == 200
        assert log_in("alice", PASSWORD).status_code == 302


def test_http_basic_is_throttled_likewise(alice: User) -> None:
    assert [ask("alice", "wrong").status for _ in range(6)] == [401] * 4 + [429] * 2
    assert log_in("alice", PASSWORD).status_code == 429
    page = ask("alice", "wrong", Accept="text/html")
    assert page.status == 429
    assert page.headers["Content-Type"].startswith("text/html")


def test_an_address_that_tries_many_accounts_is_locked_out(alice: User) -> None:
    answers = [ask(f"user-{n}", "wrong").status for n in range(32)]
    assert answers == [401] * 29 + [429] * 3
    assert ask("alice", PASSWORD).status == 429
    assert ask("alice", PASSWORD, ELSEWHERE).status == 200


def test_wrong_tokens_are_throttled_and_valid_ones_are_not(alice: User) -> None:
    text = ApiToken.objects.issue(alice)[1]
    assert [try_token("wrong").status for _ in range(6)] == [401] * 4 + [429] * 2
    assert try_token(text).status == 200
    assert try_token("wrong", ELSEWHERE).status == 401
    assert ask("alice", PASSWORD).status == 200


def test_behind_a_trusted_proxy_the_client_is_locked_out(alice: User, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.1"]
    for _ in range(5):
        log_in("alice", "wrong", "10.0.0.1", X_Forwarded_For=HERE)
    headers = {"X-Forwarded-For": HERE}
    client = Client(REMOTE_ADDR="10.0.0.1", headers=headers)
    data = {"username": "alice", "password": PASSWORD}
    assert client.post("/admin/login/", data).status_code == 429
    client = Client(REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": ELSEWHERE})
    assert client.post("/admin/login/", data).status_code == 302


def test_a_forged_address_does_not_help(alice: User) -> None:
    statuses = [
        ask("alice", "wrong", X_Forwarded_For=f"192.0.2.{100 + n}").status for n in range(6)
    ]
    assert statuses[-1] == 429


def test_logins_are_on_record(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "audit.accounts")
    lock_out()
    for _ in range(3):
        log_in("alice", PASSWORD)
    log_in("alice", PASSWORD, ELSEWHERE)
    entries = list(Entry.objects.order_by("id"))
    assert [entry.outcome for entry in entries] == [Outcome.REFUSED] * 5 + [Outcome.DONE]
    first, last, done = entries[0], entries[4], entries[5]
    assert (first.username, first.action, first.subject) == ("alice", "log in", "user alice")
    assert (first.channel, first.remote_address) == (Channel.CONSOLE, HERE)
    assert first.message == "wrong name or password"
    assert "locked out for 300 s" in last.message
    assert done.remote_address == ELSEWHERE
    assert len(caplog.records) == 6
    Client().post("/admin/login/", {"username": "a\nERROR forged", "password": "x"})
    assert "\n" not in caplog.records[-1].getMessage()
    try_token("wrong")
    entry = Entry.objects.latest("id")
    assert (entry.subject, entry.channel) == ("token", Channel.API)
    assert PASSWORD not in str(list(Entry.objects.values()))


def test_names_that_nobody_has_are_refused(alice: User) -> None:
    for name in ("", "x" * 151, "x" * 100_000, "a\0", "\ud800".encode("utf-8", "replace").decode()):
        assert ask(name, "x").status in (401, 429), name[:10]
    assert log_in("x" * 151, "x").status_code == 200


class SlowHasher(PBKDF2PasswordHasher):
    """Takes half a second, as the real one does on a busy machine."""

    def verify(self, password: str, encoded: str) -> bool:
        time.sleep(0.5)
        return super().verify(password, encoded)


def test_few_passwords_are_checked_at_a_time(alice: User, settings: Settings, cloud: Cloud) -> None:
    settings.PASSWORD_HASHERS = ["tests.test_logins.SlowHasher"]
    alice.set_password(PASSWORD)
    alice.save()
    text = ApiToken.objects.issue(alice)[1]
    statuses: list[int] = []

    def guess(n: int) -> None:
        statuses.append(ask("alice", "wrong", f"192.0.2.{n}").status)

    threads = [threading.Thread(target=guess, args=[n]) for n in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    assert try_token(text, ELSEWHERE).status == 200
    assert time.monotonic() - began < 0.4
    for thread in threads:
        thread.join()
    assert statuses.count(429) == 12 - logins.MAX_CHECKS
    assert statuses.count(401) == logins.MAX_CHECKS
    # nobody is left waiting, and being refused unchecked is no failure
    assert log_in("alice", PASSWORD).status_code == 302


def test_clients_that_start_together_are_all_let_in(alice: User, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["tests.test_logins.SlowHasher"]
    alice.set_password(PASSWORD)
    alice.save()
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(ask("alice", PASSWORD).status))
        for _ in range(logins.MAX_CHECKS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * logins.MAX_CHECKS
