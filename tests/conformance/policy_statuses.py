"""Compares what nova-api and the portal let the users of a running cloud do.

    python tests/conformance/policy_statuses.py KEYSTONE NOVA PORTAL USER/PROJECT ...

``KEYSTONE`` ends with ``/v3``, the two others have no path; all users have the password in
``OS_PASSWORD``.  Every endpoint is asked at three microversions, with a token of each user, without
one, and with one that is not valid.  Nothing is changed: what is to be changed does not exist.
Prints the requests whose status or refusal differs, and exits with their number (at most 100).

To compare under other rules, put the same ``policy.yaml`` before both; they read it again.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import requests

from tests.conformance.cloud_answers import who

VERSIONS = ("2.1", "2.53", "2.96")
NOWHERE = "00000000-0000-4000-8000-000000000000"
HOST = {"host": "no-such-host", "binary": "nova-compute"}


def endpoints(nova: str, token: str) -> Iterator[tuple[str, str, Any]]:
    """Method, path and body of a request to each endpoint, for what there is in the cloud."""
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.53"}

    def first(resource: str) -> dict[str, Any]:
        answer = requests.get(f"{nova}/v2.1/{resource}", headers=headers, timeout=60).json()
        [rows] = (rows for rows in answer.values() if isinstance(rows, list) and rows)
        return dict(rows[0])

    node = first("os-hypervisors")
    yield "GET", "/os-services", None
    yield "GET", "/os-services?binary=nova-compute", None
    for action in ("enable", "disable", "force-down"):
        yield "PUT", f"/os-services/{action}", HOST
    yield "PUT", "/os-services/disable-log-reason", HOST | {"disabled_reason": "x"}
    yield "PUT", f"/os-services/{NOWHERE}", {"status": "disabled"}
    for service in (NOWHERE, "999999"):
        yield "DELETE", f"/os-services/{service}", None
    name = node["hypervisor_hostname"]
    for path in ("", "/detail", "/statistics", f"/{name}/search", f"/{name}/servers"):
        yield "GET", f"/os-hypervisors{path}", None
    yield "GET", f"/os-hypervisors?hypervisor_hostname_pattern={name}", None
    for one in (node["id"], NOWHERE, "999999"):
        yield "GET", f"/os-hypervisors/{one}", None
    yield "GET", f"/os-hypervisors/{node['id']}?with_servers=True", None
    yield "GET", f"/os-hypervisors/{NOWHERE}/uptime", None
    for path in ("", "/999999"):
        yield "GET", f"/os-aggregates{path}", None


def asked(
    base: str, method: str, path: str, version: str, token: str, body: Any
) -> tuple[int, Any]:
    """The status, and the body of a refusal."""
    headers = {"OpenStack-API-Version": f"compute {version}", "Accept": "application/json"}
    if token:
        headers["X-Auth-Token"] = token
    answer = requests.request(method, f"{base}/v2.1{path}", headers=headers, json=body, timeout=60)
    return answer.status_code, answer.json() if answer.status_code >= 400 else None


def main() -> int:
    """The number of differences."""
    keystone, nova, portal, *users = sys.argv[1:]
    tokens = {"nobody": "", "a stranger": "not-a-token"}
    for each in users:
        user, project = each.split("/")
        answer = requests.post(f"{keystone}/auth/tokens", json=who(user, project), timeout=60)
        answer.raise_for_status()
        tokens[each] = answer.headers["X-Subject-Token"]
    differences, statuses = 0, Counter[tuple[str, int]]()
    for method, path, body in endpoints(nova, tokens[users[0]]):
        for version in VERSIONS:
            for name, token in tokens.items():
                arguments = (method, path, version, token, body)
                theirs, ours = asked(nova, *arguments), asked(portal, *arguments)
                statuses[name, theirs[0]] += 1
                if theirs != ours:
                    differences += 1
                    print(f"{method} {path} at {version} by {name}:\n  {theirs}\n  {ours}")
    for (name, status), count in sorted(statuses.items()):
        print(f"{name}: {count} times {status}")
    print(f"{differences} of {statuses.total()} differ")
    return min(differences, 100)


if __name__ == "__main__":
    os.environ.setdefault("OS_PASSWORD", "")
    sys.exit(main())
