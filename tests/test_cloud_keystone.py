"""Tokens and logins of Keystone, against a server with recorded answers."""

import datetime
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.config import ConfigError, load
from cloud.keystone import Keystone, KeystoneUnavailable, LoginRefused
from tests import cloud_servers

DEADLINE = 1.0


@pytest.fixture
def server() -> Iterator[cloud_servers.Keystone]:
    keystone = cloud_servers.Keystone()
    with keystone.running():
        yield keystone


@pytest.fixture
def conf(tmp_path: Path, server: cloud_servers.Keystone) -> Path:
    """A nova.conf with Nova's usual section."""
    path = tmp_path / "nova.conf"
    path.write_text(
        f"""[keystone_authtoken]
auth_type = password
auth_url = {server.url}/v3
www_authenticate_uri = https://keystone.example.net/v3
username = nova
password = oracle
project_name = service
user_domain_name = Default
project_domain_name = Default
service_type = compute
"""
    )
    return path


def keystone_of(conf: Path, *, deadline: float = DEADLINE, retry_after: float = 0) -> Keystone:
    return Keystone(load([str(conf)]), deadline=deadline, retry_after=retry_after)


@pytest.fixture
def keystone(conf: Path) -> Keystone:
    return keystone_of(conf)


def test_a_token_identifies_its_user(keystone: Keystone) -> None:
    identity = keystone.identify("token-of-admin")
    assert identity is not None
    assert (identity.user_name, identity.user_domain_name) == ("admin", "Default")
    assert (identity.project_name, identity.project_domain_id) == ("admin", "default")
    assert len(identity.project_id or "") == 32
    assert set(identity.roles) == {"admin", "manager", "member", "reader"}
    assert identity.system_scope is identity.domain_id is None
    assert identity.expires_at is not None
    assert identity.expires_at > datetime.datetime.now(datetime.UTC)


def test_a_system_scoped_token_has_no_project(
    server: cloud_servers.Keystone, keystone: Keystone
) -> None:
    server.changes = {"system": {"all": True}, "project": None}
    identity = keystone.identify("token-of-admin")
    assert identity is not None
    assert identity.system_scope == "all"
    assert identity.project_id is None


def test_an_unknown_token_is_invalid(keystone: Keystone) -> None:
    assert keystone.identify("nonsense") is None


def test_an_expired_token_is_invalid(server: cloud_servers.Keystone, keystone: Keystone) -> None:
    server.lifetime = datetime.timedelta(seconds=-1)
    assert keystone.identify("token-of-admin") is None


def test_a_token_is_validated_once_and_then_remembered(
    server: cloud_servers.Keystone, keystone: Keystone
) -> None:
    first = keystone.identify("token-of-admin")
    asked = server.validations
    assert keystone.identify("token-of-admin") == first
    assert server.validations == asked


def test_a_remembered_token_still_expires(
    server: cloud_servers.Keystone, keystone: Keystone
) -> None:
    server.lifetime = datetime.timedelta(seconds=2)
    assert keystone.identify("token-of-admin") is not None
    time.sleep(2.1)
    assert keystone.identify("token-of-admin") is None


def test_a_service_token_must_be_of_a_service(keystone: Keystone) -> None:
    identity = keystone.identify("token-of-admin", service_token="token-of-nova")
    assert identity is not None
    assert identity.user_name == "admin"
    assert "service" in identity.service_roles
    assert keystone.identify("token-of-admin", service_token="token-of-admin") is None
    assert keystone.identify("token-of-admin", service_token="nonsense") is None


def test_a_service_may_pass_on_a_token_that_has_expired(
    server: cloud_servers.Keystone, keystone: Keystone
) -> None:
    keystone.identify("token-of-nova")  # cached while it is valid
    server.lifetime = datetime.timedelta(seconds=-1)
    assert keystone.identify("token-of-admin", service_token="token-of-nova") is not None


def test_access_rules_of_an_application_credential_count(
    server: cloud_servers.Keystone, keystone: Keystone
) -> None:
    rule = {"id": "1", "service": "compute", "method": "GET", "path": "/v2.1/os-services"}
    server.changes = {"application_credential": {"id": "a", "access_rules": [rule]}}
    allowed = {"method": "GET", "path": "/v2.1/os-services"}
    assert keystone.identify("token-of-admin", **allowed) is not None
    assert keystone.identify("token-of-admin", **{**allowed, "method": "PUT"}) is None
    assert keystone.identify("token-of-admin", **{**allowed, "path": "/v2.1/other"}) is None


def test_the_401_names_keystone(keystone: Keystone) -> None:
    assert keystone.www_authenticate == 'Keystone uri="https://keystone.example.net/v3"'


@pytest.mark.parametrize("status", [500, 503, 401, 403])
def test_a_broken_keystone_is_not_an_invalid_token(
    server: cloud_servers.Keystone, keystone: Keystone, status: int
) -> None:
    server.broken = status
    with pytest.raises(KeystoneUnavailable, match=r"^keystone: "):
        keystone.identify("token-of-admin")
    server.broken = 0
    assert keystone.identify("token-of-admin") is not None


