"""Policy decisions equal Nova's, as dumped by ``tests/conformance/nova_policy.py``."""

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from oslo_policy._external import HttpCheck
from oslo_policy.policy import PolicyNotRegistered

from cloud.config import ConfigError, load
from cloud.identity import Identity
from cloud.policy import RULES, Policy, PolicyError, base_rules, resource_rules
from portal.logs import RepeatFilter
from tests.servers import SilentServer
from tests.waiting import lasting, wait_until

NOVA = json.loads((Path(__file__).parent / "conformance" / "nova-policy.json").read_text())

ADMIN = Identity("u1", project_id="p1", roles=("admin",))
READER = Identity("u3", project_id="p1", roles=("reader",))
LIST = "os_compute_api:os-services:list"
UPDATE = "os_compute_api:os-services:update"
DELETE = "os_compute_api:os-services:delete"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """oslo.policy warns about every old name in a policy file, for the operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def identity_from(recorded: dict[str, Any]) -> Identity:
    """An identity as it was recorded, with lists for tuples."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()
    }
    return Identity(**values)


class Files:
    """A nova.conf with its policy.yaml; every write has a newer modification time."""

    def __init__(self, directory: Path) -> None:
        self.conf = directory / "nova.conf"
        self.policy = directory / "policy.yaml"
        self._time = 1_800_000_000

    def write(self, policy: Any, options: dict[str, str] | None = None) -> None:
        lines = [f"{name} = {value}" for name, value in (options or {}).items()]
        self.conf.write_text("\n".join(["[oslo_policy]", *lines, ""]))
        self.policy.write_text(policy if isinstance(policy, str) else json.dumps(policy))
        self._time += 10
        os.utime(self.policy, (self._time, self._time))

    def read(self, **limits: Any) -> Policy:
        return Policy(load([str(self.conf)]), **limits)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_the_default_rules_are_novas() -> None:
    ours = [
        {
            "name": rule.name,
            "check": rule.check_str,
            "scope_types": rule.scope_types,
            "deprecated": rule.deprecated_rule
            and [
                rule.deprecated_rule.name,
                rule.deprecated_rule.check_str,
                rule.deprecated_rule.deprecated_since,
            ],
            "retired": rule.deprecated_for_removal,
        }
        for rule in [*base_rules(), *resource_rules()]
    ]
    key = lambda rule: rule["name"]  # noqa: E731
    assert sorted(ours, key=key) == sorted(NOVA["rules"], key=key)


@pytest.mark.parametrize("case", NOVA["decisions"], ids=lambda case: json.dumps(case["policy"]))
def test_decisions_are_novas(files: Files, case: dict[str, Any]) -> None:
    files.write(case["policy"], case["options"])
    policy = files.read()
    ours = [sorted(policy.allowed(identity_from(identity))) for identity in NOVA["identities"]]
    assert ours == [sorted(allowed) for allowed in case["allowed"]]


def test_without_files_the_defaults_count() -> None:
    policy = Policy()
    assert policy.allowed(ADMIN) == frozenset(RULES)
    assert policy.allowed(READER) == frozenset()
    assert policy.is_admin(ADMIN)
    assert not policy.is_admin(READER)


def test_a_changed_file_is_read_again(files: Files) -> None:
    files.write({})
    policy = files.read()
    assert not policy.authorize(LIST, READER)
    files.write({LIST: "role:reader"})
    assert policy.authorize(LIST, READER)
    files.policy.unlink()
    assert not policy.authorize(LIST, READER)
    assert policy.authorize(LIST, ADMIN)


def test_policy_directories_are_read(files: Files) -> None:
    files.write({LIST: "role:nobody"}, {"policy_dirs": "policy.d"})
    (files.policy.parent / "policy.d").mkdir()
    (files.policy.parent / "policy.d" / "10-readers.yaml").write_text(f'"{LIST}": "role:reader"\n')
    assert files.read().authorize(LIST, READER)


