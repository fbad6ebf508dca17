"""The catalogue's requests to os-aggregates."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.conformance.catalogue import get
from tests.conformance.messages import Request
from tests.conformance.picks import Picks

ENDPOINT = "GET os-aggregates"
PATH = "/v2.1/os-aggregates"
#: Just before and at each version that changed aggregates, the first, and the last.
SIDES = ("", "2.1", "2.40", "2.41", "2.101", "2.102", "2.104", "latest", "foo", "2.999")
VERSIONS = ("2.1", "2.41", "2.102")


def aggregates(picks: Picks) -> Iterator[Request]:
    """Every request to os-aggregates."""
    rows = picks.rows["api"]["aggregates"]
    first = rows[0]
    yield from get(ENDPOINT, PATH, SIDES)
    yield from get(ENDPOINT, f"{PATH}/{first['id']}", SIDES)
    for query in ("foo=1", "limit=1", "marker=1", "foo", "&", "=1", "%ff=1", "name=c1-zone"):
        for path in (PATH, f"{PATH}/{first['id']}"):
            yield from get(ENDPOINT, f"{path}?{query}", ("2.1", "2.101", "2.102"))
    for row in rows:
        yield from get(ENDPOINT, f"{PATH}/{row['id']}", VERSIONS)
    for id in (
        *("0", "-1", "99999", "2147483647", "2147483648", "9" * 20, "9" * 3000, "01", "+1"),
        *(
            " 1",
            "1 ",
            "1_0",
            "1.0",
            "1e0",
            "0x1",
            "abc",
            "None",
            "\u0661",
            "\0",
            "1\0",
            "%",
            "detail",
        ),
        *(first["uuid"], first["name"], "a" * 300, "\u00e9"),
    ):
        yield from get(ENDPOINT, f"{PATH}/{quote(id)}", VERSIONS)
        yield from get(ENDPOINT, f"{PATH}/{quote(id)}?foo=1", ("2.102",))
    for path in ("", "/1", "/abc", "/99999", "?foo=1", "/1?foo=1"):
        yield from get(ENDPOINT, f"/v2/os-aggregates{path}", ("", "2.102"))
        for token in ("member", None):
            yield from get(ENDPOINT, f"{PATH}{path}", ("2.1", "2.102"), token=token)
    for path in ("/", "/1/", "/1/action", "/1/images", "/1/x", ".json"):
        yield from get(ENDPOINT, f"{PATH}{path}", ("2.1", "2.102"))
    for method in ("HEAD", "OPTIONS", "PATCH"):
        for path in ("", "/1", "/99999", "/abc"):
            yield Request(ENDPOINT, method, f"{PATH}{path}", "2.41")
    yield from changes(first)


def changes(first: dict[str, Any]) -> Iterator[Request]:
    """What Nova does with an aggregate, and the portal leaves to it."""
    change = {"aggregate": {"name": "new name"}}
    for method, path, body in (
        ("POST", "", change),
        ("POST", "", {}),
        ("PUT", f"/{first['id']}", change),
        ("PUT", "/99999", change),
        ("POST", f"/{first['id']}/action", {"add_host": {"host": "nope"}}),
        ("POST", f"/{first['id']}/action", {"set_metadata": {"metadata": {"a": "b"}}}),
    ):
        for version in VERSIONS:
            yield Request(ENDPOINT, method, f"{PATH}{path}", version, json.dumps(body))
    for version in VERSIONS:
        yield Request(ENDPOINT, "DELETE", f"{PATH}/99999", version)
        yield Request(ENDPOINT, "DELETE", f"{PATH}/{first['id']}", version)
