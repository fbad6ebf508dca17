"""The worker of gunicorn: threads are for whole requests, queues are short, and none is lost."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.servers import PortalServer, serve
from tests.waiting import wait_until

pytestmark = pytest.mark.any_engine

THREADS, MAX_IN_FLIGHT = 2, 4
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n"


@dataclass
class Waiting:
    """A worker of two threads with ``tests.waiting_wsgi``."""

    server: PortalServer
    go_on: Path

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.server.url.rpartition(":")[2])

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A connection over which this has been sent."""
        connection = socket.create_connection(self.address, timeout=60)
        connection.sendall(sent)
        return connection

    def is_open(self) -> bool:
        """Whether one can connect."""
        try:
            self.connect().close()
        except (ConnectionRefusedError, ConnectionResetError):
            return False
        return True

    def ask(self, sent: bytes) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer; the client keeps its side open."""
        with self.connect(sent) as connection:
            return answer_on(connection)

    def fill(self, stack: ExitStack) -> list[socket.socket]:
        """As many requests in progress as the worker takes."""
        full = [
            stack.enter_context(self.connect(GET % (b"/wait", b""))) for _ in range(MAX_IN_FLIGHT)
        ]
        until = time.monotonic() + 60
        while self.ask(GET % (b"/x", b""))[0] != 503:
            assert time.monotonic() < until
        return full


def answer_on(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """Status, head and body of the next answer; 0 for a connection that is closed."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(65536)
        if not data:
            return 0, answer, b""
        answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]) and (data := connection.recv(65536)):
        body += data
    return int(head[9:12]), head, body


@contextmanager
def waiting(
    folder: Path, *arguments: str, max_in_flight: int = MAX_IN_FLIGHT, **settings: str
) -> Iterator[Waiting]:
    go_on = folder / "go-on"
    environment = {
        "VAR_DIR": str(folder),
        "GO_ON": str(go_on),
        "MAX_IN_FLIGHT": str(max_in_flight),
        "CELL_DEADLINE": "60",
        **settings,
    }
    log = folder / "gunicorn.log"
    arguments = ("--threads", str(THREADS), "--graceful-timeout", "60", *arguments)
    with serve(environment, log, *arguments, application="tests.waiting_wsgi") as server:
        try:
            yield Waiting(server, go_on)
        finally:
            go_on.touch()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waiting]:
    with waiting(tmp_path_factory.mktemp("worker")) as one:
        yield one


@pytest.fixture
def portal(shared: Waiting) -> Iterator[Waiting]:
    shared.go_on.unlink(missing_ok=True)
    yield shared
    shared.go_on.touch()
    until = time.monotonic() + 60
    while shared.ask(GET % (b"/x", b""))[0] != 200:
        assert time.monotonic() < until


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nX: ",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
    ],
)
def test_clients_that_do_not_go_on_have_no_thread(portal: Waiting, sent: bytes) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(portal.connect(sent)) for _ in range(50)]
        assert portal.ask(GET % (b"/", b""))[0] == 200
        # In the end they are told so, if they have said anything at all.
        assert answer_on(slow[-1])[0] == (408 if sent else 0)


def test_clients_that_do_not_close_hold_nobody_up(portal: Waiting) -> None:
    with ExitStack() as stack:
        began = time.monotonic()
        for _ in range(10):
            connection = stack.enter_context(portal.connect(GET % (b"/", b"Connection: close\r\n")))
            assert answer_on(connection)[0] == 200
        assert time.monotonic() - began < 10  # it was 2 s for each


def test_what_is_too_much_is_refused_at_once(portal: Waiting) -> None:
    with ExitStack() as stack:
        full = portal.fill(stack)
        status, head, body = portal.ask(GET % (b"/v2.1/os-services", b""))
        assert status == 503
        assert b"\r\nRetry-After: 1\r\n" in head
        fault = json.loads(body)["serviceUnavailable"]
        assert fault["code"] == 503
        assert "overloaded" in fault["message"]
        status, head, body = portal.ask(GET % (b"/admin/", b"Accept: text/html,*/*\r\n"))
        assert (status, b"text/html" in head, b"<!doctype" in body) == (503, True, True)
        status, _head, body = portal.ask(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (status, body) == (200, b"")
        for health in (b"/", b"/healthz", b"/healthcheck?detailed=1"):
            assert portal.ask(GET % (health, b""))[0] == 200
        portal.go_on.touch()
        assert {answer_on(one)[0] for one in full} == {200}
        assert portal.ask(GET % (b"/v2.1/os-services", b""))[0] == 200


@pytest.mark.parametrize("body", [b"", b"3\r\nab", b"nonsense\r\n", b"2\r\nab\r\n0\r\n\r\n"])
def test_a_body_of_unknown_length_is_refused(portal: Waiting, body: bytes) -> None:
    status, _head, answer = portal.ask(
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n" + body
    )
    assert status == 411
    assert "Content-Length" in json.loads(answer)["computeFault"]["message"]


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ([b"POST / HTTP/1.1\r\nContent-Len", b"gth: 5\r\n\r", b"\nhel", b"lo"], b"hello"),
        ([b"POST / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n", b"x" * 300_000], b"x" * 300_000),
    ],
)
def test_requests_that_come_in_parts(portal: Waiting, parts: list[bytes], body: bytes) -> None:
    with portal.connect() as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)
        status, _head, answered = answer_on(connection)
        assert (status, answered) == (200, body)
        connection.sendall(GET % (b"/", b""))
        assert answer_on(connection)[0] == 200, "the connection is not kept"


