"""Servers for tests: databases that misbehave, and the portal as it is really served."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

#: Deadline, in seconds, in tests of cells that do not answer: drivers wait for whole seconds, so
#: that it is not they who give up first.
SHORT_DEADLINE = 1.8

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class SilentServer:
    """A socket that accepts connections and never says a word: a hung database."""

    def __init__(self, port: int = 0) -> None:
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._taken.append(self._listening.accept()[0])

    @property
    def connections(self) -> int:
        """How many connections have been made to it."""
        return len(self._taken)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listening.close()
        for one in self._taken:
            one.close()


class Proxy:
    """A port in front of a real database, which can be made to hang and to answer again.

    ``target`` is ``host:port``, or the path of a Unix socket.  ``round_trips`` counts how often
    clients have said something to a server that had said all it had to; it is exact as long as
    they wait for the answers.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.round_trips = 0
        self._lock = threading.Lock()
        self.delay = 0.0  # seconds before each answer is passed on
        self._cuts_answers = False
        self._running = threading.Event()
        self._running.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hang(self) -> None:
        """Pass nothing on any more, of old connections and new ones."""
        self._running.clear()

    def go_on(self) -> None:
        """Pass on what has been waiting, and all else."""
        self._cuts_answers = False
        self._running.set()

    def cut_answers(self) -> None:
        """Pass on the first bytes of each answer, and break its connection."""
        self._cuts_answers = True

    def cut(self) -> None:
        """Break all connections there are."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._sockets.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listening.accept()[0]
                far = self._connect()
                self._sockets += [near, far]
                speaker = [far]
                for source, sink in ((near, far), (far, near)):
                    arguments = (source, sink, speaker, source is near)
                    threading.Thread(target=self._pass, args=arguments, daemon=True).start()

    def _connect(self) -> socket.socket:
        if self._target.startswith("/"):
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            return far
        host, _, port = self._target.partition(":")
        return socket.create_connection((host, int(port)))

    def _pass(
        self,
        source: socket.socket,
        sink: socket.socket,
        speaker: list[socket.socket],
        is_client: bool,
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self.round_trips += is_client and speaker[0] is not source
                    speaker[0] = source
                if not is_client:
                    time.sleep(self.delay)
                self._running.wait()
                if self._cuts_answers and not is_client:
                    sink.sendall(data[:7])
                    break
                sink.sendall(data)
        for one in (source, sink):
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listening.close()
        self.cut()
        self._running.set()


@dataclass
class PortalServer:
    """A portal in a process of its own.  ``url`` has no slash at the end."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def compute_url(self) -> str:
        """The endpoint of the compute API."""
        return f"{self.url}/v2.1"

    def get(self, path: str, token: str, version: str = "2.1") -> Any:
        """The JSON at a path below ``/v2.1``; anything but 200 raises ``HTTPError``."""
        request = urllib.request.Request(  # noqa: S310
            self.compute_url + path,
            headers={"X-Auth-Token": token, "OpenStack-API-Version": f"compute {version}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)


@contextmanager
def serve(
    environment: dict[str, str], log: Path, *arguments: str, application: str = "portal.wsgi"
) -> Iterator[PortalServer]:
    """gunicorn with the portal, on a free port, with these settings and no others."""
    with started(environment, log, *arguments, application=application) as server:
        _wait_for(f"{server.url}/", server.process, log)
        yield server


@contextmanager
def started(
    environment: dict[str, str], log: Path, *arguments: str, application: str = "portal.wsgi"
) -> Iterator[PortalServer]:
    """The same, which may not answer yet: no request is sent to it."""
    port = free_port()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--config", "python:portal.gunicorn"),
                *(application, "--bind", f"127.0.0.1:{port}"),
                *("--workers", "1", "--threads", "4", *arguments),
            ],
            cwd=ROOT,
            env=kept | {"SECRET_KEY": secrets.token_hex(32), "DATABASE_URL": ""} | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield PortalServer(f"http://127.0.0.1:{port}", process, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the portal does not serve {url}:\n{log.read_text()}")
