"""Calls to nova-compute, over oslo.messaging's own fake bus and over RabbitMQ where it answers."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from cells.models import CellMapping
from cells.registry import Cell, forget_cells
from cloud.compute_rpc import (
    ComputeFailed,
    ComputeRPC,
    ComputeTimeout,
    MessageBusUnavailable,
    NoTransport,
    NotSupported,
    request_context,
    rpc_version,
)
from cloud.config import NovaConfig
from cloud.identity import Identity
from cloud.messaging import oslo_messaging, rpc_transport
from tests.clouds import Cloud
from tests.servers import Proxy, SilentServer, free_port

RABBIT_PORT = 5672
RABBIT = f"rabbit://guest:guest@127.0.0.1:{RABBIT_PORT}/"
ANN = Identity(
    "u1", "ann", "default", project_id="p1", project_name="ops", roles=("admin", "member")
)
DEADLINE = 2.0

pytestmark = pytest.mark.any_engine


def rabbit_answers() -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", RABBIT_PORT)) == 0


class NovaCompute:
    """What a nova-compute does when it is called."""

    def __init__(self) -> None:
        self.target = oslo_messaging().Target(version="6.5")
        self.calls: list[Any] = []

    def set_host_enabled(self, context: dict[str, Any], enabled: bool) -> str:
        self.calls.append((context, enabled))
        return "enabled" if enabled else "disabled"

    def get_host_uptime(self, context: dict[str, Any]) -> str:
        self.calls.append(context)
        return " 01:00:00 up 5 days,  1 user,  load average: 0.00, 0.01, 0.05"


class Unable(NovaCompute):
    """The fake driver's, and one that has a fault."""

    def get_host_uptime(self, context: dict[str, Any]) -> str:
        raise NotImplementedError

    def set_host_enabled(self, context: dict[str, Any], enabled: bool) -> str:
        raise LookupError("no such node\nsecond line")


@contextmanager
def running(url: str, host: str, endpoint: NovaCompute) -> Iterator[NovaCompute]:
    """A nova-compute on the bus."""
    library = oslo_messaging()
    transport = rpc_transport(NovaConfig(), url)
    target = library.Target(exchange="nova", topic="compute", server=host)
    server = library.get_rpc_server(transport, target, [endpoint], executor="threading")
    server.start()
    try:
        yield endpoint
    finally:
        server.stop()
        server.wait()
        transport.cleanup()