def test_a_client_that_asks_before_it_sends_a_body(portal: Waiting) -> None:
    with portal.connect(
        b"PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    ) as connection:
        assert answer_on(connection)[0] == 100
        connection.sendall(b"ok")
        answer = b""
        while not answer.endswith(b"ok"):
            data = connection.recv(65536)
            assert data, answer
            answer += data
        assert b"HTTP/1.1 200 OK" in answer


def test_requests_in_a_row_without_waiting(portal: Waiting) -> None:
    both = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\none" + GET % (b"/", b"") * 2
    with portal.connect(both + b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n") as connection:
        text = b""
        while text.count(b"200 OK") < 3:
            text += connection.recv(65536)
        connection.sendall(b"two")
        while not text.endswith(b"two"):
            text += connection.recv(65536)
        assert text.count(b"200 OK") == 4


def test_stopping_answers_what_has_been_sent(tmp_path: Path) -> None:
    with waiting(tmp_path) as portal, ExitStack() as stack:
        full = portal.fill(stack)
        portal.server.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 60
        while portal.is_open():
            assert time.monotonic() < until
        portal.go_on.touch()
        assert {answer_on(one)[0] for one in full} == {200}
        assert portal.server.process.wait(60) == 0


def test_memory_of_large_answers_is_given_back(portal: Waiting) -> None:
    worker = psutil.Process(int(portal.ask(GET % (b"/x", b""))[2]))
    before = worker.memory_info().rss
    for _ in range(3):
        assert portal.ask(GET % (b"/large", b""))[0] == 200  # 64 MiB
        wait_until(lambda: worker.memory_info().rss < before + 32 * 2**20)


def test_restarts_under_load_lose_nothing(tmp_path: Path) -> None:
    """HUP, then TERM: what is connected is answered, and in the end nobody can connect."""
    with waiting(tmp_path, max_in_flight=100) as portal:
        statuses: Counter[int | str] = Counter()
        workers: set[bytes] = set()
        stopped = threading.Event()

        def client() -> None:
            while not stopped.is_set():
                try:
                    # One that the kernel has queued when the last listener closes is reset.
                    with portal.connect(GET % (b"/x", b"Connection: close\r\n")) as connection:
                        status, _head, worker = answer_on(connection)
                except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                    statuses["refused"] += 1
                    return
                statuses[status] += 1
                workers.add(worker)

        clients = [threading.Thread(target=client) for _ in range(3)]
        for one in clients:
            one.start()
        until = time.monotonic() + 150
        while len(workers) < 1:
            assert time.monotonic() < until
        os.kill(portal.server.process.pid, signal.SIGHUP)
        while len(workers) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        before = sum(statuses.values())
        while sum(statuses.values()) < before + 100:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert not statuses["refused"]
        portal.server.process.send_signal(signal.SIGTERM)
        for one in clients:
            one.join(120)
        stopped.set()
        assert statuses.pop("refused") == len(clients)
        assert set(statuses) == {200}, statuses


def test_a_mistake_in_the_settings_ends_no_worker_that_serves(tmp_path: Path) -> None:
    conf = tmp_path / "nova.conf"
    conf.touch()
    with waiting(tmp_path, "--workers", "2", NOVA_CONFIG_FILES=str(conf)) as portal:
        workers: set[int] = set()

        def both_serve() -> bool:  # one that has not read its settings yet would read the mistake
            workers.add(int(portal.ask(GET % (b"/x", b""))[2]))
            return len(workers) == 2

        wait_until(both_serve)
        conf.write_text("[api\n")
        lost, left = workers
        os.kill(lost, signal.SIGKILL)
        wait_until(lambda: f"{conf}: line 1: Invalid section" in portal.server.log.read_text())
        time.sleep(1)
        assert portal.ask(GET % (b"/x", b""))[::2] == (200, b"%d" % left)
        conf.write_text("")
        wait_until(lambda: int(portal.ask(GET % (b"/x", b""))[2]) not in workers)
        assert portal.server.process.poll() is None


def test_what_gunicorn_says_of_a_request_is_logged_as_all_else(portal_server: PortalServer) -> None:
    address = "127.0.0.1", int(portal_server.url.rpartition(":")[2])
    for _ in range(3):
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: \x1b[2J\r\n\r\n")
            assert b" 400 " in client.recv(100)
    said = [line for line in portal_server.log.read_text().splitlines() if "Invalid" in line]
    assert 1 <= len(said) <= 2  # once per worker: not repeated
    assert all(" WARNING gunicorn.error [-] Invalid request from ip=" in line for line in said)
