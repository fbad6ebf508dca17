"""Records what a real Keystone and placement answer, for the servers of the tests.

    python tests/conformance/cloud_answers.py KEYSTONE PLACEMENT > cloud-answers.json

(next to this file).  ``KEYSTONE`` ends with ``/v3``.  Takes the users ``admin`` and ``nova`` with
the password in ``OS_PASSWORD``, and a cloud with a server on one of its hosts.  Nothing is
changed: deleting the provider that the server is on is refused, which is one of the answers.
"""

import json
import os
import sys
from typing import Any

import requests


def main() -> None:
    """Print the document: for each request its method, path, body, status and answer."""
    keystone, placement = sys.argv[1:3]
    answers: dict[str, Any] = {}
    tokens: dict[str, str] = {}

    def keep(name: str, method: str, url: str, version: str = "", **arguments: Any) -> Any:
        headers = {"OpenStack-API-Version": f"placement {version}"} if version else {}
        headers |= {"Accept": "application/json", "X-Auth-Token": tokens.get("admin", "")}
        headers |= arguments.pop("headers", {})
        response = requests.request(method, url, headers=headers, timeout=10, **arguments)
        body = response.json() if response.content else None
        answers[name] = {"status": response.status_code, "body": body}
        return response

    for user, project in (("admin", "admin"), ("nova", "service")):
        response = keep(
            f"token of {user}", "POST", f"{keystone}/auth/tokens", json=who(user, project)
        )
        tokens[user] = response.headers["X-Subject-Token"]
    wrong = who("admin", "admin", password="wrong")
    keep("wrong password", "POST", f"{keystone}/auth/tokens", json=wrong)
    keep("version", "GET", keystone)
    keep("versions", "GET", keystone.removesuffix("/v3"))
    for name, token in (("validated", tokens["admin"]), ("not a token", "nonsense")):
        keep(name, "GET", f"{keystone}/auth/tokens", headers={"X-Subject-Token": token})

    providers = keep("providers", "GET", f"{placement}/resource_providers", "1.14").json()
    for provider in providers["resource_providers"]:
        path = f"{placement}/resource_providers/{provider['uuid']}"
        allocations = keep("allocations", "GET", f"{path}/allocations", "1.14").json()
        if allocations["allocations"]:
            break
    else:
        sys.exit("there must be a server on a host")
    keep("inventories", "GET", f"{path}/inventories", "1.14")
    keep("usages", "GET", f"{path}/usages", "1.14")
    keep("traits", "GET", f"{path}/traits", "1.6")
    keep("aggregates", "GET", f"{path}/aggregates", "1.19")
    consumer = next(iter(allocations["allocations"]))
    keep("consumer", "GET", f"{placement}/allocations/{consumer}", "1.28")
    keep("in use", "DELETE", path)
    stale = {"aggregates": [], "resource_provider_generation": 99999}
    keep("generation conflict", "PUT", f"{path}/aggregates", "1.19", json=stale)
    nowhere = "00000000-0000-4000-8000-000000000000"
    keep("no provider", "DELETE", f"{placement}/resource_providers/{nowhere}")
    keep("no consumer", "GET", f"{placement}/allocations/{nowhere}", "1.28")
    keep("no allocations", "DELETE", f"{placement}/allocations/{nowhere}")
    text = json.dumps(answers, indent=1, sort_keys=True)
    names = {token: f"token-of-{user}" for user, token in tokens.items()}
    names |= {keystone.removesuffix("/v3"): "http://keystone", placement: "http://placement"}
    for value, name in names.items():
        text = text.replace(value, name)
    print(text)


def who(user: str, project: str, password: str = "") -> dict[str, Any]:
    """The body of a request for a token by password."""
    password = password or os.environ["OS_PASSWORD"]
    domain = {"name": "Default"}
    methods = {
        "methods": ["password"],
        "password": {"user": {"name": user, "password": password, "domain": domain}},
    }
    return {
        "auth": {"identity": methods, "scope": {"project": {"name": project, "domain": domain}}}
    }


if __name__ == "__main__":
    main()
