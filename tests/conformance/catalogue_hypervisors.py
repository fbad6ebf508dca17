"""The catalogue's requests to os-hypervisors."""

from collections.abc import Iterator
from urllib.parse import quote

from tests.conformance.catalogue import NOBODY, VERSIONS, get
from tests.conformance.fleet import Row
from tests.conformance.messages import Request
from tests.conformance.picks import Picks

PATH = "/v2.1/os-hypervisors"
#: Just before and at each version that changed a single hypervisor.
SIDES = ("2.1", "2.27", "2.28", "2.52", "2.53", "2.74", "2.75", "2.87", "2.88", "2.104")
PAGED = ("2.1", "2.32", "2.33", "2.52", "2.53", "2.75", "2.88")
SHORT = ("2.33", "2.53", "2.88")
FLAGS = (
    *("true", "True", "TRUE", "1", "on", "ON", "yes", "t", "y", "tRue", "maybe", "abc", "", "2"),
    *("false", "False", "FALSE", "0", "off", "no", "none", "%20true", "true%00"),
)


def hypervisors(picks: Picks) -> Iterator[Request]:
    """Every request to os-hypervisors."""
    yield from lists(picks)
    yield from paging(picks)
    yield from patterns(picks)
    yield from one(picks)
    yield from statistics()


def lists(picks: Picks) -> Iterator[Request]:
    endpoint = "GET os-hypervisors"
    for path in (PATH, f"{PATH}/detail"):
        yield from get(endpoint, path, VERSIONS)
        yield from get(endpoint, f"{path}?with_servers=true", SIDES)
        yield from get(endpoint, f"{path}?with_servers=true&limit=3", ("2.33", "2.53", "2.88"))
        for query in ("foo=1", "limit=2&foo=1", "with_servers=true&foo=1", "with_servers=maybe"):
            yield from get(endpoint, f"{path}?{query}", ("2.1", "2.33", "2.52", "2.53", "2.88"))
    for query in (
        *(f"with_servers={flag}" for flag in FLAGS),
        "with_servers=true&with_servers=true",
        "with_servers=true&with_servers=false",
        *("foo", "host=ctl-1", "with_server=true", "&", "=1", "With_servers=true", ""),
        *("hypervisor_hostname=c1", "%ff=1", "with_servers=%ff"),
    ):
        yield from get(endpoint, f"{PATH}?{query}", ("2.33", "2.52", "2.53", "2.88"))
    for path in ("", "/detail", "/1", "/statistics", "/c1/search", "/c1/servers", "/1/uptime"):
        yield from get(endpoint, f"/v2/os-hypervisors{path}", ("", "2.53"))


def paging(picks: Picks) -> Iterator[Request]:
    endpoint = "GET os-hypervisors paging"
    visible = picks.visible_nodes()
    count = len(visible)
    limits = [*range(6), 7, 11, count - 1, count, count + 1, 1000, 1001, 99999, 9**30]
    odd = ("-1", "abc", "", "1.5", "%2B1", "%201", "1%20", "1e2", "00", "01", "None", "0x1", "1_0")
    for limit in (*map(str, limits), *odd, "\u0661"):
        text = f"limit={quote(limit, safe='%')}"
        yield from get(endpoint, f"{PATH}?{text}", PAGED if limit in ("3", *odd) else SHORT)
        if limit in ("0", "1", "3", "abc", str(count)):
            yield from get(endpoint, f"{PATH}/detail?{text}", SHORT)
    for marker in _markers(picks):
        yield from get(endpoint, f"{PATH}?marker={marker}", ("2.32", *SHORT))
        yield from get(endpoint, f"{PATH}?limit=2&marker={marker}", SHORT)
        yield from get(endpoint, f"{PATH}/detail?limit=1&marker={marker}", ("2.33", "2.53"))
    for query in (
        *("limit=1&limit=2", "limit=2&limit=2", "limit=abc&limit=2"),
        "marker=1&marker=2",
        f"marker={NOBODY}&marker={visible[0]['uuid']}",
        *("limit=0&marker=abc", "limit=abc&marker=abc", "limit=1&marker=abc&foo=1"),
        f"limit=2&with_servers=true&marker={visible[1]['uuid']}",
        f"marker={visible[1]['uuid']}&limit=2",
        f"limit=2&marker={visible[1]['uuid']}&x=%C3%BC&a=b%20c",
    ):
        for path in (PATH, f"{PATH}/detail"):
            yield from get(endpoint, f"{path}?{query}", PAGED)
    for node in visible:  # a page after every node
        yield from get(endpoint, f"{PATH}?limit=3&marker={node['uuid']}", ("2.53", "2.88"))
        yield from get(endpoint, f"{PATH}?limit=3&marker={node['id']}", ("2.33",))
        yield from get(endpoint, f"{PATH}?limit=1&marker={node['uuid']}", ("2.52",))


