"""The files under deploy/: accepted by the programs that they are for, and doing what they say."""

import http.server
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.commands import ROOT, environment
from tests.servers import free_port

pytestmark = pytest.mark.any_engine

DEPLOY = ROOT / "deploy"
SETTINGS = set(re.findall(r"(?m)^#([A-Z_]+)=", (ROOT / ".env.example").read_text()))
PROJECT = "6f70656e737461636b20342065766572"


def program(name: str) -> str:
    """The path of a program, without which the test is skipped."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["nova-cells-portal", "nova-cells-portal-worker"])
def test_systemd_accepts_the_units(tmp_path: Path, name: str) -> None:
    verify = program("systemd-analyze")
    text = (DEPLOY / "systemd" / f"{name}.service").read_text()
    unit = tmp_path / f"{name}.service"
    unit.write_text(
        text.replace("/opt/nova-cells-portal/.venv/bin", str(Path(sys.executable).parent))
    )
    done = subprocess.run(
        [verify, "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_it = [line for line in done.stderr.splitlines() if name in line]
    assert not about_it
    exposure = subprocess.run(
        [verify, "security", "--offline=yes", "--threshold=25", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert exposure.returncode == 0, exposure.stdout


def test_only_settings_that_there_are_are_set() -> None:
    lines = (DEPLOY / "systemd" / "portal.env").read_text().splitlines()
    named = {line.lstrip("#").partition("=")[0] for line in lines if re.match(r"#?[A-Z_]+=", line)}
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    named |= set(compose["services"]["portal"]["environment"])
    assert named <= SETTINGS


def test_the_image_has_every_app() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    copied = set(re.findall(r"(?m)^COPY (\w\S*) ", text)) - {"requirements.lock"}
    allowed = set(re.findall(r"(?m)^!(\S+)", (ROOT / ".dockerignore").read_text()))
    apps = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "docs", "tests"}
    assert copied == apps | {"manage.py", "templates"}
    assert allowed == copied | {"requirements.lock"}


# --- proxies -------------------------------------------------------------------------------------


class Backend:
    """A server that answers with its name, and keeps what it was asked."""

    def __init__(self, name: str) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        requests = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                requests.append((self.command, self.path, dict(self.headers)))
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(name.encode())

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - http.server's

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # type: ignore[method-assign]
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Endpoint:
    """A proxy with both behind it."""

    def __init__(self, port: int, portal: Backend, nova: Backend) -> None:
        self.port, self.portal, self.nova = port, portal, nova
        self.trusting = ssl._create_unverified_context()  # noqa: S323 - made for the test

    def ask(self, path: str, method: str = "GET") -> str:
        """Who answers."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}",
            method=method,
            data=b"{}" if method in ("PUT", "POST") else None,
            headers={"Host": "compute.example.net", "X-Forwarded-For": "1.2.3.4"},
        )
        with urllib.request.urlopen(request, context=self.trusting, timeout=20) as answer:  # noqa: S310
            body: bytes = answer.read()
        return body.decode() or "nothing"


