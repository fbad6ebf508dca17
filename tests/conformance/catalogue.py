"""The catalogue of requests whose answers are recorded: the common part, and the full list."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.conformance.fleet import Rows
from tests.conformance.messages import JSON, LEGACY_HEADER, NEW_HEADER, Request
from tests.conformance.picks import Picks
from tests.conformance.stand_ins import PROJECT_ID

#: Just before and at every microversion that changed services or hypervisors, the first, and the
#: last.
VERSIONS = (
    *("", "2.1", "2.10", "2.11", "2.27", "2.28", "2.32", "2.33", "2.52", "2.53"),
    *("2.68", "2.69", "2.74", "2.75", "2.87", "2.88", "2.104", "latest"),
)
#: Malformed microversions, and some that Nova does not have.
NOT_VERSIONS = (
    *("foo", "2", "2.", ".1", "2.0", "1.1", "2.105", "2.999", "3.0", "3.1", "2.01", "02.1"),
    *("2.1.1", "-2.1", "2.-1", "2. 1", " 2.53", "2.53 ", "LATEST", "Latest", "2,53", "2.053"),
    *("99999999999.1", "2.99999999999", "2.1e1", "\u0662.\u0661"),
)
#: What a browser sends as ``Accept``.
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NOBODY = "00000000-dead-4bad-8bad-000000000000"


def put(
    endpoint: str, path: str, body: Any, versions: Iterable[str], **options: Any
) -> Iterator[Request]:
    """A PUT at each version; a ``body`` that is a string is sent unchanged."""
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    for version in versions:
        yield Request(endpoint, "PUT", path, version, text, **options)


def get(endpoint: str, path: str, versions: Iterable[str], **options: Any) -> Iterator[Request]:
    """A GET at each version."""
    for version in versions:
        yield Request(endpoint, "GET", path, version, **options)


def catalogue(rows: Rows) -> list[Request]:
    """Every request, once, in a fixed order."""
    from tests.conformance.catalogue_aggregates import aggregates
    from tests.conformance.catalogue_hypervisors import hypervisors
    from tests.conformance.catalogue_services import services
    from tests.conformance.states import in_states

    picks = Picks(rows)
    parts = (
        documents(),
        headers(picks),
        accepts(picks),
        methods(picks),
        services(picks),
        hypervisors(picks),
        aggregates(picks),
        in_states(picks),
    )
    return list({request.key: request for part in parts for request in part}.values())


def documents() -> Iterator[Request]:
    """Version documents, and paths outside the API."""
    endpoint = "version documents"
    for path in (
        *("/", "/v2", "/v2/", "/v2.1", "/v2.1/"),
        *("/v2.2/", "/v3/", "/versions", "/v2.1/versions", "/v2.1/nope", "/v2.1//os-services"),
        *("/v2.1/os-services/", "/v2.1/os-hypervisors/", "/v2.1/os-hypervisors/detail/"),
        *("/v2.1/OS-SERVICES", "/v2.1/os-services.json", "/v2.1/os-hypervisors.xml"),
        *("/os-services", "/v2.1/os-servicesx", "/v2.1/os-services%2F", "/V2.1/os-services"),
    ):
        yield from get(endpoint, path, ("", "2.53", "2.999", "foo", "latest"))
        yield from get(endpoint, path, ("", "foo"), token=None)
    for path in ("/", "/v2", "/v2/", "/v2.1", "/v2.1/", "/v2.1/nope"):
        for method in ("HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            yield Request(endpoint, method, path)
    for project in (PROJECT_ID, "admin", "abc", "fedcba98", "0" * 33, PROJECT_ID.upper()):
        for path in ("os-services", "os-hypervisors", "os-hypervisors/statistics"):
            yield from get("projects", f"/v2.1/{project}/{path}", ("", "2.53", "foo"))
            yield from get("projects", f"/v2/{project}/{path}", ("", "2.53"))
    for query in ("?limit=1", "?limit=2&with_servers=true", "/detail?limit=2"):
        yield from get("projects", f"/v2.1/{PROJECT_ID}/os-hypervisors{query}", ("2.33", "2.53"))


def headers(picks: Picks) -> Iterator[Request]:
    """The ways to request a version."""
    endpoint = "microversion headers"
    host = picks.plain()["host"]
    paths = (f"/v2.1/os-services?host={host}", "/v2.1/os-hypervisors/statistics", "/v2.1/")
    for path in paths:
        for version in (*VERSIONS, *NOT_VERSIONS):
            for name, value in ((NEW_HEADER, f"compute {version}"), (LEGACY_HEADER, version)):
                yield Request(endpoint, "GET", path, headers={name: value})
    for both in (
        {NEW_HEADER: "2.53"},
        {NEW_HEADER: "compute"},
        {NEW_HEADER: "nova 2.53"},
        {NEW_HEADER: "identity 3.0"},
        {NEW_HEADER: "identity 3.0, compute 2.53"},
        {NEW_HEADER: "compute 2.53, compute 2.1"},
        {NEW_HEADER: "compute 2.1,compute 2.53,"},
        {NEW_HEADER: "compute  2.53"},
        {NEW_HEADER: "Compute 2.53"},
        {NEW_HEADER: "compute\t2.53"},
        {NEW_HEADER: "compute 2.53 x"},
        {NEW_HEADER.lower(): "compute 2.53"},
        {NEW_HEADER: "compute 2.53", LEGACY_HEADER: "2.53"},
        {NEW_HEADER: "compute 2.53", LEGACY_HEADER: "2.1"},
        {NEW_HEADER: "compute 2.53", LEGACY_HEADER: "foo"},
        {NEW_HEADER: "identity 3.0", LEGACY_HEADER: "2.53"},
        {NEW_HEADER: "compute foo", LEGACY_HEADER: "2.53"},
        {NEW_HEADER: "compute", LEGACY_HEADER: "2.53"},
        {NEW_HEADER: "", LEGACY_HEADER: "2.53"},
        {LEGACY_HEADER: "compute 2.53"},
        {LEGACY_HEADER: "2.53, 2.1"},
        {"X-OpenStack-Compute-API-Version": "2.53"},
    ):
        for path in paths:
            yield Request(endpoint, "GET", path, headers=both)
    # The order of refusals.
    for version in ("foo", "2.999"):
        for path in ("/v2.1/os-services", "/v2.1/nope"):
            for token in ("admin", "member", None):
                yield Request(endpoint, "GET", path, version, token=token)
        for method in ("PUT", "DELETE", "POST"):
            body = "{bad" if method == "PUT" else None
            yield Request(endpoint, method, "/v2.1/os-services/disable", version, body)


def accepts(picks: Picks) -> Iterator[Request]:
    """The media types that a client accepts."""
    services = f"/v2.1/os-services?host={picks.plain()['host']}"
    for accept in (
        *("application/json", "application/xml", "*/*", "text/plain", "nonsense"),
        *("application/json;q=0.5", "application/vnd.openstack.compute+json;version=2.1"),
    ):
        for path in (services, "/v2.1/os-hypervisors/99999", "/v2.1/nope", "/"):
            yield Request("Accept", "GET", path, "2.52", headers={"Accept": accept})
    for accept in ("text/html", BROWSER):
        for path in (services, "/v2.1/os-hypervisors/99999", "/v2.1/nope", "/", "/v2.1/"):
            yield Request("Accept", "GET", path, "2.52", headers={"Accept": accept})


def methods(picks: Picks) -> Iterator[Request]:
    """Methods that are not allowed, HEAD, and permissions."""
    service, node = picks.plain(), picks.node_of(picks.plain())
    u, n = service["uuid"], node["uuid"]
    for version in ("2.1", "2.53", "2.88"):
        for path, wrong in (
            ("/os-services", ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")),
            (f"/os-services/{u}", ("GET", "POST", "PATCH", "OPTIONS", "HEAD")),
            ("/os-services/disable", ("GET", "POST", "HEAD")),
            ("/os-services/detail", ("GET",)),
            (f"/os-services/{u}/x", ("GET", "PUT", "DELETE")),
            ("/os-hypervisors", ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")),
            ("/os-hypervisors/detail", ("POST", "PUT", "DELETE", "HEAD")),
            ("/os-hypervisors/statistics", ("POST", "PUT", "DELETE", "HEAD")),
            (f"/os-hypervisors/{n}", ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")),
            (f"/os-hypervisors/{n}/uptime", ("POST", "PUT", "DELETE", "HEAD")),
            (f"/os-hypervisors/{n}/nope", ("GET",)),
            ("/os-hypervisors/a/b/c", ("GET",)),
            ("/os-hypervisors/99999", ("HEAD",)),
        ):
            for method in wrong:
                yield Request("methods", method, f"/v2.1{path}", version)
        for token in ("member", None):
            for method, path in (
                ("GET", "/os-services"),
                ("GET", "/os-services?foo=1"),
                ("GET", "/os-hypervisors"),
                ("GET", "/os-hypervisors?limit=x"),
                ("GET", "/os-hypervisors/detail"),
                ("GET", "/os-hypervisors/statistics"),
                ("GET", f"/os-hypervisors/{n}"),
                ("GET", "/os-hypervisors/abc"),
                ("GET", f"/os-hypervisors/{n}/uptime"),
                ("GET", "/os-hypervisors/x/search"),
                ("GET", "/os-hypervisors/x/servers"),
                ("DELETE", f"/os-services/{u}"),
                ("DELETE", "/os-services/abc"),
                ("DELETE", "/os-services/1"),
                ("GET", "/nope"),
                ("POST", "/os-services"),
            ):
                yield Request("permissions", method, f"/v2.1{path}", version, token=token)
            for path, body in (
                ("disable", {"host": service["host"], "binary": "nova-compute"}),
                (u, {"status": "disabled"}),
                (u, {"extra": 1}),
                ("abc", {"status": "disabled"}),
                (NOBODY, {"status": "disabled"}),
            ):
                yield from put(
                    "permissions", f"/v2.1/os-services/{path}", body, [version], token=token
                )
            yield Request(
                "permissions",
                "PUT",
                f"/v2.1/os-services/{u}",
                version,
                "{}",
                token=token,
                content_type="application/xml",
            )


__all__ = ["JSON", "NOBODY", "VERSIONS", "catalogue", "get", "put"]