def _markers(picks: Picks) -> list[str]:
    visible = picks.visible_nodes()
    ids = [str(row["id"]) for row in picks.unique("compute_nodes")]
    ids += [str(visible[0]["id"]), str(picks.deleted_node()["id"]), "0", "-1", "01", "+1"]
    ids += ["99999", "2147483647", "2147483648", "9" * 20, "%201", "1%20", "1.0", "1_0"]
    uuid = visible[0]["uuid"]
    uuids = [uuid, uuid.upper(), uuid.replace("-", ""), f"{{{uuid}}}", f"{uuid}x", NOBODY]
    uuids += [picks.deleted_node()["uuid"], picks.plain()["uuid"], visible[-1]["uuid"]]
    uuids += [row["uuid"] for row in picks.hidden_nodes()]
    uuids += [picks.hostless_node()["uuid"]]
    return [*ids, *map(quote, uuids), "", "abc", "None", "%00", "%ff", "a" * 300]


def patterns(picks: Picks) -> Iterator[Request]:
    visible = picks.visible_nodes()
    first, null = visible[0], picks.null_node()
    many = picks.node_of(picks.many_nodes())
    hidden = picks.hidden_nodes()
    name = first["hypervisor_hostname"]
    texts = [
        *(name, name.upper(), name[:4], name[-8:], name.replace("-", "_"), name[1:5].upper()),
        *(many["hypervisor_hostname"], null["hypervisor_hostname"]),
        *(row["hypervisor_hostname"] for row in hidden),
        picks.hostless_node()["hypervisor_hostname"],
        picks.deleted_node()["hypervisor_hostname"],
        *(
            "nope",
            "_",
            "%",
            ".",
            "-",
            "c%",
            "c_-",
            "*",
            " ",
            "'",
            '"',
            "\\",
            "\\_",
            "é",
            "\U0001f525",
        ),
        *("c1", "c2", "C3", "cmp02", "a" * 300, "a/b", "?", "#", "%25", "\x00", "1", "c1,c2"),
    ]
    for text in dict.fromkeys(texts):
        quoted = quote(text, safe="")
        for kind in ("search", "servers"):
            endpoint = f"GET os-hypervisors/{{pattern}}/{kind}"
            yield from get(endpoint, f"{PATH}/{quoted}/{kind}", ("2.1", "2.52", "2.53"))
        endpoint = "GET os-hypervisors?hypervisor_hostname_pattern"
        for path in (PATH, f"{PATH}/detail") if len(text) > 8 else (PATH,):
            query = f"{path}?hypervisor_hostname_pattern={quoted}"
            yield from get(endpoint, query, ("2.52", "2.53", "2.88"))
    for kind in ("search", "servers"):
        endpoint = f"GET os-hypervisors/{{pattern}}/{kind}"
        yield from get(endpoint, f"{PATH}/{name}/{kind}", VERSIONS)
        yield from get(endpoint, f"{PATH}/{name}/{kind}?foo=1", ("2.1", "2.52", "2.53"))
        yield from get(endpoint, f"{PATH}//{kind}", ("2.1", "2.53"))
        yield from get(endpoint, f"{PATH}/%FF/{kind}", ("2.1",))
    endpoint = "GET os-hypervisors?hypervisor_hostname_pattern"
    pattern = f"hypervisor_hostname_pattern={name[:6]}"
    for query in (
        "hypervisor_hostname_pattern=",
        *(
            f"{pattern}&{paging}"
            for paging in ("limit=1", "limit=", "limit=0", "marker=1", "marker=")
        ),
        f"{pattern}&marker={NOBODY}",
        "hypervisor_hostname_pattern=nope&limit=1",
        f"{pattern}&hypervisor_hostname_pattern=b",
        *(f"{pattern}&with_servers={flag}" for flag in ("true", "false", "maybe")),
        f"hypervisor_hostname_pattern={many['hypervisor_hostname'][:6]}&with_servers=true",
        "hypervisor_hostname_pattern=%ff",
    ):
        for path in (PATH, f"{PATH}/detail"):
            yield from get(endpoint, f"{path}?{query}", ("2.52", "2.53", "2.75", "2.88"))


