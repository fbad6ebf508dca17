"""The client of Nova's API, against a server that answers as Nova and as what stands before it."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloud.compute_api import ComputeAPI, ComputeRefused, ComputeUnavailable
from cloud.config import ConfigError, NovaConfig, load
from tests.cloud_servers import Keystone
from tests.servers import SilentServer, free_port

SERVER = "11111111-2222-4333-8444-555555555555"
REQUEST = "req-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


class NovaAPI:
    """Answers each request with the next of ``answers``: a status, a body; keeps what it heard."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.heard: list[tuple[str, str, Any, str]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                version = self.headers.get("OpenStack-API-Version", "")
                api.heard.append((self.command, self.path, body, version))
                status, answer = api.answers.pop(0)
                content = json.dumps(answer).encode() if answer is not None else b""
                self.send_response(status)
                self.send_header("X-OpenStack-Request-ID", REQUEST)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - the library's names

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v2.1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def nova() -> Iterator[NovaAPI]:
    api = NovaAPI()
    yield api
    api.close()


def client(url: str, timeout: float = 5) -> ComputeAPI:
    return ComputeAPI(NovaConfig(), {"auth_type": "none", "endpoint": url}, timeout=timeout)


def test_requests_are_those_of_nova(nova: NovaAPI) -> None:
    nova.answers = [(202, None)] * 5 + [(204, None)]
    api = client(nova.url)
    assert api.live_migrate(SERVER) == REQUEST
    api.live_migrate(SERVER, "host2")
    api.cold_migrate(SERVER)
    api.cold_migrate(SERVER, "host2")
    api.evacuate(SERVER, "host2")
    api.confirm_resize(SERVER)
    assert [body for _, _, body, _ in nova.heard] == [
        {"os-migrateLive": {"host": None, "block_migration": "auto"}},
        {"os-migrateLive": {"host": "host2", "block_migration": "auto"}},
        {"migrate": None},
        {"migrate": {"host": "host2"}},
        {"evacuate": {"host": "host2"}},
        {"confirmResize": None},
    ]
    assert {heard[0::2][0] for heard in nova.heard} == {"POST"}
    assert {path for _, path, _, _ in nova.heard} == {f"/v2.1/servers/{SERVER}/action"}
    assert {version for _, _, _, version in nova.heard} == {"compute 2.68"}


@pytest.mark.parametrize(
    ("status", "sent"), [(500, True), (502, True), (504, True), (503, False), (429, False)]
)
def test_what_may_have_been_sent_is_told_from_what_was_not(
    nova: NovaAPI, status: int, sent: bool
) -> None:
    nova.answers = [(status, {"computeFault": {"message": "no"}})]
    with pytest.raises(ComputeUnavailable, match=f"{status} no") as raised:
        client(nova.url).live_migrate(SERVER)
    assert raised.value.sent is sent
    assert len(nova.heard) == 1  # it is never repeated here


def test_a_refusal_is_told_with_novas_words(nova: NovaAPI) -> None:
    nova.answers = [(409, {"conflictingRequest": {"code": 409, "message": "it is migrating"}})]
    with pytest.raises(ComputeRefused, match="it is migrating") as raised:
        client(nova.url).live_migrate(SERVER)
    assert raised.value.status == 409


def test_an_api_that_refuses_connections_has_not_had_the_request() -> None:
    url = f"http://127.0.0.1:{free_port()}/v2.1"
    with pytest.raises(ComputeUnavailable) as raised:
        client(url).live_migrate(SERVER)
    assert raised.value.sent is False
    path = f"{url}/servers/{SERVER}/action"
    assert str(raised.value) == (
        f"nova: Unable to establish connection to {path}: Connection refused"
    )


def test_an_api_that_does_not_answer_may_have_had_it() -> None:
    with SilentServer() as server:
        began = time.monotonic()
        with pytest.raises(ComputeUnavailable) as raised:
            client(f"http://127.0.0.1:{server.port}/v2.1", timeout=1).live_migrate(SERVER)
    assert raised.value.sent is True
    assert time.monotonic() - began < 5


