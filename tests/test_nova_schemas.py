"""Answers and requests conform to Nova's own JSON schemas.

``tests/conformance/nova_schemas.py`` dumped them.  Nova validates a response of an action with
the schema of the version; errors have none.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
from oslo_utils import timeutils, uuidutils

from portal import microversions
from services.schemas import UPDATE
from tests.conformance import recording
from tests.conformance.messages import Answer, Request

NOVA = json.loads((Path(__file__).parent / "conformance" / "nova-schemas.json").read_text())
Version = tuple[int, int]
LATEST = (2, 999)
LEGACY = "/v2/"

#: Errors that are raised before the query and body are validated.
EARLIER = {401, 404, 406, 415}


def to_version(text: str) -> Version:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def schema_for(resource: str, action: str, part: str, version: Version) -> dict[str, Any] | None:
    """Nova's schema of a part of the action in that version; ``None`` where it has none."""
    for step in NOVA["endpoints"][resource].get(action, {}).get(part, []):
        low = to_version(step["min"] or "2.0")
        high = to_version(step["max"]) if step["max"] else LATEST
        if low <= version <= high:
            found: dict[str, Any] = NOVA["schemas"][resource][step["schema"]]
            return found
    return None


#: The formats that these schemas use, checked as ``nova/api/validation/validators.py`` does.
FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or bool(timeutils.parse_isotime(value))


@FORMATS.checks("uuid")
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or uuidutils.is_uuid_like(value)


@FORMATS.checks("uri", raises=ValueError)
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


@functools.cache
def _validator(text: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(text), format_checker=FORMATS)


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """The errors of ``value``; empty if it is valid."""
    validator = _validator(json.dumps(schema))
    return [f"{list(e.path)}: {e.message[:200]}" for e in validator.iter_errors(value)]


def action_of(request: Request) -> tuple[str, str] | None:
    """The resource and Nova's name of the action; ``None`` for other paths."""
    parts = urlsplit(request.path).path.split("/")
    name = next((name for name in NOVA["endpoints"] if name in parts), None)
    if name is None:
        return None
    rest = parts[parts.index(name) + 1 :]
    return name, {
        ("GET", 0): "index",
        ("GET", 1): rest[0] if rest[:1] in (["detail"], ["statistics"]) else "show",
        ("GET", 2): rest[1] if len(rest) == 2 else "",
        ("PUT", 1): "update",
        ("DELETE", 1): "delete",
    }.get((request.method, len(rest)), "")


def version_of(request: Request, answer: Answer) -> Version:
    """The version of the answer; 2.1 if microversions do not apply."""
    if request.path.startswith(LEGACY):
        return 2, 1
    line = next((x for x in answer.headers if x.startswith("openstack-api-version: compute ")), "")
    return to_version(line.rpartition(" ")[2]) if line else (2, 1)


def recorded() -> Iterator[tuple[Request, Answer]]:
    """Every recorded request and answer, on PostgreSQL and, where it differs, on MariaDB."""
    for path in recording.files():
        for each in recording.read(path):
            yield each.request, each.answer
            if each.on_mysql is not None:
                yield each.request, each.on_mysql


def test_there_is_a_schema_for_every_version_step() -> None:
    counts = {resource: len(schemas) for resource, schemas in NOVA["schemas"].items()}
    assert counts == {"os-aggregates": 8, "os-hypervisors": 26, "os-services": 13}
    assert NOVA["nova"].startswith("34.")


def test_every_recorded_answer_is_valid() -> None:
    judged: Counter[str] = Counter()
    wrong = []
    for request, answer in recorded():
        what = action_of(request)
        if what is None or answer.status not in (200, 204):
            continue
        schema = schema_for(*what, "response", version_of(request, answer))
        if schema is None:
            continue
        judged[f"{what[0]} {what[1]}"] += 1
        body = None if answer.status == 204 else answer.body
        wrong += [f"{request.name}: {problem}" for problem in problems(schema, body)]
    assert not wrong, "\n".join(wrong[:20])
    assert set(judged) >= {
        "os-services index", "os-services update", "os-services delete", "os-hypervisors index",
        "os-hypervisors detail", "os-hypervisors show", "os-hypervisors statistics",
        "os-hypervisors uptime", "os-hypervisors search", "os-hypervisors servers",
        "os-aggregates index", "os-aggregates show",
    }  # fmt: skip
    assert min(judged.values()) >= 5


def test_every_recorded_request_was_judged_by_its_schemas() -> None:
    """A query or body that Nova's schema refuses was a 400, unless refused earlier."""
    wrong = []
    refused = 0
    for request, answer in recorded():
        what = action_of(request)
        if what is None or answer.status in EARLIER or request.path.startswith(LEGACY):
            continue
        version = version_of(request, answer)
        query = schema_for(*what, "query", version)
        found = []
        if query:
            values = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
            found += problems(query, values)
        schema = schema_for(*what, "body", version)
        if schema and request.body is not None:
            try:
                found += problems(schema, json.loads(request.body))
            except ValueError:
                continue
        if found:
            refused += 1
        # 500: the mistake of Nova 34.0.0 with an empty query schema.
        if found and answer.status not in (400, 500):
            wrong.append(f"{request.name}: {answer.status}, but {found}")
    assert not wrong, "\n".join(wrong[:20])
    assert refused > 100


BODIES: list[Any] = [
    {},
    [],
    None,
    *({"host": host, "binary": "nova-compute"} for host in ("h", "", "a b", "h" * 256, 5, None)),
    *({"host": "h", "binary": binary} for binary in ("b", "", "x" * 255, "x" * 256, None, 1)),
    *({"host": "h", "binary": "b", "disabled_reason": text} for text in ("", "r", "r" * 256, None)),
    *({"host": "h", "binary": "b", "forced_down": flag} for flag in (True, "on", "x", 0, 1, None)),
    *({"forced_down": flag} for flag in (True, False, "yes", "No", "T", "maybe", 0, 1, "1", None)),
    *({"status": status} for status in ("enabled", "disabled", "Enabled", "", None, True)),
    *({"disabled_reason": text} for text in ("", "r", "r" * 255, "r" * 256, None, 5)),
    {"status": "disabled", "disabled_reason": "r", "forced_down": True, "more": 1},
    {"host": "h", "binary": "b", "more": 1},
    {"host": "h"},
    {"binary": "b"},
]


@pytest.mark.parametrize("version", ["2.1", "2.10", "2.11", "2.52", "2.53", "2.96"])
def test_the_portals_schema_of_updates_allows_what_novas_does(version: str) -> None:
    number = to_version(version)
    novas = schema_for("os-services", "update", "body", number)
    assert novas is not None
    ours = UPDATE.at(microversions.Version.parse(version))
    assert ours is not None
    differing = [
        body for body in BODIES if bool(problems(novas, body)) != bool(problems(ours, body))
    ]
    assert not differing
