"""A disk that takes no more: whatever a running worker writes fails, as on one that is full.

The limit on the size of a process's files does it, so SQLite speaks of an I/O error, not of space.
"""

import http.client
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit
from urllib.parse import urlencode, urlsplit

import psutil

from tests.commands import manage
from tests.servers import PortalServer, serve

Answer = tuple[int, str, http.client.HTTPMessage]


class Requests:
    """Requests to a portal, one connection each."""

    def __init__(self, server: PortalServer, token: str) -> None:
        self.address = urlsplit(server.url).netloc
        self.token = token

    def send(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers

    def api(self, method: str, path: str, **body: str) -> tuple[int, dict[str, list[str]]]:
        headers = {
            "X-Auth-Token": self.token,
            "X-OpenStack-Nova-API-Version": "2.53",
            "Content-Type": "application/json",
        }
        text = json.dumps(body) if body else ""
        status, answer, _headers = self.send(method, f"/v2.1{path}", text, **headers)
        return status, json.loads(answer or "{}")

    def log_in(self) -> Answer:
        """With a wrong password, which is to be put on record."""
        _status, page, headers = self.send("GET", "/admin/login/")
        token, *_others = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        form = {"csrfmiddlewaretoken": token, "username": "operator", "password": "wrong"}
        cookie = (headers["Set-Cookie"] or "").partition(";")[0]
        kind = "application/x-www-form-urlencoded"
        return self.send(
            "POST", "/admin/login/", urlencode(form), Cookie=cookie, **{"Content-Type": kind}
        )


@contextmanager
def full_disk(server: PortalServer) -> Iterator[None]:
    """What the workers write fails: to databases, and to the log."""
    workers = [worker.pid for worker in psutil.Process(server.process.pid).children()]
    for worker in workers:
        prlimit(worker, RLIMIT_FSIZE, (0, RLIM_INFINITY))
    try:
        yield
    finally:
        for worker in workers:
            prlimit(worker, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))


def test_it_refuses_what_it_cannot_put_on_record_and_reads_on(tmp_path: Path) -> None:
    environment = {"VAR_DIR": str(tmp_path), "SECRET_KEY": secrets.token_urlsafe(50)}
    for arguments in (
        ("demo", "--cells=1", "--hosts-per-cell=2", "--uuidless-cell=0"),
        ("migrate", "-v0"),
        ("createsuperuser", "--noinput", "--username=operator", "--email="),
    ):
        assert manage(*arguments, **environment).returncode == 0, arguments
    token = manage("create_token", "operator", **environment).stdout.split()[-1]

    with serve(environment, tmp_path / "log") as server:
        requests = Requests(server, token)
        listed = "/os-services?binary=nova-compute"
        _status, before = requests.api("GET", listed)
        service = f"/os-services/{before['services'][0]['id']}"  # type: ignore[index]
        with full_disk(server):
            for method, body in (("PUT", {"status": "disabled"}), ("DELETE", {})):
                status, answer = requests.api(method, service, **body)
                assert status == 503, answer
                assert "the portal's own database failed" in str(answer)
            assert requests.api("GET", listed) == (200, before)
            status, page, _headers = requests.log_in()
            assert (status, "A database does not answer" in page) == (503, True)
            assert requests.send("GET", "/healthz")[0] == 200
            assert requests.send("GET", "/metrics")[0] == 200
        status, answer = requests.api("PUT", service, status="disabled", disabled_reason="fan")
        assert status == 200, answer
    exported = manage("export_audit", **environment)
    assert exported.returncode == 0, exported.stderr
    entries = [json.loads(line) for line in exported.stdout.splitlines()]
    changes = [(entry["action"], entry["outcome"]) for entry in entries if entry["host"]]
    assert changes == [("disable", "done")]