def test_a_malformed_option_is_one_line(files: Files) -> None:
    files.write({}, {"remote_timeout": "soon"})
    with pytest.raises(ConfigError, match=r"\[oslo_policy\]/remote_timeout: could not convert"):
        files.read()


@pytest.mark.parametrize("text", ["{{{", "- a list", "just text"])
def test_a_malformed_file_is_one_line(files: Files, text: str) -> None:
    files.write(text)
    with pytest.raises(PolicyError) as error:
        files.read()
    assert str(error.value).startswith(str(files.policy))
    assert "\n" not in str(error.value)


def test_an_invalid_rule_denies_everyone(files: Files) -> None:
    files.write({LIST: "this is (not a rule"})
    policy = files.read()
    assert not policy.authorize(LIST, ADMIN)
    assert policy.authorize("os_compute_api:os-services:update", ADMIN)


@pytest.mark.parametrize("check", [f"rule:{LIST}", "http://127.0.0.1:1/decide"])
def test_a_rule_that_cannot_be_decided_denies_everyone(
    files: Files, caplog: pytest.LogCaptureFixture, check: str
) -> None:
    files.write({LIST: check})
    policy = files.read()
    assert not policy.authorize(LIST, ADMIN)
    assert LIST in caplog.text
    assert policy.allowed(ADMIN) == frozenset(RULES) - {LIST}


def test_a_rule_that_a_server_decides_is_asked_each_time(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False])
    monkeypatch.setattr(HttpCheck, "__call__", lambda *args, **options: next(answers))
    files.write({LIST: "http://127.0.0.1:1/decide"})
    policy = files.read()
    assert policy.authorize(LIST, ADMIN)
    assert not policy.authorize(LIST, ADMIN)


@pytest.fixture
def hung_server() -> Iterator[SilentServer]:
    with SilentServer() as server:
        yield server


def test_a_server_that_does_not_answer_refuses_in_time_and_what_it_decides_alone(
    files: Files, hung_server: SilentServer, caplog: pytest.LogCaptureFixture
) -> None:
    # The other refers to the one that asks.
    files.write({LIST: f"http://127.0.0.1:{hung_server.port}/decide", DELETE: f"rule:{LIST}"})
    policy = files.read(deadline=2, retry_after=60)
    with lasting(10), ThreadPoolExecutor() as pool:
        asking = pool.submit(policy.allowed, ADMIN)
        wait_until(lambda: hung_server.connections > 0)
        assert policy.authorize(UPDATE, ADMIN)  # nobody waits for it who need not
        assert not policy.authorize(UPDATE, READER)
        assert not asking.done()
        assert asking.result() == frozenset(RULES) - {LIST, DELETE}
    assert not policy.authorize(LIST, ADMIN)  # without asking: it is left alone for a while
    assert hung_server.connections == 1
    for rule in (LIST, DELETE):
        assert f"rule {rule} of the policy is refused, as it fails: policy server" in caplog.text
    assert "policy server: no answer" in caplog.text or "policy server: Timeout" in caplog.text


def test_who_is_allowed_without_a_server_does_not_wait_for_it(
    files: Files, hung_server: SilentServer
) -> None:
    files.write({LIST: f"role:admin or http://127.0.0.1:{hung_server.port}/decide"})
    policy = files.read(deadline=2, retry_after=60)
    with lasting(10), ThreadPoolExecutor(9) as pool:
        asking = [pool.submit(policy.authorize, LIST, READER) for _ in range(9)]  # of 8 threads
        wait_until(lambda: hung_server.connections == 8)
        assert policy.authorize(LIST, ADMIN)
        assert not any(one.done() for one in asking)
        assert not any(one.result() for one in asking)
    asked = hung_server.connections
    assert policy.authorize(LIST, ADMIN)
    assert not policy.authorize(LIST, READER)  # without asking
    assert hung_server.connections == asked


