"""Samples of answers for the API's descriptions, below ``portal/api/samples``.

``<resource>/v<version>/<name>.json``, extracted from recorded answers of the real Nova, with lists
truncated.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.conformance.fleet import Rows
from tests.conformance.messages import Answer, Request
from tests.conformance.picks import Picks
from tests.conformance.recording import Recorded
from tests.conformance.states import CELL_DOWN

DIRECTORY = Path(__file__).resolve().parents[2] / "portal" / "api" / "samples"
#: How many entries of a list a sample shows.
ENTRIES = 2


def samples(rows: Rows) -> Iterator[tuple[str, Request]]:
    """The path of each sample below the directory, and its request."""
    picks = Picks(rows)
    service = picks.plain()
    node = picks.node_of(service)
    late = picks.unique("compute_nodes")[1]
    named = {"host": service["host"], "binary": service["binary"]}

    def listed(version: str, name: str, path: str, more: str = "") -> tuple[str, Request]:
        resource = path.partition("/")[0].partition("?")[0]
        request = Request("", "GET", f"/v2.1/{path}{more}", version)
        return f"{resource}/v{version}/{name}.json", request

    def put(version: str, name: str, path: str, body: dict[str, Any]) -> tuple[str, Request]:
        request = Request("", "PUT", f"/v2.1/os-services/{path}", version, json.dumps(body))
        return f"os-services/v{version}/{name}.json", request

    yield "versions/versions.json", Request("", "GET", "/")
    yield "versions/v2.1.json", Request("", "GET", "/v2.1/")
    for version in ("2.1", "2.11", "2.53"):
        yield listed(version, "list", "os-services")
    gone = next(service for service in picks.computes() if service["cell"] == "cell2")
    path = f"/v2.1/os-services?host={gone['host']}"
    yield "os-services/v2.69/list-unknown.json", Request("", "GET", path, "2.69", state=CELL_DOWN)
    yield put("2.1", "disable", "disable", named)
    yield put("2.1", "enable", "enable", named)
    reason = named | {"disabled_reason": "because"}
    yield put("2.1", "disable-log-reason", "disable-log-reason", reason)
    yield put("2.11", "force-down", "force-down", named | {"forced_down": True})
    body = {"status": "disabled", "disabled_reason": "because"}
    yield put("2.53", "update", service["uuid"], body)
    for version in ("2.1", "2.41"):
        yield listed(version, "list", "os-aggregates")
        yield listed(version, "show", "os-aggregates/3")
    for version in ("2.1", "2.33", "2.53", "2.88"):
        yield listed(version, "list", "os-hypervisors")
    for version in ("2.1", "2.28", "2.53", "2.88"):
        servers = "?with_servers=true" if version == "2.53" else ""
        yield listed(version, "detail", f"os-hypervisors/detail{servers}")
    for version in ("2.1", "2.28"):
        yield listed(version, "show", f"os-hypervisors/{late['id']}")
    for version in ("2.53", "2.88"):
        yield listed(version, "show", f"os-hypervisors/{node['uuid']}")
    empty = picks.node_of(picks.deletable()[0])
    path = f"os-hypervisors/{empty['uuid']}?with_servers=true"
    yield listed("2.75", "show-without-servers", path)
    for version in ("2.33", "2.53"):
        yield listed(version, "page", "os-hypervisors?limit=2")
    yield listed("2.1", "uptime", f"os-hypervisors/{late['id']}/uptime")
    yield listed("2.53", "uptime", f"os-hypervisors/{node['uuid']}/uptime")
    yield listed("2.1", "statistics", "os-hypervisors/statistics")
    for kind in ("search", "servers"):
        yield listed("2.1", kind, f"os-hypervisors/{node['hypervisor_hostname']}/{kind}")


def by_request(recorded: Iterable[Recorded]) -> dict[tuple[str, str], Answer]:
    """Answers by the key of the request."""
    return {entry.request.key: entry.answer for entry in recorded}


def sample(answer: Answer) -> str:
    """An answer as a sample: its indented body, with lists truncated."""
    body = answer.body
    if isinstance(body, dict):
        body = {
            key: value[:ENTRIES] if key in ("services", "hypervisors", "aggregates") else value
            for key, value in body.items()
        }
        service = body.get("service", {})
        if answer.effect and service.get("updated_at"):
            body = {"service": service | {"updated_at": "2026-06-01T12:00:00.000000"}}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def write(rows: Rows, recorded: Iterable[Recorded]) -> None:
    """Replace all samples; raises ``KeyError`` if the catalogue lacks a request."""
    answers = by_request(recorded)
    for old in DIRECTORY.rglob("*.json"):
        old.unlink()
    for name, request in samples(rows):
        path = DIRECTORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sample(answers[request.key]))
