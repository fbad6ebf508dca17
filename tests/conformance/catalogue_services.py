"""The catalogue's requests to os-services."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.conformance.catalogue import NOBODY, VERSIONS, get, put
from tests.conformance.fleet import Row
from tests.conformance.messages import Request
from tests.conformance.picks import Picks

BEFORE = ("2.1", "2.10", "2.11", "2.52")
SINCE = ("2.53", "2.68", "2.69", "2.104")
REASONS: tuple[Any, ...] = (
    *("because", "", " ", "r" * 255, "r" * 256, "ö" * 255, "Größe ✓", "\U0001f525 fire"),
    *('a\nb<b>&"', "a\x00b", None, 1, 1.5, True, [], {}),
)
BOOLEANS: tuple[Any, ...] = (
    *(True, False, "true", "True", "TRUE", "t", "T", "1", "on", "ON", "On", "yes", "y", "tRUE"),
    *("false", "False", "0", "off", "no", "n", "f", "abc", "", " true", None, 1, 0, 2, 1.0, []),
)
CONTENT_TYPES = (
    *(None, "text/plain", "text/plain; charset=utf-8", "application/xml", "APPLICATION/JSON"),
    *("application/json; charset=utf-8", "application/json;charset=latin1", "application/yaml"),
    *("application/x-www-form-urlencoded", "application/vnd.openstack.compute+json"),
    *("application/json-patch+json", "*/*", "", "nonsense"),
)
NOT_BODIES = (
    *("", " ", "{", "[", "null", "true", '""', "1", "[]", "[1]", "[{}]", "{}", "{} x"),
    *('{"status":}', "{'status': 'disabled'}", "status=disabled", '{"a": NaN}', '{"a": 1,}'),
    *('\ufeff{"status": "disabled"}', "<a/>", '"\ud800"', "\xff"),
)


def services(picks: Picks) -> Iterator[Request]:
    """Every request to os-services."""
    yield from lists(picks)
    yield from actions(picks)
    yield from updates(picks)
    yield from deletions(picks)


def lists(picks: Picks) -> Iterator[Request]:
    endpoint = "GET os-services"
    host = picks.plain()["host"]
    path = "/v2.1/os-services"
    yield from get(endpoint, path, VERSIONS)
    yield from get(endpoint, "/v2/os-services", ("", "2.53"))
    hosts = [
        *(host, host.upper(), f" {host}", "ctl-1", "nope", "h" * 300, "%", "_"),
        *(picks.unmapped()["host"], picks.twin()["host"], picks.mapped_elsewhere()["host"]),
        picks.deleted_service()["host"],
    ]
    queries = [f"host={quote(host)}" for host in hosts]
    queries += [
        f"binary={binary}"
        for binary in (
            *("nova-compute", "nova-conductor", "nova-scheduler", "nova-osapi_compute"),
            *("nova-metadata", "NOVA-COMPUTE", "nope", "%25"),
        )
    ]
    queries += [
        f"host={host}&binary=nova-compute",
        f"host={host}&binary=nova-scheduler",
        f"host={host}&host=ctl-1",
        f"host=ctl-1&host={host}",
        "binary=nova-compute&binary=nova-scheduler",
        *("host=", "binary=", "host=&binary=", "host", "host=&host=ctl-1", "host=ctl-1&host="),
        *("foo=bar", "foo=", "foo", f"host={host}&foo=1", "limit=1", "marker=1", "Host=ctl-1"),
        *("host[]=ctl-1", "disabled=true", "host=ctl%2D1", "host=ctl+1", "host=%00", "host=%ff"),
        *("host=%E2%9C%93", f"host={host};binary=x", "&", "=", "&&host=ctl-1"),
        *(
            "host=%zz",
            "host=%C3%A4",
            "%ff=1",
        ),
    ]
    for query in queries:
        yield from get(endpoint, f"{path}?{query}", ("2.1", "2.52", "2.53", "2.69", "2.74", "2.75"))
    yield from get(endpoint, f"{path}?", ("2.1", "2.75"))


def actions(picks: Picks) -> Iterator[Request]:
    """PUT by host and binary, as before 2.53; also at later versions."""
    endpoint = "PUT os-services/{action}"
    path = "/v2.1/os-services"
    plain = _named(picks.plain())
    every = ("enable", "disable", "disable-log-reason", "force-down")
    for action in (*every, "nope", "1", "Enable", "force_down", picks.plain()["uuid"]):
        yield from put(endpoint, f"{path}/{action}", plain, (*BEFORE, "2.53", "2.88"))
    for action in every:
        for extra in (
            {"disabled_reason": "because"},
            {"forced_down": True},
            {"forced_down": True, "disabled_reason": "because"},
            {"extra": 1},
            {"status": "disabled"},
        ):
            yield from put(endpoint, f"{path}/{action}", plain | extra, (*BEFORE, "2.53"))
            yield from put(endpoint, f"/v2/os-services/{action}", plain | extra, ("", "2.53"))
    for value in BOOLEANS:
        body = plain | {"forced_down": value}
        yield from put(endpoint, f"{path}/force-down", body, ("2.10", "2.11", "2.52"))
    for reason in REASONS:
        body = plain | {"disabled_reason": reason}
        yield from put(endpoint, f"{path}/disable-log-reason", body, ("2.1", "2.11", "2.52"))
    for target in _targets(picks):
        for action in ("enable", "disable"):
            yield from put(endpoint, f"{path}/{action}", _named(target), ("2.1", "2.52"))
        for down in (True, False):
            body = _named(target) | {"forced_down": down}
            yield from put(endpoint, f"{path}/force-down", body, ("2.11", "2.52"))
        body = _named(target) | {"disabled_reason": "other"}
        yield from put(endpoint, f"{path}/disable-log-reason", body, ("2.52",))
    host = plain["host"]
    others: tuple[Any, ...] = (
        {"host": "nope", "binary": "nova-compute"},
        {"host": "nope", "binary": "nova-scheduler"},
        {"host": "ctl-1", "binary": "nova-scheduler"},
        {"host": "ctl-1", "binary": "nova-compute"},
        {"host": host, "binary": "nope"},
        {"host": host, "binary": "NOVA-COMPUTE"},
        {"host": host.upper(), "binary": "nova-compute"},
        {"host": host},
        {"binary": "nova-compute"},
        {"host": None, "binary": "nova-compute"},
        {"host": 1, "binary": "nova-compute"},
        {"host": "", "binary": "nova-compute"},
        {"host": "bad host!", "binary": "nova-compute"},
        {"host": "h" * 255, "binary": "nova-compute"},
        {"host": "h" * 256, "binary": "nova-compute"},
        {"host": host, "binary": ""},
        {"host": host, "binary": "b" * 255},
        {"host": host, "binary": "b" * 256},
        {"host": host, "binary": ["nova-compute"]},
        {"host": [host], "binary": None},
        {"service": plain},
        *NOT_BODIES,
    )
    for other in others:
        for action in ("disable", "enable", "force-down", "nope"):
            yield from put(endpoint, f"{path}/{action}", other, ("2.1", "2.11", "2.52"))
    for content_type in CONTENT_TYPES:
        yield from put(
            endpoint, f"{path}/disable", plain, ("2.1", "2.52"), content_type=content_type
        )
    yield from put(endpoint, f"{path}/disable", None, ("2.1", "2.52", "2.53"))
    yield from put(endpoint, f"{path}/disable?foo=1", plain, ("2.1", "2.52"))
    yield from put(endpoint, f"{path}/disable/", plain, ("2.1", "2.52"))


def updates(picks: Picks) -> Iterator[Request]:
    """PUT by uuid, since 2.53."""
    endpoint = "PUT os-services/{uuid}"
    uuid = picks.plain()["uuid"]
    path = f"/v2.1/os-services/{uuid}"
    bodies: list[Any] = [
        {"status": "disabled"},
        {"status": "enabled"},
        {"status": "disabled", "disabled_reason": "because"},
        {"status": "enabled", "disabled_reason": "because"},
        {"status": "enabled", "disabled_reason": None},
        {"disabled_reason": "because"},
        {"forced_down": True},
        {"forced_down": False},
        {"status": "disabled", "forced_down": True, "disabled_reason": "all"},
        {"status": "enabled", "forced_down": False},
        {"status": "disabled", "forced_down": "abc"},
        {},
    ]
    for body in bodies:
        yield from put(endpoint, path, body, ("2.52", *SINCE, "2.75", "2.88"))
    more: list[Any] = [
        *(
            {"status": status}
            for status in (None, 1, "DISABLED", "", "down", ["disabled"], True, " ")
        ),
        *({"status": "disabled", "disabled_reason": reason} for reason in REASONS),
        *({"forced_down": forced_down} for forced_down in BOOLEANS),
        {"status": "disabled", "extra": 1},
        {"extra": 1, "other": 2},
        {"status": "disabled", "host": "a", "binary": "nova-compute"},
        {"host": "a", "binary": "nova-compute"},
        {"service": {"status": "disabled"}},
        '{"status": "enabled", "status": "disabled"}',
        ' {"status": "disabled"} ',
        *NOT_BODIES,
    ]
    for body in more:
        yield from put(endpoint, path, body, ("2.53", "2.69"))
    for target in _targets(picks):
        at = f"/v2.1/os-services/{target['uuid']}"
        for body in (
            {"status": "enabled"},
            {"status": "disabled"},
            {"forced_down": True},
            {"forced_down": False},
            {"status": "disabled", "disabled_reason": target["disabled_reason"] or "other"},
            {"status": "disabled", "forced_down": False},
            {},
        ):
            yield from put(endpoint, at, body, ("2.53", "2.104"))
    for service_id in (
        *_spellings(uuid),
        "1",
        "99999",
        "abc",
        NOBODY,
        "enable",
        "force-down",
        "%00",
    ):
        at = f"/v2.1/os-services/{service_id if service_id == '%00' else quote(service_id)}"
        for body in ({"status": "disabled", "disabled_reason": "x"}, {}):
            yield from put(endpoint, at, body, ("2.53", "2.69"))
    body = {"status": "disabled"}
    for content_type in CONTENT_TYPES:
        yield from put(endpoint, path, body, ("2.53",), content_type=content_type)
    yield from put(endpoint, path, None, ("2.53",))
    yield from put(endpoint, f"{path}?foo=1", body, ("2.53", "2.75"))
    yield from put(endpoint, f"{path}/", body, ("2.53",))
    yield from put(endpoint, f"/v2/os-services/{uuid}", body, ("", "2.53"))


def deletions(picks: Picks) -> Iterator[Request]:
    endpoint = "DELETE os-services/{id}"
    path = "/v2.1/os-services"
    ids = [str(picks.plain()["id"]), str(picks.deleted_service()["id"])]
    ids += [str(row["id"]) for row in picks.unique("services")]
    ids += [
        "0",
        "-1",
        "01",
        "+1",
        " 1",
        "1.0",
        "1e3",
        "abc",
        "99999",
        "2147483647",
        "1_0",
        "\u0661",
    ]
    ids += ["2147483648", "9" * 20, "9" * 3000]
    ids += _spellings(picks.deletable()[0]["uuid"])
    ids += [NOBODY, "1" * 300, "None"]
    targets = _targets(picks) + picks.deletable()
    for service_id in dict.fromkeys(ids):
        for version in ("2.1", "2.52", "2.53", "2.104"):
            yield Request(endpoint, "DELETE", f"{path}/{quote(service_id)}", version)
    for target in targets:
        for version in ("2.53", "2.88"):
            yield Request(endpoint, "DELETE", f"{path}/{target['uuid']}", version)
    for deletable in picks.deletable()[:1]:
        at = f"{path}/{deletable['uuid']}"
        yield Request(endpoint, "DELETE", f"{at}?foo=1", "2.75")
        yield Request(endpoint, "DELETE", at, "2.53", body="{}")
        yield Request(endpoint, "DELETE", at, "2.53", body="{bad")
        yield Request(endpoint, "DELETE", at, "2.53", body="<a/>", content_type="application/xml")
        yield Request(endpoint, "DELETE", f"{at}/", "2.53")
        yield Request(endpoint, "DELETE", f"/v2/os-services/{deletable['id']}", "")


def _named(service: Row) -> dict[str, Any]:
    return {"host": service["host"], "binary": service["binary"]}


def _targets(picks: Picks) -> list[Row]:
    """Services for which writes are special cases."""
    targets = [
        picks.disabled_with_reason(),
        picks.disabled_without_reason(),
        picks.forced_down(),
        picks.conductor(),
        picks.scheduler(),
        picks.api_service(),
        picks.deleted_service(),
        picks.unmapped(),
        picks.mapped_elsewhere(),
        picks.twin(),
        picks.without_node(),
        picks.many_nodes(),
        picks.evacuated(),
        picks.migrating(),
    ]
    return list({row["uuid"]: row for row in targets}.values())


def _spellings(uuid: str) -> list[str]:
    """A uuid in various spellings, and malformed ones."""
    plain = uuid.replace("-", "")
    return [
        *(uuid, uuid.upper(), plain, plain.upper(), f"{{{uuid}}}", f"urn:uuid:{uuid}"),
        *(f"{uuid}x", uuid[:-1], f" {uuid}", f"{uuid} ", f"{uuid[:8]}_{uuid[9:]}"),
        f"{uuid[:4]}-{uuid[4:8]}{uuid[9:]}",
    ]