def certificate(folder: Path) -> Path:
    """A certificate with its key, in one file."""
    both = folder / "both.pem"
    run(
        *(program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=compute.example.net", "-keyout", folder / "key", "-out", folder / "cert"),
    )
    both.write_text((folder / "cert").read_text() + (folder / "key").read_text())
    return both


def nginx(folder: Path, port: int, portal: int, nova: int) -> list[str]:
    both = certificate(folder)
    text = (DEPLOY / "nginx" / "compute.conf").read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{portal}")
    text = text.replace("controller1.example.net:8774", f"127.0.0.1:{nova}")
    text = text.replace("listen 8774", f"listen 127.0.0.1:{port}")
    text = text.replace("listen 443", f"listen 127.0.0.1:{free_port()}")
    text = re.sub(r"(ssl_certificate(_key)?) \S+;", rf"\1 {both};", text)
    (folder / "compute.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
        "events {}\n"
        f"http {{ access_log off; {temporary} include {folder}/compute.conf; }}\n"
    )
    command = [program("nginx"), "-c", str(folder / "nginx.conf"), "-e", str(folder / "early.log")]
    run(*command, "-t")
    return command


def haproxy(folder: Path, port: int, portal: int, nova: int) -> list[str]:
    both = certificate(folder)
    text = (DEPLOY / "haproxy" / "compute.cfg").read_text()
    text = text.replace("/etc/haproxy/compute.example.net.pem", str(both))
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{portal}")
    text = text.replace("controller1.example.net:8774", f"127.0.0.1:{nova}")
    text = text.replace("bind :8774", f"bind 127.0.0.1:{port}")
    (folder / "haproxy.cfg").write_text(text)
    command = [program("haproxy"), "-f", str(folder / "haproxy.cfg")]
    run(*command, "-c")
    return command


@contextmanager
def proxied(folder: Path, make: Callable[[Path, int, int, int], list[str]]) -> Iterator[Endpoint]:
    folder.chmod(0o755)
    with ExitStack() as stack:
        portal, nova = Backend("portal"), Backend("nova")
        stack.callback(nova.close)
        stack.callback(portal.close)
        port = free_port()
        command = make(folder, port, portal.port, nova.port)
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        endpoint = Endpoint(port, portal, nova)
        wait_for(lambda: endpoint.ask("/v2.1/servers") == "nova", folder / "log")
        yield endpoint


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module", params=[nginx, haproxy])
def endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    with proxied(tmp_path_factory.mktemp("proxy"), request.param) as one:
        wait_for(lambda: one.ask("/v2.1/os-services") == "portal", ROOT / "README.md")
        yield one


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2.1/os-services"),
        ("GET", "/v2.1/os-services?binary=nova-compute"),
        ("PUT", "/v2.1/os-services/9a9f1a2e-5d5c-4a5e-8f0a-7c9d3a4b5c6d"),
        ("DELETE", f"/v2.1/{PROJECT}/os-services/7"),
        ("GET", "/v2/os-hypervisors/detail"),
        ("GET", f"/v2/{PROJECT}/os-hypervisors/a%2Fb/search"),
        ("GET", "/v2.1/os-aggregates"),
        ("GET", f"/v2.1/{PROJECT}/os-aggregates/3"),
    ],
)
def test_what_goes_to_the_portal(endpoint: Endpoint, method: str, path: str) -> None:
    assert endpoint.ask(path, method) == "portal"
    asked_method, asked_path, headers = endpoint.portal.requests[-1]
    assert (asked_method, asked_path) == (method, path)
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["host"] == "compute.example.net"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-for"] == "127.0.0.1", "what clients say of themselves is believed"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v2.1"),
        ("GET", "/v2.1/servers/detail"),
        ("GET", "/v2.1/os-services-of-mine"),
        ("GET", "/v2.1/servers/os-services"),
        ("GET", "/v3/os-services"),
        ("POST", "/v2.1/os-aggregates"),
        ("PUT", "/v2.1/os-aggregates/3"),
        ("DELETE", "/v2.1/os-aggregates/3"),
        ("POST", f"/v2.1/{PROJECT}/os-aggregates/3/action"),
    ],
)
def test_what_goes_to_nova(endpoint: Endpoint, method: str, path: str) -> None:
    assert endpoint.ask(path, method) == "nova"
    assert endpoint.nova.requests[-1][:2] == (method, path)


@pytest.mark.parametrize("make", [nginx, haproxy])
def test_without_a_portal_nova_answers(
    tmp_path: Path, make: Callable[[Path, int, int, int], list[str]]
) -> None:
    with proxied(tmp_path, make) as endpoint:
        endpoint.portal.server.server_close()
        wait_for(lambda: endpoint.ask("/v2.1/os-services") == "nova", tmp_path / "log")


# --- uWSGI ----------------------------------------------------------------------------------------


def test_uwsgi_serves_the_portal(tmp_path: Path) -> None:
    uwsgi, port = program("uwsgi"), free_port()
    text = (DEPLOY / "uwsgi" / "portal.ini").read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace(
        "processes = 4", "processes = 1"
    )
    text = text.replace("virtualenv = .venv", f"virtualenv = {sys.prefix}")
    text = text.replace("%d../..", str(ROOT)).replace("%d", str(DEPLOY / "uwsgi"))
    text = text.replace("/tmp/portal-metrics-uwsgi", str(tmp_path / "metrics"))  # noqa: S108
    (tmp_path / "portal.ini").write_text(text)
    settings = environment(VAR_DIR=str(tmp_path), SECRET_KEY="only for tests " * 4)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [uwsgi, "--ini", tmp_path / "portal.ini"], env=settings, stdout=output, stderr=output
        )
    try:

        def answers() -> bool:
            if process.poll() is not None:
                said = log.read_text()
                if "unable to load plugin" in said or "undefined symbol" in said:
                    pytest.skip(f"uwsgi was not built for {sys.base_prefix}")
                raise AssertionError(said)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                return bool(answer.status == 200)

        wait_for(answers, log)
        assert os.listdir(tmp_path / "metrics"), "its requests are not counted"  # noqa: PTH208
    finally:
        process.terminate()
        process.wait(60)
    assert "Traceback" not in log.read_text()
