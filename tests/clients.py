"""A client of the compute API within the process."""

import json
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client

from portal.models import ApiToken


@dataclass
class Answer:
    """A response: ``body`` is its JSON (``None`` if it is not JSON), ``text`` its raw text."""

    status: int
    headers: Any
    body: Any
    text: str

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


def fault(answer: Answer) -> tuple[int, str]:
    """Status and message of an error."""
    [body] = answer.body.values()
    assert body["code"] == answer.status
    return answer.status, body["message"]


def names(answer: Answer) -> list[str]:
    """The names in a list of hypervisors."""
    assert answer.status == 200, answer.text
    return [hypervisor["hypervisor_hostname"] for hypervisor in answer["hypervisors"]]


class ApiClient:
    """Requests with a token.  Paths are below ``/v2.1`` unless they start with ``/v2``.

    ``version`` is the requested microversion; other keyword arguments are headers, with
    underscores for hyphens (``Accept="text/html"``).
    """

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.client = Client()

    def get(self, path: str, version: str | None = None, **headers: str) -> Answer:
        return self.send("GET", path, version, headers=headers)

    def head(self, path: str, version: str | None = None, **headers: str) -> Answer:
        return self.send("HEAD", path, version, headers=headers)

    def put(self, path: str, body: Any, version: str | None = None, **headers: str) -> Answer:
        return self.send("PUT", path, version, body, headers=headers)

    def delete(self, path: str, version: str | None = None, **headers: str) -> Answer:
        return self.send("DELETE", path, version, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        version: str | None = None,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request; ``body`` is sent as JSON, or unchanged if it is bytes."""
        all_headers = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.token is not None:
            all_headers.setdefault("X-Auth-Token", self.token)
        if version is not None:
            all_headers.setdefault("OpenStack-API-Version", f"compute {version}")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        content_type = all_headers.pop("Content-Type", "application/json")
        response = self.client.generic(
            method,
            path if path.startswith("/v2") else f"/v2.1{path}",
            data,
            content_type if data else "",
            headers=all_headers,
        )
        text = response.content.decode()
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return Answer(
            response.status_code,
            response.headers,
            json.loads(text) if is_json and text else None,
            text,
        )

    def as_user(self, name: str, *roles: str) -> "ApiClient":
        """A client with the token of another user, who has these roles (groups)."""
        user, _ = User.objects.get_or_create(username=name)
        user.groups.set([Group.objects.get_or_create(name=role)[0] for role in roles])
        return ApiClient(ApiToken.objects.issue(user)[1])

    def anonymous(self) -> "ApiClient":
        """A client without a token."""
        return ApiClient(None)
