"""Every deliberate difference between the portal's responses and Nova's, with the reason.

``docs/conformance.md`` lists them; a test checks that it is up to date.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.conformance import fleet
from tests.conformance.comparison import Kind, Verdict, compare
from tests.conformance.messages import Answer, Request
from tests.conformance.picks import Picks
from tests.conformance.recording import Recorded
from tests.conformance.states import CELL_DOWN, WITHOUT_UUIDS

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

#: Headers that the portal adds to pages.
PAGE_HEADERS = ("content-security-policy",)
#: And to every response.
ADDED_HEADERS = (
    "cross-origin-opener-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
)

#: Lists that Nova returns in no particular order, and what their items are told apart by.
SORTED_BY = {"servers": "uuid", "aggregates": "id"}


@dataclass(frozen=True)
class Difference:
    """``allows`` decides whether the difference explains our response, given Nova's."""

    name: str
    reason: str
    allows: Callable[[Request, Answer, Answer], bool]


def judge(recorded: Recorded, ours: Answer, *, engine: str = "postgresql") -> Verdict:
    """Compare with Nova's answer on that engine, allowing for deliberate differences."""
    ours = replace(
        ours,
        headers=[
            line for line in ours.headers if not line.startswith(ADDED_HEADERS + PAGE_HEADERS)
        ],
    )
    novas = [recorded.answer]
    if recorded.on_mysql is not None:
        novas.append(recorded.on_mysql)
    if engine == "mysql":
        novas.reverse()
    verdict = compare(novas[0], ours)
    if verdict.kind is Kind.IDENTICAL:
        return verdict
    ours = in_order(ours)
    novas = [in_order(nova) for nova in novas]
    for nova, difference in zip(novas, (ORDER_OF_SERVERS, ONE_ANSWER), strict=False):
        if compare(nova, ours).kind is Kind.IDENTICAL:
            return Verdict(Kind.DELIBERATE, difference.name)
    for nova in novas:
        for difference in DIFFERENCES:
            if difference.allows(recorded.request, nova, ours):
                return Verdict(Kind.DELIBERATE, difference.name)
    return verdict