def test_a_keystone_that_breaks_later_is_not_an_invalid_token(
    server: cloud_servers.Keystone, keystone: Keystone
) -> None:
    assert keystone.identify("token-of-nova") is not None  # discovery is complete
    server.broken = 500
    with pytest.raises(KeystoneUnavailable):
        keystone.identify("token-of-admin")
    assert keystone.identify("token-of-nova") is not None, "a remembered token needs no Keystone"


def test_an_unresponsive_keystone_delays_by_one_deadline_and_is_then_skipped(
    server: cloud_servers.Keystone, conf: Path
) -> None:
    keystone = keystone_of(conf, retry_after=60)
    server.awake.clear()
    began = time.monotonic()
    with pytest.raises(KeystoneUnavailable, match="no answer within 1 s"):
        keystone.identify("token-of-admin")
    assert time.monotonic() - began < DEADLINE + 0.5
    began = time.monotonic()
    with pytest.raises(KeystoneUnavailable):
        keystone.identify("token-of-admin")
    assert time.monotonic() - began < 0.1


def test_no_keystone_at_all(conf: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    conf.write_text(
        conf.read_text().replace("auth_url = ", f"auth_url = http://127.0.0.1:{port}/#")
    )
    with pytest.raises(KeystoneUnavailable):
        keystone_of(conf).identify("token-of-admin")


def test_threads_share_it(conf: Path) -> None:
    keystone = keystone_of(conf, deadline=10)
    found: list[str] = []

    def ask() -> None:
        for _ in range(5):
            identity = keystone.identify("token-of-admin")
            found.append(identity.user_name if identity else "?")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["admin"] * 40


def test_a_password_logs_in_to_the_console(keystone: Keystone) -> None:
    login = keystone.login(
        "admin", "oracle", user_domain="Default", project="admin", project_domain="Default"
    )
    identity = login.identity
    assert identity.user_name == "admin"
    assert "admin" in identity.roles
    assert identity.expires_at is not None
    found = keystone.identify(login.token)
    assert found is not None
    assert replace(found, expires_at=identity.expires_at) == identity  # a later hour's end
    assert login.token not in repr(login)


def test_a_wrong_password_does_not(keystone: Keystone) -> None:
    with pytest.raises(LoginRefused) as refused:
        keystone.login(
            "admin", "guess-42", user_domain="Default", project="admin", project_domain="Default"
        )
    assert "guess-42" not in str(refused.value)


def test_no_login_while_keystone_is_down(
    server: cloud_servers.Keystone, keystone: Keystone
) -> None:
    server.awake.clear()
    with pytest.raises(KeystoneUnavailable):
        keystone.login(
            "admin", "oracle", user_domain="Default", project="admin", project_domain="Default"
        )


def test_a_section_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text("")
    with pytest.raises(ConfigError, match="auth_type: must be set"):
        keystone_of(path)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        # One that the portal overrides is refused as well.
        ("http_connect_timeout = abc", "/http_connect_timeout: invalid literal for int()"),
        ("memcache_security_strategy = x", "/memcache_security_strategy: Valid values are [None,"),
        ("memcache_security_strategy = MAC", ": memcache_secret_key must be defined"),
        ("insecure = maybe", "/insecure: Unexpected boolean value 'maybe'"),
        ("certfile = /no/such.pem", "/certfile: /no/such.pem: No such file or directory"),
        ("memcached_servers = a:b:c", ': Unable to parse connection string: "a:b:c"'),
        ("username = $nobody", "/username: a $ in it refers to no known option"),
        ("auth_type = magic", "/auth_type: The plugin magic could not be found"),
        ("auth_type = v3oidcaccesstoken", ": Auth plugin requires parameters which were not"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line_at_the_start(
    conf: Path, option: str, said: str
) -> None:
    name = option.partition(" ")[0]
    kept = [line for line in conf.read_text().splitlines() if not line.startswith(f"{name} ")]
    conf.write_text("\n".join([*kept, option, ""]))
    with pytest.raises(ConfigError) as refused:
        keystone_of(conf)
    assert str(refused.value).startswith(f"{conf}: [keystone_authtoken]{said}")
    assert "\n" not in str(refused.value)
    assert "oracle" not in str(refused.value)


def test_the_plugin_of_another_section_is_read_too(conf: Path) -> None:
    conf.write_text(conf.read_text() + "auth_section = other\n[other]\n")
    with pytest.raises(ConfigError, match=r": \[other\]/auth_type: must be set$"):
        keystone_of(conf)
    with conf.open("a") as file:
        file.write("auth_type = magic\n")
    with pytest.raises(ConfigError, match=r": \[other\]/auth_type: The plugin magic could not"):
        keystone_of(conf)


def test_memcached_is_used_without_a_warning_or_a_patched_thread(conf: Path) -> None:
    """In a separate process: importing the pool of clients imports eventlet."""
    with conf.open("a") as file:
        file.write("memcached_servers = 127.0.0.1:1\n")  # none is reachable, so nothing is cached
    script = f"""
from cloud.config import load
from cloud.keystone import Keystone
keystone = Keystone(load([{str(conf)!r}]), deadline=5, retry_after=0)
assert keystone.identify("token-of-admin").user_name == "admin"
import sys
patcher = sys.modules.get("eventlet.patcher")
assert patcher is None or not any(map(patcher.is_monkey_patched, ("thread", "socket", "time")))
"""
    warned = {**os.environ, "PYTHONWARNINGS": "default", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    result = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env=warned,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "ventlet" not in result.stderr
