"""Requests that no client would send, at a portal served by gunicorn: none may end in a 5xx.

``python -m tests.fuzz --requests 10000 --seed 1`` sends them as an anonymous client, a viewer, an
operator and a superuser, as JSON clients and as browsers.  The same seed gives the same requests.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

from tests.commands import environment, manage
from tests.odd_input import (
    ACCEPTS,
    ACTIONS,
    API_PATHS,
    FIELDS,
    HEADERS,
    JSONS,
    METHODS,
    ODD,
    OTHERS,
    PAGES,
    PARAMETERS,
    TYPES,
    VERSIONS,
)
from tests.servers import serve

#: What an answer may take, in seconds.
SLOW = 1.0
CLIENTS = 4
ROLES = ("anonymous", "viewer", "operator", "admin")
#: The double-submitted token of the console's forms.
CSRF = "a" * 32

SETUP = """
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, User
from hypervisors.models import ComputeNode
from cells.registry import all_cells
from portal.models import ApiToken
from services.models import Service
Store = import_module(settings.SESSION_ENGINE).SessionStore
for n in range(5):
    ApiToken.objects.issue(User.objects.create_user(f"victim{n}"), name="x")
made = {"roles": {}, "uuids": [], "hosts": []}
for role, group in (("viewer", "reader"), ("operator", "admin"), ("admin", None)):
    user = User.objects.create_user(f"a {role}", is_superuser=group is None, is_staff=group is None)
    if group:
        user.groups.add(Group.objects.get(name=group))
    session = Store()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    made["roles"][role] = [ApiToken.objects.issue(user)[1], session.session_key]
for cell in all_cells():
    for model in (Service, ComputeNode):
        made["uuids"] += [u for u in model.objects.using(cell.alias).values_list("uuid", flat=True)[:5] if u]
    made["hosts"] += list(Service.objects.using(cell.alias).values_list("host", flat=True)[:5])
print("MADE" + json.dumps(made))
"""

# --- making them ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """What is there: each role's token and session, and some uuids and hosts."""

    roles: dict[str, tuple[str, str]]
    uuids: list[str]
    hosts: list[str]