def test_a_keystone_that_does_not_answer_is_not_waited_for() -> None:
    with SilentServer() as server:
        credentials = {
            "auth_type": "v3password",
            "auth_url": f"http://127.0.0.1:{server.port}/v3",
            "username": "nova",
            "password": "x",
            "user_domain_id": "default",
        }
        with pytest.raises(ComputeUnavailable) as raised:
            ComputeAPI(NovaConfig(), credentials, timeout=1).live_migrate(SERVER)
    assert raised.value.sent is False


def test_a_token_that_has_expired_is_replaced_and_the_request_made_once(nova: NovaAPI) -> None:
    nova.answers = [(401, None), (202, None)]
    keystone = Keystone()
    credentials = {
        "auth_type": "v3password",
        "username": "nova",
        "password": "oracle",
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "endpoint_override": nova.url,
    }
    with keystone.running():
        credentials["auth_url"] = f"{keystone.url}/v3"
        assert ComputeAPI(NovaConfig(), credentials, timeout=5).live_migrate(SERVER) == REQUEST
    tokens = [call for call in keystone.calls if call.method == "POST"]
    assert (len(tokens), len(nova.heard)) == (
        2,
        2,
    )  # the 401 is Keystone's middleware's, not Nova's


def test_the_cause_of_a_failure(nova: NovaAPI) -> None:
    events = [
        {"event": "conductor_live_migrate_instance", "result": "Error", "details": "No valid host"},
    ]
    action = {"action": "live-migration", "message": "Error", "events": events}
    nova.answers = [
        (200, {"instanceAction": action}),
        (200, {"instanceAction": {**action, "message": None, "events": []}}),
        (404, {"itemNotFound": {"message": "no such action"}}),
        (200, {"instanceActions": [
            {"start_time": "2026-01-03", "request_id": "req-3", "action": "reboot"},
            {"start_time": "2026-01-02", "request_id": "req-2", "action": "live-migration"},
            {"start_time": "2026-01-01", "request_id": "req-1", "action": "live-migration"},
        ]}),
    ]  # fmt: skip
    api = client(nova.url)
    assert api.failure(SERVER, REQUEST) == "No valid host"
    assert api.failure(SERVER, REQUEST) is None
    assert api.failure(SERVER, REQUEST) is None
    assert api.latest_request(SERVER, "live-migration") == "req-2"


def test_credentials_that_cannot_be_used_are_told() -> None:
    with pytest.raises(ConfigError, match="auth_type: must be set"):
        ComputeAPI(NovaConfig(), {}, timeout=1)
    with pytest.raises(ConfigError, match=r"^NOVA_AUTH_TYPE: .*nowhere"):
        ComputeAPI(NovaConfig(), {"auth_type": "nowhere", "auth_url": "x"}, timeout=1)


def test_files_of_certificates_are_looked_for_whoever_names_them(tmp_path: Path) -> None:
    conf = tmp_path / "nova.conf"
    credentials = {"auth_type": "none", "endpoint": "http://nova/v2.1"}

    def refusal(options: str, **settings: str) -> str:
        conf.write_text(f"[nova]\n{options}\n")
        with pytest.raises(ConfigError) as refused:
            ComputeAPI(load([str(conf)]), credentials | settings, timeout=1)
        return str(refused.value)

    missing = "/no/such.pem: No such file or directory"
    assert refusal("", cafile="/no/such.pem") == f"NOVA_CAFILE: {missing}"
    assert refusal("cafile = /no/such.pem") == f"{conf}: [nova]/cafile: {missing}"
    assert refusal("certfile = /no/such.pem\ninsecure = true").endswith(f"/certfile: {missing}")
    said = refusal("valid_interfaces = none")
    assert said.startswith(f"{conf}: [nova]: 'none' is not a valid value for valid_interfaces")


def test_a_certificate_that_nobody_reads_is_not_looked_for(tmp_path: Path) -> None:
    conf = tmp_path / "nova.conf"
    conf.write_text("[nova]\nauth_type = none\ninsecure = true\ncafile = /no/such.pem\n")
    ComputeAPI(load([str(conf)]), {}, timeout=1)