def one(picks: Picks) -> Iterator[Request]:
    """Single hypervisors and their uptime."""
    show, uptime = "GET os-hypervisors/{id}", "GET os-hypervisors/{id}/uptime"
    unique = picks.unique("compute_nodes")
    for node in (picks.visible_nodes()[0], *unique[:1]):
        for key in (str(node["id"]), node["uuid"]):
            yield from get(show, f"{PATH}/{key}", VERSIONS)
            yield from get(uptime, f"{PATH}/{key}/uptime", VERSIONS)
    for node in picks.nodes():
        yield from get(show, f"{PATH}/{node['uuid']}", ("2.53", "2.88"))
        yield from get(uptime, f"{PATH}/{node['uuid']}/uptime", ("2.53",))
        yield from get(show, f"{PATH}/{node['uuid']}?with_servers=true", ("2.53", "2.75"))
    for node in unique:
        yield from get(show, f"{PATH}/{node['id']}", ("2.1", "2.28"))
        yield from get(uptime, f"{PATH}/{node['id']}/uptime", ("2.1",))
    for key in _invalid_ids(picks):
        yield from get(show, f"{PATH}/{key}", ("2.1", "2.52", "2.53", "2.88"))
        yield from get(uptime, f"{PATH}/{key}/uptime", ("2.1", "2.52", "2.53", "2.88"))
    for key in (picks.visible_nodes()[0]["uuid"], picks.null_node()["uuid"], NOBODY):
        for query in (
            *(f"with_servers={flag}" for flag in FLAGS),
            *("with_servers=true&with_servers=false", "with_servers=true&foo=1", "foo=1"),
            *("limit=1", "marker=1", "hypervisor_hostname_pattern=c1"),
        ):
            yield from get(show, f"{PATH}/{key}?{query}", ("2.52", "2.53", "2.88"))
        yield from get(uptime, f"{PATH}/{key}/uptime?foo=1", ("2.52", "2.53", "2.87"))
    for path in ("search", "servers", "uptime", "detail/uptime", "statistics/uptime"):
        yield from get(show, f"{PATH}/{path}", ("2.1", "2.52", "2.53", "2.88"))


def _invalid_ids(picks: Picks) -> list[str]:
    node: Row = picks.visible_nodes()[0]
    uuid = node["uuid"]
    spellings = [
        *(uuid.upper(), uuid.replace("-", ""), f"{{{uuid}}}", f"urn:uuid:{uuid}", f"{uuid}x"),
        *(uuid[:-1], f" {uuid}", f"{uuid} ", f"{uuid}.json"),
    ]
    ids = [
        *("0", "-1", "01", "+1", " 1", "1 ", "1.0", "1e3", "1_0", "99999", "2147483647", "1.json"),
        *(
            "2147483648",
            "9" * 20,
            "9" * 3000,
            "\u0661",
            "abc",
            "None",
            "null",
            "..",
            ".",
            "a" * 300,
        ),
        *(NOBODY, str(picks.deleted_node()["id"]), picks.deleted_node()["uuid"]),
        *(node["hypervisor_hostname"], picks.plain()["uuid"], str(node["id"])),
    ]
    return [quote(text, safe="") for text in spellings + ids] + ["%00", "%ff", "1%2F2"]


def statistics() -> Iterator[Request]:
    endpoint = "GET os-hypervisors/statistics"
    yield from get(endpoint, f"{PATH}/statistics", VERSIONS)
    for query in ("foo=1", "limit=1", "with_servers=true", "&", "%ff=1"):
        yield from get(endpoint, f"{PATH}/statistics?{query}", ("2.1", "2.53", "2.87", "2.88"))