class Maker:
    """Makes requests, as bytes, always the same for a seed."""

    def __init__(self, seed: str, known: Known) -> None:
        self.random = random.Random(seed)
        self.known = known

    def request(self) -> bytes:
        """The next one; the server closes the connection after it."""
        pick = self.random.choice
        role = pick(ROLES)
        browser = self.random.random() < 0.5
        headers = [(b"Connection", b"close")]
        path = self._path(browser)
        method = pick(METHODS)
        if role != "anonymous":
            token, session = self.known.roles[role]
            if browser:
                cookie = f"sessionid={session}; csrftoken={CSRF}"
                headers += [(b"Cookie", cookie.encode()), (b"X-CSRFToken", CSRF.encode())]
            else:
                headers.append((b"X-Auth-Token", token.encode()))
        if browser:
            headers.append((b"Accept", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"))
        elif self.random.random() < 0.7:
            headers.append((b"Accept", pick(ACCEPTS)))
        if self.random.random() < 0.6:
            headers.append((b"OpenStack-API-Version", pick(VERSIONS[:4] * 2 + VERSIONS)))
        headers += self.random.choices(HEADERS, k=pick([0, 0, 0, 1, 1, 2]))
        if not any(name == b"Host" for name, _value in headers):
            headers.append((b"Host", b"127.0.0.1"))
        if self.random.random() < 0.05:
            headers += headers  # each of them twice
        body = (
            self._body(headers, browser) if method not in ("GET", "HEAD") or self._rarely() else b""
        )
        return self._assemble(method, path, headers, body)

    def _rarely(self) -> bool:
        return self.random.random() < 0.05

    def _value(self) -> str:
        """Part of a URL."""
        choice = self.random.random()
        if choice < 0.25:
            return self.random.choice(self.known.uuids)
        if choice < 0.35:
            return quote(self.random.choice(self.known.hosts))
        if choice < 0.4:
            return str(uuid.UUID(int=self.random.getrandbits(128)))
        if choice < 0.5:
            return str(self.random.randint(1, 5))
        if choice < 0.6:
            return quote_from_bytes(self.random.randbytes(self.random.randint(1, 40)))
        return self.random.choice(ODD)

    def _filled(self, template: str) -> str:
        while "{}" in template:
            template = template.replace("{}", self._value(), 1)
        return template

    def _path(self, browser: bool) -> str:
        choice = self.random.random()
        if choice < 0.1:
            path = self.random.choice(OTHERS)
        elif choice < (0.35 if browser else 0.9):
            path = self.random.choice(["/v2.1", "/v2.1", "/v2"]) + self.random.choice(API_PATHS)
        else:
            path = "/admin/" + self.random.choice(PAGES)
        path = self._filled(path)
        pairs = [
            f"{self.random.choice(PARAMETERS)}={self._value()}"
            for _ in range(self.random.choice([0, 0, 1, 1, 2, 3, 8]))
        ]
        if self._rarely():
            pairs = ["a=1"] * 1200
        query = "&".join(pairs)
        return f"{path}?{query}" if query else path

    def _body(self, headers: list[tuple[bytes, bytes]], browser: bool) -> bytes:
        if browser and self.random.random() < 0.8:
            if self.random.random() < 0.8:
                headers.append((b"Content-Type", b"application/x-www-form-urlencoded"))
                return self._form()
            headers.append((b"Content-Type", self.random.choice(TYPES)))
            return self._multipart() if self.random.random() < 0.7 else self._form()
        headers.append((b"Content-Type", self.random.choice(TYPES[:1] * 8 + TYPES)))
        if self.random.random() < 0.4:
            values: list[object] = [
                None,
                True,
                False,
                0,
                -1,
                2**70,
                1.5,
                "",
                "x",
                "disabled",
                "enabled",
                [],
                {},
                [{}],
            ]
            names = ["host", "binary", "status", "disabled_reason", "forced_down", "x"]
            values += ["nova-compute", *self.known.hosts]
            body = {
                self.random.choice(names): self.random.choice(values)
                for _ in range(self.random.randint(0, 5))
            }
            return json.dumps(body).encode()
        return self.random.choice(JSONS)

    def _form(self) -> bytes:
        pairs = []
        for _ in range(self.random.choice([0, 1, 2, 3, 5, 8])):
            name = self.random.choice(FIELDS)
            value = self._value() if name != "action" else self.random.choice(ACTIONS)
            pairs.append(f"{name}={value}")
        pairs += [f"host:{self._value()}={self._value()}"] * self.random.choice([0, 0, 1])
        pairs += ["key=" + self.random.choice(self.known.uuids)] * self.random.choice([0, 1])
        if self._rarely():
            pairs += ["key=x"] * 2500
        if self._rarely():
            pairs.append("reason=" + "x" * 300_000)
        return "&".join(pairs).encode()

    def _multipart(self) -> bytes:
        parts = []
        for _ in range(self.random.randint(0, 4)):
            name = self.random.choice([*FIELDS, '"', "\r\nX: y", "\u20ac"]).encode()
            more = self.random.choice(
                [b"", b'; filename="\xff/../x"', b"; filename*=utf-8''%ff", b"; ="]
            )
            kind = self.random.choice(
                [b"", b"Content-Type: \xff/x\r\n", b"Content-Transfer-Encoding: base64\r\n"]
            )
            value = self.random.choice(
                [b"x", b"", b"\0", b"\xed\xa0\x80", b"!!!", self.random.randbytes(30)]
            )
            parts.append(
                b'--x\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n"
                + kind + b"\r\n" + value + b"\r\n"
            )  # fmt: skip
        return b"".join(parts) + self.random.choice([b"--x--\r\n", b"--x", b""])

    def _assemble(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> bytes:
        chunked = bool(body) and self.random.random() < 0.2
        length = str(len(body)).encode()
        if chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
            body = self._chunks(body)
        elif body or self._rarely():
            lies = [b"-1", b"x", b"+5", b"0", b"1" * 400, b"", length + b", " + length]
            headers.append(
                (b"Content-Length", self.random.choice(lies) if self._rarely() else length)
            )
        head = f"{method} {path} HTTP/1.1\r\n".encode()
        return head + b"".join(b"%s: %s\r\n" % pair for pair in headers) + b"\r\n" + body

    def _chunks(self, body: bytes) -> bytes:
        if self.random.random() < 0.2:
            return self.random.choice(
                [b"x\r\n", b"-1\r\n\r\n", b"5\r\nab", b"0\r\nX: \xff\r\n\r\n", b"g" * 9000]
            )
        size = self.random.choice([1, 7, 1000, len(body)]) if len(body) < 5000 else 4096
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


# --- sending them -----------------------------------------------------------------------------


@dataclass
class Findings:
    """What was answered, and every request that was answered wrongly, with what is wrong."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    wrong: list[tuple[str, bytes]] = field(default_factory=list)

    def note(self, request: bytes, status: int, seconds: float, slow: float) -> None:
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)
        if status >= 500:
            self.wrong.append((str(status), request))
        elif seconds > slow:
            self.wrong.append((f"{seconds:.1f} s", request))


def send(port: int, request: bytes, timeout: float = 20) -> int:
    """The status of the answer; 0 for a connection that is closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        answer = b""
        try:
            connection.sendall(request)
            # A length that promises more than there is must not keep the server waiting.
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                answer = (answer + data)[:100].removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        except TimeoutError:
            raise
        except OSError:  # answered, or given up, before all of it was read
            pass
    status = answer[9:12]
    return int(status) if answer.startswith(b"HTTP/1.") and status.isdigit() else 0


def fuzz(port: int, known: Known, requests: int, seed: str, slow: float = SLOW) -> Findings:
    """Send so many requests, from several clients at a time."""
    findings = Findings()
    lock = threading.Lock()

    def run(client: int) -> None:
        maker = Maker(f"{seed}/{client}", known)
        for _ in range(requests // CLIENTS):
            request = maker.request()
            began = time.monotonic()
            try:
                status = send(port, request)
            except TimeoutError:
                status = 599  # hung
            with lock:
                findings.note(request, status, time.monotonic() - began, slow)

    threads = [threading.Thread(target=run, args=[client]) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return findings


@contextmanager
def fuzzed_portal() -> Iterator[tuple[int, Known, Callable[[], str]]]:
    """A small embedded portal with users of all roles: its port, what is in it, and its log."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        settings = environment(
            VAR_DIR=folder,
            SECRET_KEY="only for tests " * 4,
            SERVICE_DOWN_TIME="86400",
            LOGIN_FAILURES="100000",  # or all but valid logins would end in 429
        )
        made = manage("demo", "--cells=2", "--hosts-per-cell=4", **settings)
        assert made.returncode == 0, made.stderr
        said = manage("shell", "-c", SETUP, **settings)
        assert "MADE" in said.stdout, said.stderr
        known = Known(**json.loads(said.stdout.partition("MADE")[2]))
        log = Path(folder) / "gunicorn.log"
        with serve(settings, log) as server:
            yield int(server.url.rpartition(":")[2]), known, log.read_text


def errors_in(log: str) -> Iterator[str]:
    """The end of each traceback: the line of code, and the error."""
    lines = log.splitlines()
    for at, line in enumerate(lines):
        if (at and lines[at - 1].startswith(" ") and not line.startswith(" ")) or "Error: " in line:
            yield "\n".join(lines[max(0, at - 5) : at + 1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", default="1", metavar="S")
    options = parser.parse_args()
    with fuzzed_portal() as (port, known, log):
        began = time.monotonic()
        findings = fuzz(port, known, options.requests, options.seed)
        taken = time.monotonic() - began
        for what, request in findings.wrong[:20]:
            print(f"{what}: {request[:1500]!r}\n")
        if findings.wrong:
            for error in sorted(set(errors_in(log()))):
                print(error)
    print(
        f"seed {options.seed}: {sum(findings.statuses.values())} requests in {taken:.0f} s, "
        f"slowest {findings.slowest:.2f} s, {len(findings.wrong)} wrong; by status: "
        f"{dict(sorted(findings.statuses.items()))}"
    )
    return bool(findings.wrong)


if __name__ == "__main__":
    sys.exit(main())
