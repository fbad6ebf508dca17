"""A Keystone and a placement over HTTP, answering as real ones were recorded to.

The recordings are made by ``tests/conformance/cloud_answers.py``.
"""

import copy
import datetime
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

RECORDED = json.loads((Path(__file__).parent / "conformance" / "cloud-answers.json").read_text())

#: Status, body as JSON, further headers.
Reply = tuple[int, Any, dict[str, str]]


@dataclass
class Call:
    """A request that a server got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.path}{'?' if query else ''}{query}"


class Server:
    """An HTTP server on a free port of this machine.  ``calls`` is what it was asked.

    ``broken`` is a status with which it answers everything; while ``awake`` is not set it takes
    requests and does not answer.  ``intercept`` is asked first; what it returns is answered.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.broken = 0
        self.intercept: Callable[[Call], Reply | None] = lambda call: None
        self.awake = threading.Event()
        self.awake.set()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def reply(self, call: Call) -> Reply:
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.awake.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                url = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.loads(text) if text else None
                call = Call(self.command, url.path, query, headers, body)
                status, answer, more = server.answer(call)
                data = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **more}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def answer(self, call: Call) -> Reply:
        with self._lock:
            self.calls.append(call)
        self.awake.wait(30)
        if self.broken:
            return self.broken, {}, {}
        with self._lock:
            return self.intercept(call) or self.reply(call)

    def _recorded(self, name: str) -> Reply:
        found = RECORDED[name]
        text = json.dumps(found["body"]).replace("http://keystone", self.url)
        return found["status"], json.loads(text), {}


class Keystone(Server):
    """Knows the users ``admin`` and ``nova`` with the password ``oracle``, and their tokens."""

    VERSION = {"Vary": "X-Auth-Token"}

    def __init__(self) -> None:
        super().__init__()
        self.lifetime = datetime.timedelta(hours=1)
        # To the tokens' bodies; None removes a part.
        self.changes: dict[str, Any] = {}
        self.changes_of_services: dict[str, Any] = {}

    def reply(self, call: Call) -> Reply:
        if call.path in ("/", ""):
            return self._recorded("versions")
        if call.path.rstrip("/") == "/v3":
            return self._recorded("version")
        if call.path == "/v3/auth/tokens" and call.method == "POST":
            return self._log_in(call.body["auth"])
        if call.path == "/v3/auth/tokens" and call.method == "GET":
            return self._validate(call.headers)
        return 404, {"error": {"code": 404, "title": "Not Found", "message": call.path}}, {}

    def _log_in(self, auth: dict[str, Any]) -> Reply:
        user = auth["identity"]["password"]["user"]
        name = user["name"]
        if f"token of {name}" not in RECORDED or user["password"] != "oracle":
            return self._recorded("wrong password")
        status, body, _ = self._token(name)
        return status, body, {"X-Subject-Token": f"token-of-{name}"}

    def _validate(self, headers: dict[str, str]) -> Reply:
        if headers.get("x-auth-token") != "token-of-nova":
            return self._recorded("wrong password")
        name = headers["x-subject-token"].removeprefix("token-of-")
        if f"token of {name}" not in RECORDED:
            return self._recorded("not a token")
        _, body, _ = self._token(name)
        return 200, body, {}

    def _token(self, name: str) -> Reply:
        status, body, headers = self._recorded(f"token of {name}")
        expires = datetime.datetime.now(datetime.UTC) + self.lifetime
        body["token"]["expires_at"] = expires.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        changes = self.changes_of_services if name == "nova" else self.changes
        changed = body["token"] | changes
        body["token"] = {key: value for key, value in changed.items() if value is not None}
        return status, body, headers

    @property
    def validations(self) -> int:
        """How often it was asked about a token."""
        return sum(call.method == "GET" and call.path == "/v3/auth/tokens" for call in self.calls)


def keystone_conf(server: Keystone, policy: Path) -> str:
    """The nova.conf of a cloud with this Keystone and policy file."""
    return f"""[keystone_authtoken]
auth_type = password
auth_url = {server.url}/v3
www_authenticate_uri = https://keystone.example.net/v3
username = nova
password = oracle
project_name = service
user_domain_name = Default
project_domain_name = Default
service_type = compute
[oslo_policy]
policy_file = {policy}
"""


