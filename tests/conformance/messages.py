"""Requests, and answers normalised for comparison."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from io import BytesIO
from typing import Any, Protocol, cast
from urllib.parse import unquote_to_bytes, urlsplit

from django.http import HttpResponse
from django.test.client import ClientHandler

NEW_HEADER = "OpenStack-API-Version"
LEGACY_HEADER = "X-OpenStack-Nova-API-Version"
JSON = "application/json"

#: Headers of the connection and the server, not of the API.
TRANSPORT = frozenset({"connection", "date", "server", "transfer-encoding", "keep-alive"})
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ORIGIN = re.compile(r"https?://[^/\"\s]+(?=/v2)")


@dataclass(frozen=True)
class Request:
    """One request.  ``token`` is a user of the fleet (``admin``, ``member``) or ``None``."""

    endpoint: str  # the group that the report counts it in
    method: str
    path: str  # as it is sent, with the query string
    version: str = ""  # asked for by OpenStack-API-Version; empty asks for none
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # besides version, token and type
    token: str | None = "admin"
    content_type: str | None = JSON  # sent when there is a body
    state: str = ""  # of the cloud, unless everything works: see ``states``

    @property
    def name(self) -> str:
        """The request as one readable line."""
        parts = [self.method, self.path, f"@{self.version or '-'}"]
        parts += [f"[{key}: {value}]" for key, value in self.headers.items()]
        if self.token != "admin":
            parts.append(f"[token {self.token}]")
        if self.body is not None:
            parts += [f"[{self.content_type}]"] if self.content_type != JSON else []
            parts.append(self.body)
        return " ".join(parts)

    @property
    def key(self) -> tuple[str, str]:
        """The state of the cloud and the name: unique in the catalogue."""
        return self.state, self.name

    @property
    def writes(self) -> bool:
        """Whether it may change rows."""
        return self.method not in ("GET", "HEAD", "OPTIONS")

    def all_headers(self) -> dict[str, str]:
        """Every header to send, except the token."""
        headers = dict(self.headers)
        if self.version:
            headers[NEW_HEADER] = f"compute {self.version}"
        if self.body is not None and self.content_type is not None:
            headers["Content-Type"] = self.content_type
        return headers

    def payload(self) -> bytes | None:
        return None if self.body is None else self.body.encode("utf-8", "surrogatepass")


@dataclass
class Answer:
    """An answer in comparable form.

    ``headers`` are ``name: value`` lines, sorted; ``body`` is what JSON gave, or text.
    ``effect`` is what the request did to the rows (see ``fleet.World``).
    """

    status: int
    headers: list[str]
    body: Any = None
    effect: list[list[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, method: str, status: int, headers: list[tuple[str, str]], raw: bytes) -> "Answer":
        """Create one from a server's response; a correct ``Content-Length`` is omitted."""
        lines = [
            f"{name.lower()}: {normal(value)}"
            for name, value in headers
            if name.lower() not in TRANSPORT
        ]
        right = "content-length: " if method == "HEAD" else f"content-length: {len(raw)}"
        lines = [line for line in lines if not line.startswith(right)]
        text = raw.decode("utf-8", "replace")
        try:
            body = normal(json.loads(text))
        except ValueError:
            body = normal(text) or None
        return cls(status, sorted(lines), body)

    def header(self, name: str) -> list[str]:
        """The values of a header."""
        prefix = f"{name.lower()}: "
        return [line.removeprefix(prefix) for line in self.headers if line.startswith(prefix)]


def normal(value: Any) -> Any:
    """``value`` with placeholders for request ids and the server's own address."""
    if isinstance(value, str):
        return ORIGIN.sub("http://host", REQUEST_ID.sub("req-*", value))
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    return value


class Server(Protocol):
    """A server that answers requests."""

    def send(self, request: Request) -> Answer: ...


class OverHTTP:
    """A server at an address."""

    def __init__(self, address: str) -> None:
        self.netloc = urlsplit(address).netloc

    def send(self, request: Request) -> Answer:
        connection = HTTPConnection(self.netloc, timeout=120)
        try:
            connection.putrequest(request.method, request.path, skip_accept_encoding=True)
            for name, value in request.all_headers().items():
                connection.putheader(name, value.encode())
            if request.token is not None:
                connection.putheader("X-Auth-Token", request.token)
            payload = request.payload()
            if payload is not None:
                connection.putheader("Content-Length", str(len(payload)))
            connection.endheaders(payload)
            response = connection.getresponse()
            return Answer.of(
                request.method, response.status, response.getheaders(), response.read()
            )
        finally:
            connection.close()


class InProcess:
    """The portal in this process, called as a WSGI server calls it.

    ``tokens`` are the texts of the portal's tokens by user.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self.handler = ClientHandler(enforce_csrf_checks=True)
        self.tokens = tokens

    def send(self, request: Request) -> Answer:
        path, _, query = request.path.partition("?")
        payload = request.payload()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "host",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "host",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(payload or b""),
            "wsgi.errors": BytesIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if payload is not None:
            environ["CONTENT_LENGTH"] = str(len(payload))
        if request.token is not None:
            environ["HTTP_X_AUTH_TOKEN"] = self.tokens[request.token]
        for name, value in request.all_headers().items():
            key = name.upper().replace("-", "_")
            key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
            environ[key] = value.encode().decode("latin-1")
        response = cast(HttpResponse, self.handler(environ))
        headers = [(name, str(value)) for name, value in response.items()]
        return Answer.of(request.method, response.status_code, headers, response.content)