@pytest.fixture(params=["fake", "rabbit"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "rabbit" and not rabbit_answers():
        pytest.skip("no RabbitMQ answers on this machine")
    return RABBIT if request.param == "rabbit" else f"fake://{secrets.token_hex(4)}/"


@pytest.fixture
def host() -> str:
    return f"host-{secrets.token_hex(4)}"


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    return cloud.cells[1]


@contextmanager
def calling(cell: Cell, url: str, main_url: str = "", **options: float) -> Iterator[ComputeRPC]:
    """The portal's side, with this transport URL in the mapping of the cell."""
    CellMapping.objects.filter(uuid=cell.uuid).update(transport_url=url)
    forget_cells()
    timing = {"deadline": DEADLINE, "retry_after": 0.0, **options}
    with closing(ComputeRPC(NovaConfig(), main_url=main_url, **timing)) as rpc:
        yield rpc


def test_a_host_is_disabled_and_enabled(cell: Cell, url: str, host: str) -> None:
    with running(url, host, NovaCompute()) as compute, calling(cell, url) as rpc:
        assert rpc.set_host_enabled(cell, host, False, ANN, "req-1") == "disabled"
        assert rpc.set_host_enabled(cell, host, True, ANN, "req-2") == "enabled"
        assert [enabled for _, enabled in compute.calls] == [False, True]
        context = compute.calls[0][0]
        assert context["request_id"] == "req-1"
        assert context["user_id"] == "u1"
        assert context["roles"] == ["admin", "member"]
        assert not context["auth_token"]


def test_uptime(cell: Cell, url: str, host: str) -> None:
    with running(url, host, NovaCompute()), calling(cell, url) as rpc:
        assert "up 5 days" in rpc.get_host_uptime(cell, host, ANN)


def test_errors_of_the_other_side(cell: Cell, url: str, host: str) -> None:
    with running(url, host, Unable()), calling(cell, url) as rpc:
        with pytest.raises(NotSupported):
            rpc.get_host_uptime(cell, host, ANN)
        with pytest.raises(ComputeFailed, match=f"nova-compute on {host} .*: no such node$") as e:
            rpc.set_host_enabled(cell, host, True, ANN)
        assert e.value.remote == "LookupError"
        with pytest.raises(NotSupported):
            rpc.get_host_uptime(cell, host, ANN)


def test_a_host_that_does_not_answer_does_not_stop_the_others(
    cell: Cell, url: str, host: str
) -> None:
    with running(url, host, NovaCompute()), calling(cell, url, retry_after=60) as rpc:
        began = time.monotonic()
        with pytest.raises(ComputeTimeout, match="nova-compute on nobody"):
            rpc.get_host_uptime(cell, "nobody", ANN)
        assert time.monotonic() - began < DEADLINE + 0.5
        assert "up 5 days" in rpc.get_host_uptime(cell, host, ANN)


def test_no_broker(cell: Cell) -> None:
    with calling(cell, f"rabbit://u:s3cret@127.0.0.1:{free_port()}/", retry_after=60) as rpc:
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(MessageBusUnavailable) as error:
                rpc.set_host_enabled(cell, "h", True, ANN)
            assert "s3cret" not in str(error.value)
        assert time.monotonic() - began < DEADLINE + 0.5


def test_a_broker_that_does_not_answer(cell: Cell) -> None:
    with (
        SilentServer() as silent,
        calling(cell, f"rabbit://u:p@127.0.0.1:{silent.port}/") as rpc,
    ):
        began = time.monotonic()
        with pytest.raises(MessageBusUnavailable, match="no answer within 2 s"):
            rpc.set_host_enabled(cell, "h", True, ANN)
        assert time.monotonic() - began < DEADLINE + 0.5


@pytest.mark.parametrize("mapped", [None, "", "none:///"])
def test_no_transport_is_off(cell: Cell, mapped: str | None) -> None:
    with calling(cell, mapped or "") as rpc:
        assert not rpc.has_transport(cell)
        with pytest.raises(NoTransport, match="names no message bus"):
            rpc.get_host_uptime(cell, "h", ANN)


@pytest.mark.parametrize(
    "mapped", ["nonsense://u:s3cret@h/", "no URL", "rabbit://u:s3cret@h:port/"]
)
def test_a_malformed_transport_url(cell: Cell, mapped: str) -> None:
    with calling(cell, mapped) as rpc, pytest.raises(NoTransport) as error:
        rpc.get_host_uptime(cell, "h", ANN)
    assert "s3cret" not in str(error.value)


def test_templates_are_filled_from_the_main_url(cell: Cell, host: str) -> None:
    bus = secrets.token_hex(4)
    mapped = "{scheme}://{username}:{password}@{hostname}/{path}"
    with (
        running(f"fake://u:p@{bus}/v", host, NovaCompute()),
        calling(cell, mapped, main_url=f"fake://u:p@{bus}/v") as rpc,
    ):
        assert "up 5 days" in rpc.get_host_uptime(cell, host, ANN)
    with calling(cell, "rabbit://{nobody}@h/") as rpc, pytest.raises(NoTransport, match="unknown"):
        rpc.get_host_uptime(cell, host, ANN)


def test_a_mapping_that_changes_is_followed(cell: Cell, host: str) -> None:
    first, second = (f"fake://{secrets.token_hex(4)}/" for _ in range(2))
    with running(first, host, NovaCompute()) as old, calling(cell, first) as rpc:
        rpc.get_host_uptime(cell, host, ANN)
        with running(second, host, NovaCompute()) as new:
            CellMapping.objects.filter(uuid=cell.uuid).update(transport_url=second)
            rpc.get_host_uptime(cell, host, ANN)
            # The fake bus is one in the process, so only that a call arrived can be seen.
            assert len(old.calls) + len(new.calls) == 2


@pytest.mark.skipif(not rabbit_answers(), reason="no RabbitMQ answers on this machine")
def test_a_broker_that_restarts_is_called_again(cell: Cell, host: str) -> None:
    with (
        Proxy(f"127.0.0.1:{RABBIT_PORT}") as proxy,
        running(RABBIT, host, NovaCompute()),
        calling(cell, f"rabbit://guest:guest@127.0.0.1:{proxy.port}/", deadline=10) as rpc,
    ):
        assert "up 5 days" in rpc.get_host_uptime(cell, host, ANN)
        proxy.cut()
        assert "up 5 days" in rpc.get_host_uptime(cell, host, ANN)


def test_the_context_is_one_that_nova_reads() -> None:
    """The keys of ``nova.context.RequestContext.to_dict``, and its format of the time."""
    context = request_context(ANN, "req-7")
    assert {
        "user_id", "user_name", "project_id", "project_name", "is_admin", "roles", "request_id",
        "global_request_id", "read_deleted", "remote_address", "timestamp", "quota_class",
        "service_catalog", "user_domain", "project_domain", "system_scope", "auth_token",
        "user_identity", "resource_uuid", "show_deleted", "read_only", "is_admin_project",
    } <= set(context)  # fmt: skip
    time.strptime(context["timestamp"], "%Y-%m-%dT%H:%M:%S.%f")


@pytest.mark.parametrize(
    ("level", "version"),
    [(None, "6.0"), ("auto", "6.0"), ("hibiscus", "6.0"), ("6.1", "6.0"), ("wallaby", "6.0"),
     ("victoria", "5.0"), ("Train", "5.0"), ("5.12", "5.0")],
)  # fmt: skip
def test_the_version_follows_the_pinned_release(level: str | None, version: str) -> None:
    assert rpc_version(level) == version


def test_nothing_is_patched_and_nothing_warned_about() -> None:
    script = """
import sys, warnings
warnings.filterwarnings("ignore", ".*cgi", DeprecationWarning)
before = set(sys.modules)
import cloud.messaging
assert "oslo_messaging" not in sys.modules
cloud.messaging.oslo_messaging()
from oslo_service import backend
assert backend.get_backend_type() is backend.BackendType.THREADING
patcher = sys.modules.get("eventlet.patcher")
assert patcher is None or not any(
    map(patcher.is_monkey_patched, ("os", "select", "socket", "thread", "time"))
)
"""
    environ = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