@dataclass
class Stored:
    """A resource provider."""

    uuid: str
    name: str
    parent: str | None = None
    aggregates: list[str] = field(default_factory=list)
    generation: int = 1
    traits: list[str] = field(default_factory=list)


class Placement(Server):
    """Resource providers and what consumers have of them; inventories are the recorded ones."""

    def __init__(self) -> None:
        super().__init__()
        self.providers: dict[str, Stored] = {}
        self.allocations: dict[str, dict[str, dict[str, int]]] = {}  # by consumer and provider

    def add(self, *providers: Stored) -> None:
        self.providers.update({provider.uuid: provider for provider in providers})

    def reply(self, call: Call) -> Reply:
        match call.path.strip("/").split("/"):
            case ["resource_providers"]:
                return self._list(call.query)
            case ["resource_providers", uuid] if call.method == "DELETE":
                return self._delete(uuid)
            case ["resource_providers", uuid, part] if uuid in self.providers:
                return self._part(self.providers[uuid], part, call)
            case ["allocations", consumer]:
                return self._consumer(consumer, call)
        return self._recorded("no provider")

    def _list(self, query: dict[str, str]) -> Reply:
        found = list(self.providers.values())
        if "name" in query:
            found = [provider for provider in found if provider.name == query["name"]]
        if "required" in query:
            found = [provider for provider in found if query["required"] in provider.traits]
        if "in_tree" in query:
            found = [
                provider
                for provider in found
                if query["in_tree"] in self.providers
                and self._root(provider) == self._root(self.providers[query["in_tree"]])
            ]
        return 200, {"resource_providers": [self._described(each) for each in found]}, {}

    def _root(self, provider: Stored) -> str:
        return provider.uuid if provider.parent is None else self._root(self._parent(provider))

    def _parent(self, provider: Stored) -> Stored:
        assert provider.parent is not None
        return self.providers[provider.parent]

    def _described(self, provider: Stored) -> dict[str, Any]:
        described: dict[str, Any] = copy.deepcopy(
            RECORDED["providers"]["body"]["resource_providers"][0]
        )
        return described | {
            "uuid": provider.uuid,
            "name": provider.name,
            "generation": provider.generation,
            "parent_provider_uuid": provider.parent,
            "root_provider_uuid": self._root(provider),
        }

    def _part(self, provider: Stored, part: str, call: Call) -> Reply:
        generation = {"resource_provider_generation": provider.generation}
        if part == "aggregates":
            if call.method == "PUT":
                if call.body["resource_provider_generation"] != provider.generation:
                    return self._recorded("generation conflict")
                provider.aggregates = call.body["aggregates"]
                provider.generation += 1
            return 200, {"aggregates": provider.aggregates, **generation}, {}
        if part == "allocations":
            found = {
                consumer: {"resources": by_provider[provider.uuid]}
                for consumer, by_provider in self.allocations.items()
                if provider.uuid in by_provider
            }
            return 200, {"allocations": found, **generation}, {}
        return self._recorded(part)

    def _delete(self, uuid: str) -> Reply:
        if uuid not in self.providers:
            return self._recorded("no provider")
        used = any(uuid in by_provider for by_provider in self.allocations.values())
        if used or any(provider.parent == uuid for provider in self.providers.values()):
            return self._recorded("in use")
        del self.providers[uuid]
        return 204, None, {}

    def _consumer(self, consumer: str, call: Call) -> Reply:
        if call.method == "DELETE":
            if self.allocations.pop(consumer, None) is None:
                return self._recorded("no allocations")
            return 204, None, {}
        if call.method == "PUT":
            assert {"project_id", "user_id", "consumer_generation"} < set(call.body)
            kept = call.body["allocations"]
            self.allocations[consumer] = {
                provider: data["resources"] for provider, data in kept.items()
            }
            return 204, None, {}
        if consumer not in self.allocations:
            return self._recorded("no consumer")
        found = {
            provider: {"generation": self.providers[provider].generation, "resources": amounts}
            for provider, amounts in self.allocations[consumer].items()
        }
        status, body, headers = self._recorded("consumer")
        return status, body | {"allocations": found}, headers