@pytest.mark.parametrize("failure", [requests.ConnectionError(), requests.ReadTimeout()])
def test_a_server_that_fails_is_left_alone_for_a_while(
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
) -> None:
    asked: list[str] = []

    def fail(url: str, **options: Any) -> None:
        asked.append(url)
        raise failure

    monkeypatch.setattr(requests, "post", fail)
    files.write({LIST: "http://127.0.0.1:1/decide"})
    policy = files.read(retry_after=60)
    with caplog.at_level(logging.INFO):
        assert not any(policy.authorize(LIST, ADMIN) for _ in range(3))
    assert len(asked) == 1
    assert "answers again" not in caplog.text


def test_many_answers_may_take_longer_than_one(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*args: Any, **options: Any) -> bool:
        time.sleep(0.1)
        return True

    monkeypatch.setattr(HttpCheck, "__call__", answer)
    files.write(dict.fromkeys(RULES, "http://127.0.0.1:1/decide"))
    assert files.read(deadline=0.8).allowed(ADMIN) == frozenset(RULES)


def test_a_server_that_says_who_is_an_administrator_decides_all(
    files: Files, hung_server: SilentServer
) -> None:
    files.write({"context_is_admin": f"http://127.0.0.1:{hung_server.port}/decide"})
    policy = files.read(deadline=0.2, retry_after=60)
    assert policy.allowed(ADMIN) == frozenset()
    assert not policy.is_admin(ADMIN)


def test_that_a_rule_is_refused_is_logged_once_in_a_while(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(dict.fromkeys((LIST, DELETE), "http://127.0.0.1:1/decide"))
    policy = files.read()
    for _ in range(3):
        assert policy.allowed(ADMIN) == frozenset(RULES) - {LIST, DELETE}
    repeats = RepeatFilter()
    ours = [one for one in caplog.records if one.getMessage().startswith("rule os_")]
    assert [one.getMessage() for one in ours if repeats.filter(one)] == [
        f"rule {rule} of the policy is refused, as it fails: policy server: Connection refused"
        for rule in (LIST, DELETE)
    ]


def test_a_directory_that_becomes_malformed_keeps_the_previous_rules(files: Files) -> None:
    files.write({}, {"policy_dirs": "policy.d"})
    directory = files.policy.parent / "policy.d"
    directory.mkdir()
    (directory / "10.yaml").write_text(f'"{LIST}": "role:reader"\n')
    policy = files.read()
    (directory / "20.yaml").write_text("{{{")
    os.utime(directory, (1_900_000_000, 1_900_000_000))
    for _ in range(2):
        assert policy.authorize(LIST, READER)
    (directory / "20.yaml").write_text(f'"{LIST}": "role:admin"\n')
    os.utime(directory, (1_900_000_010, 1_900_000_010))
    assert not policy.authorize(LIST, READER)


def test_a_file_that_becomes_malformed_keeps_the_previous_rules(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.write({LIST: "role:reader"})
    policy = files.read()
    files.write("{{{")
    with caplog.at_level(logging.ERROR, "cloud.policy"):
        assert policy.authorize(LIST, READER)
        assert policy.authorize(LIST, READER)
    assert [record.message.split(":")[0] for record in caplog.records] == [str(files.policy)]
    files.write({})
    assert not policy.authorize(LIST, READER)


def test_a_named_policy_file_overrides_nova_conf(files: Files, tmp_path: Path) -> None:
    files.write({})
    own = tmp_path / "own.yaml"
    own.write_text(f'"{LIST}": "role:reader"\n')
    assert Policy(load([str(files.conf)]), policy_file=str(own)).authorize(LIST, READER)


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(PolicyNotRegistered):
        Policy().authorize("os_compute_api:os-services:lits", ADMIN)


def test_a_remembered_decision_ends_when_the_file_changes(files: Files) -> None:
    files.write({LIST: "role:reader"})
    policy = files.read()
    assert [policy.authorize(LIST, READER) for _ in range(2)] == [True, True]
    files.write({LIST: "role:admin"})
    assert [policy.authorize(LIST, READER) for _ in range(2)] == [False, False]
    assert policy.authorize(LIST, ADMIN)
    files.write({})
    assert not policy.authorize(LIST, READER)