def in_order(answer: Answer) -> Answer:
    """The answer with what Nova lists in any order sorted: servers, aggregates, metadata."""

    def ordered(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            items = value.items()
            return {
                name: ordered(item, name)
                for name, item in (sorted(items) if key == "metadata" else items)
            }
        if isinstance(value, list):
            found = [ordered(item) for item in value]
            by = SORTED_BY.get(key)
            return sorted(found, key=lambda item: str(item[by])) if by else found
        return value

    return replace(answer, body=ordered(answer.body))


# --- requests and answers -------------------------------------------------------------------------


def _path(request: Request) -> str:
    return request.path.partition("?")[0]


def _params(request: Request) -> dict[str, list[str]]:
    return parse_qs(request.path.partition("?")[2], keep_blank_values=True, errors="replace")


def _identifiers(request: Request) -> Iterator[str]:
    """The last segments of the path, and markers."""
    yield from (unquote(part) for part in _path(request).split("/")[2:])
    yield from _params(request).get("marker", ())


def _pattern(request: Request) -> str | None:
    """The hostname pattern of a request."""
    found = re.search(r"/os-hypervisors/([^/]+)/(?:search|servers)$", _path(request))
    if found:
        return unquote(found[1])
    patterns = _params(request).get("hypervisor_hostname_pattern")
    return patterns[-1] if patterns else None


def _message(answer: Answer) -> str:
    if isinstance(answer.body, dict):
        for fault in answer.body.values():
            if isinstance(fault, dict):
                return str(fault.get("message", ""))
    return ""


def _hypervisors(answer: Answer) -> list[Any] | None:
    """The hypervisors of a list; empty if nothing was found."""
    if answer.status == 404 and _message(answer).startswith("No hypervisor matching"):
        return []
    if answer.status == 200 and isinstance(answer.body, dict):
        found: list[Any] | None = answer.body.get("hypervisors")
        return found
    return None


# --- the differences ------------------------------------------------------------------------------


def _same_on_both(request: Request, nova: Answer, ours: Answer) -> bool:
    return any(
        explains(request, nova, ours)
        for explains in (_uuid_in_capitals, _pattern_in_any_case, _no_marker)
    )


def _uuid_in_capitals(request: Request, nova: Answer, ours: Answer) -> bool:
    capitals = any(UUID.fullmatch(text) and text != text.lower() for text in _identifiers(request))
    return capitals and nova.status in (400, 404) and ours.status in (200, 204, 400, 409, 501)


def _no_marker(request: Request, nova: Answer, ours: Answer) -> bool:
    marker = _params(request).get("marker", [""])[-1]
    return (
        not UUID.fullmatch(marker)
        and not re.fullmatch(r"\s*[+-]?[0-9_]+\s*", marker)
        and ours.status == 400
        and _message(ours) == f"marker [{marker}] not found"
    )


def _pattern_in_any_case(request: Request, nova: Answer, ours: Answer) -> bool:
    pattern, few, more = _pattern(request), _hypervisors(nova), _hypervisors(ours)
    if pattern is None or few is None or more is None or not len(few) < len(more):
        return False
    escaped = re.escape(pattern).replace("_", ".").replace("%", ".*").replace(r"\%", ".*")
    like = re.compile(escaped, re.IGNORECASE)
    rest = iter(more)
    return all(node in rest for node in few) and all(
        like.search(node["hypervisor_hostname"]) for node in more
    )


def _ambiguous(request: Request, nova: Answer, ours: Answer) -> bool:
    if "/os-hypervisors" not in _path(request):
        return False
    if ours.status == 400:
        return "refers to multiple hypervisors" in _message(ours)
    return ours.status in (200, 501) and any(  # 501: the listed one reports no uptime
        text.isdecimal() and int(text) in _ids_of_several_nodes() for text in _identifiers(request)
    )


@cache
def _ids_of_several_nodes() -> frozenset[int]:
    """The integer ids that several compute nodes of the fleet have."""
    nodes = Counter(node["id"] for node in Picks(fleet.load()).nodes())
    return frozenset(node_id for node_id, count in nodes.items() if count > 1)


def _full_page(request: Request, nova: Answer, ours: Answer) -> bool:
    few, more = _hypervisors(nova), _hypervisors(ours)
    limits = _params(request).get("limit", ["1000"])
    if few is None or more is None or not limits[-1].isdecimal():
        return False
    limit = min(int(limits[-1]), 1000)
    return (
        "hypervisors_links" not in nova.body
        and more[: len(few)] == few
        and len(more) == limit
        and "hypervisors_links" in ours.body
    ) or ("hypervisors_links" not in nova.body and more[: len(few)] == few and len(few) < len(more))


def _nova_fails(request: Request, nova: Answer, ours: Answer) -> bool:
    return (
        nova.status == 500
        and ours.status in (200, 204, 400, 404, 409, 501)
        and not (request.writes and ours.status == 200 and not ours.effect)
    )


def _head(request: Request, nova: Answer, ours: Answer) -> bool:
    return request.method == "HEAD" and nova.status == 404 and ours.body is None


def _unauthorized(request: Request, nova: Answer, ours: Answer) -> bool:
    def others(answer: Answer) -> list[str]:
        said = ("www-authenticate: ", "vary: Cookie")
        return [line for line in answer.headers if not line.startswith(said)]

    return (
        nova.status == ours.status == 401
        and others(nova) == others(ours)
        and nova.body == ours.body
        and ours.header("www-authenticate") == ['Basic realm="compute"']
    )


def _readable(request: Request, nova: Answer, ours: Answer) -> bool:
    if nova.status != ours.status or nova.headers != ours.headers:
        return False
    garbled = _message(nova)
    if garbled.isascii():
        return False
    raw = garbled.encode("latin-1", "replace")
    return _message(ours) in (raw.decode("utf-8", "replace"), _escaped(raw))


def _escaped(raw: bytes) -> str:
    """The text as Django shows a path that is not UTF-8."""
    return "".join(f"%{byte:02X}" if byte > 127 else chr(byte) for byte in raw)


def _other_uptime(request: Request, nova: Answer, ours: Answer) -> bool:
    def rest(answer: Answer) -> Any:
        return {**answer.body["hypervisor"], "uptime": ""}

    return (
        _path(request).endswith("/uptime")
        and nova.status == ours.status == 200
        and rest(nova) == rest(ours)
    )


def _page(request: Request, nova: Answer, ours: Answer) -> bool:
    console = ours.status == 302 and ours.header("location") == ["/admin/"]
    page = ours.status == nova.status and ours.header("content-type")[0].startswith("text/html")
    return "text/html" in request.headers.get("Accept", "") and (console or page)


def _by_accept(request: Request, nova: Answer, ours: Answer) -> bool:
    accept = request.headers.get("Accept", "")
    return "vnd.openstack.compute" in accept and not _path(request).startswith("/v2")


def _cell_away(request: Request, nova: Answer, ours: Answer) -> bool:
    if request.state != CELL_DOWN:
        return False
    warned = any("cell cell2 did not answer" in text for text in ours.header("warning"))
    if nova.status == 500:
        return ours.status == 503 or (ours.status == 200 and warned)
    return warned and (nova.status, nova.body) == (ours.status, ours.body)


def _no_uuid_yet(request: Request, nova: Answer, ours: Answer) -> bool:
    return (
        request.state == WITHOUT_UUIDS
        and ours.status == 200
        and any("backfill_service_uuids" in text for text in ours.header("warning"))
    )


def _evacuations_before_253(request: Request, nova: Answer, ours: Answer) -> bool:
    return (
        _path(request).endswith("/os-services/force-down")
        and nova.status == 200
        and nova.body["service"]["forced_down"] is False
        and ours.status == 400
        and "evacuation migration records remain" in _message(ours)
    )


def _writes_aggregates(request: Request, nova: Answer, ours: Answer) -> bool:
    return (
        request.writes
        and "/os-aggregates" in _path(request)
        and ours.status == 404
        and not ours.effect
    )


ONE_ANSWER = Difference(
    "the same on every database",
    "Nova passes text on to the database, so its response depends on the database. Ours is the "
    "same on all: uuids and patterns are case-insensitive (as on MariaDB); hosts and binaries are "
    "case-sensitive (as on PostgreSQL); a malformed marker or id is not found.",
    _same_on_both,
)

ORDER_OF_SERVERS = Difference(
    "order of servers",
    "Nova lists the servers of a host, aggregates, and the metadata of these in whatever order the "
    "database returns; we list servers and aggregates by id, metadata by key.",
    lambda request, nova, ours: False,  # see ``judge``
)

DIFFERENCES: tuple[Difference, ...] = (
    ONE_ANSWER,
    Difference(
        "the ambiguous integer id of a hypervisor",
        "An integer id (before 2.53 in the path, at any version as a marker) may belong to "
        "hypervisors in several cells. Nova silently takes the first one it finds, even one that "
        "it does not list; for services it returns 400. We consider only listed hypervisors: an "
        "id that exactly one of them has is accepted; if several have it, we return 400 too, and "
        "name the alternative: microversion 2.53 and the uuid.",
        _ambiguous,
    ),
    Difference(
        "full pages",
        "Nova omits nodes whose host has no mapping or no service, but counts them towards the "
        "limit, and a page with an omitted node has no link to the next page, so clients that "
        "follow links stop there. Our pages are full, and have the link.",
        _full_page,
    ),
    Difference(
        "requests on which Nova fails",
        "Where a request makes Nova return 500, we return the appropriate response: an unknown "
        "query parameter of statistics, uptime, search or servers is ignored; a marker or id that "
        "the database cannot hold is not found; a reason with a NUL is refused.",
        _nova_fails,
    ),
    Difference(
        "a cell that does not answer",
        "While a cell is down, Nova returns 500 for nearly every request about hypervisors, and "
        "silently omits the services of the cell. We return the results of the other cells, with a "
        "`Warning` header that names the missing cell; a request for a single object that may be "
        "in that cell gets 503 rather than 404.",
        _cell_away,
    ),
    Difference(
        "services without a uuid",
        "If a service has no uuid yet, Nova returns 500 since 2.53; since 2.69 it lists such "
        "services as if their cell were down. We list them with a null `id`, and a `Warning` "
        "header names the backfill command.",
        _no_uuid_yet,
    ),
    Difference(
        "forcing up an evacuated host before 2.53",
        "A host with evacuations that are done but not completed must not be forced up. Since 2.53 "
        "Nova looks for them in the cell of the host, but before that only in its own configured "
        "database, which has none. We always look in the cell of the host.",
        _evacuations_before_253,
    ),
    Difference(
        "HEAD",
        "Nova has no route for HEAD and returns 404. We respond as to GET, without the body.",
        _head,
    ),
    Difference(
        "how to log in",
        "Without a valid token the 401 names HTTP Basic, which the portal accepts, instead of "
        "Keystone's address; it varies by cookie, because a browser's session is accepted too.",
        _unauthorized,
    ),
    Difference(
        "text in the path",
        "Nova's messages quote text from the path byte by byte, which garbles everything but "
        "ASCII. In our messages it is readable.",
        _readable,
    ),
    ORDER_OF_SERVERS,
    Difference(
        "uptime",
        "Nova asks the host's nova-compute for its uptime. We show what the node last reported in "
        "`stats` (as Nova itself does since 2.88), and return 501 if it reported none. If two "
        "cells have a host of the same name, Nova asks the one that is mapped, even for the node "
        "of the other.",
        _other_uptime,
    ),
    Difference(
        "aggregates are read-only here",
        "A request that would create, change or delete an aggregate gets the 404 of a path that "
        "does not exist, and changes nothing: a proxy sends only reads here, all else to Nova.",
        _writes_aggregates,
    ),
    Difference(
        "pages for browsers",
        "A browser, which prefers `text/html`, gets pages: the console at `/` and, unless it sends "
        "an `X-Auth-Token`, DRF's browsable API below `/v2.1`. Nova returns JSON, whatever the "
        "client accepts.",
        _page,
    ),
    Difference(
        "the endpoint by Accept",
        "If the path names no endpoint, Nova also takes it from an `Accept` of "
        "`application/vnd.openstack.compute+json;version=2.1`. We use the path only.",
        _by_accept,
    ),
)
