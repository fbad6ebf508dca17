"""Lists of hypervisors: pagination, search by name, and number of queries."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from cells.models import HostMapping
from hypervisors.models import ComputeNode
from services.models import Service
from tests.clients import ApiClient, fault, names
from tests.clouds import Cloud
from tests.counting import Queries

Counting = Callable[[], AbstractContextManager[Queries]]
NO_UUID = "aaaaaaaa-0000-4000-8000-000000000000"


@pytest.fixture
def three(cloud: Cloud) -> dict[str, ComputeNode]:
    """A host in each cell, in no particular order; each has id 1 there."""
    return {name: cloud.host(name, f"node-{name}")[1] for name in ("cell3", "cell1", "cell2")}


# --- pages ----------------------------------------------------------------------------------------


def follow(api: ApiClient, path: str, version: str = "2.53") -> list[list[str]]:
    """The names on each page, from the first to the last."""
    pages = []
    while path:
        answer = api.get(path, version)
        pages.append(names(answer))
        [link] = answer.body.get("hypervisors_links", [{"rel": "next", "href": ""}])
        assert link["rel"] == "next"
        path = link["href"].removeprefix("http://testserver")
        assert len(pages) < 100
    return pages


@pytest.mark.parametrize("path", ["os-hypervisors", "os-hypervisors/detail"])
def test_pages(three: dict[str, ComputeNode], api: ApiClient, path: str) -> None:
    assert follow(api, f"/{path}?limit=2") == [["node-cell1", "node-cell2"], ["node-cell3"]]
    assert follow(api, f"/{path}?limit=1")[:-1] == [["node-cell1"], ["node-cell2"], ["node-cell3"]]
    assert follow(api, f"/{path}?limit=100") == [["node-cell1", "node-cell2", "node-cell3"]]
    assert "hypervisors_links" not in api.get(f"/{path}", "2.53").body
    link = api.get(f"/{path}?limit=1&with_servers=True", "2.53")["hypervisors_links"][0]["href"]
    assert urlsplit(link).path == f"/v2.1/{path}"
    assert parse_qs(urlsplit(link).query) == {
        "limit": ["1"],
        "marker": [three["cell1"].uuid],
        "with_servers": ["True"],
    }


def test_before_2_33_there_are_no_pages(three: dict[str, ComputeNode], api: ApiClient) -> None:
    answer = api.get("/os-hypervisors?limit=1&marker=nonsense", "2.32")
    assert len(names(answer)) == 3
    assert "hypervisors_links" not in answer.body


def test_a_limit_of_0_is_an_empty_page(three: dict[str, ComputeNode], api: ApiClient) -> None:
    assert api.get("/os-hypervisors?limit=0", "2.53").body == {"hypervisors": []}


def test_no_page_is_longer_than_the_setting_allows(
    three: dict[str, ComputeNode], api: ApiClient, settings: Settings
) -> None:
    settings.API_MAX_LIMIT = 2
    for query in ("", "?limit=3", "?limit=1000000000000000000000"):
        answer = api.get(f"/os-hypervisors{query}", "2.53")
        assert len(names(answer)) == 2
        assert answer["hypervisors_links"]


def test_where_the_setting_allows_no_rows_every_page_is_empty(
    three: dict[str, ComputeNode], api: ApiClient, settings: Settings
) -> None:
    """So Nova does with ``[api]/max_limit = 0``; lists without pages are whole."""
    settings.API_MAX_LIMIT = 0
    for query in ("", "?limit=3", f"?marker={three['cell1'].uuid}"):
        assert api.get(f"/os-hypervisors{query}", "2.53").body == {"hypervisors": []}
    assert len(names(api.get("/os-hypervisors", "2.32"))) == 3


def test_markers_are_integers_and_uuids(cloud: Cloud, api: ApiClient) -> None:
    nodes = [cloud.host("cell1", f"node-{number}")[1] for number in (1, 2, 3)]
    cloud.host("cell2", "node-4", node={"id": 70})
    for version in ("2.33", "2.53"):
        for marker, after in (
            (nodes[0].id, ["node-2", "node-3", "node-4"]),
            (nodes[1].uuid, ["node-3", "node-4"]),
            (str(nodes[1].uuid).upper(), ["node-3", "node-4"]),
            (70, []),
        ):
            answer = api.get(f"/os-hypervisors?marker={marker}", version)
            assert names(answer) == after, (version, marker)


@pytest.mark.parametrize("marker", ["7", NO_UUID, "abc", "", "-1", "0", "1.0", "%00", "9" * 30])
@pytest.mark.parametrize("version", ["2.33", "2.53"])
def test_an_unknown_marker_is_a_400(
    three: dict[str, ComputeNode], api: ApiClient, version: str, marker: str
) -> None:
    answer = api.get(f"/os-hypervisors?limit=1&marker={marker}", version)
    assert fault(answer) == (400, f"marker [{marker.replace('%00', chr(0))}] not found")


def test_an_ambiguous_marker_is_a_400(three: dict[str, ComputeNode], api: ApiClient) -> None:
    status, text = fault(api.get("/os-hypervisors?marker=1", "2.33"))
    assert status == 400
    assert "in cells cell1, cell2, cell3" in text
    assert "2.53" in text


def test_a_marker_means_the_visible_node_with_its_id(cloud: Cloud, api: ApiClient) -> None:
    cloud.add_node("cell1", "hidden", id=30)
    cloud.host("cell1", "first", node={"id": 31})
    cloud.host("cell2", "marked", node={"id": 30})
    cloud.host("cell3", "last")
    assert names(api.get("/os-hypervisors?marker=30", "2.33")) == ["last"]
    cloud.host("cell3", "another", node={"id": 30})
    status, text = fault(api.get("/os-hypervisors?marker=30", "2.33"))
    assert status == 400
    assert "refers to multiple hypervisors, in cells cell2, cell3" in text


def test_a_marker_may_be_a_hidden_node(cloud: Cloud, api: ApiClient) -> None:
    """It may have been visible when a client received its id as a marker."""
    hidden = cloud.add_node("cell1", "hidden", id=30)
    cloud.host("cell1", "before", node={"id": 29})
    cloud.host("cell1", "after", node={"id": 31})
    for marker in (30, hidden.uuid):
        assert names(api.get(f"/os-hypervisors?marker={marker}", "2.33")) == ["after"]
    cloud.add_node("cell2", "hidden-too", id=30)
    assert fault(api.get("/os-hypervisors?marker=30", "2.33"))[0] == 400


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", "%20", "1,2"])
def test_an_invalid_limit_is_a_400(
    three: dict[str, ComputeNode], api: ApiClient, limit: str
) -> None:
    for version in ("2.33", "2.53"):
        assert api.get(f"/os-hypervisors?limit={limit}", version).status == 400
    assert api.get(f"/os-hypervisors?limit={limit}", "2.32").status == 200


def test_repeated_parameters(three: dict[str, ComputeNode], api: ApiClient) -> None:
    assert len(names(api.get("/os-hypervisors?limit=1&limit=2", "2.52"))) == 2
    assert api.get("/os-hypervisors?limit=1&limit=2", "2.53").status == 400


def test_unknown_parameters_are_refused_since_2_53(
    three: dict[str, ComputeNode], api: ApiClient
) -> None:
    assert api.get("/os-hypervisors?sort=x", "2.52").status == 200
    assert api.get("/os-hypervisors?sort=x", "2.53").status == 400


def test_hidden_nodes_neither_shorten_a_page_nor_end_the_list(cloud: Cloud, api: ApiClient) -> None:
    for number in range(12):
        cloud.add_node("cell1", f"hidden-{number}")
        if number % 4 == 0:
            cloud.host("cell1", f"shown-{number}")
    cloud.host("cell2", "last")
    pages = follow(api, "/os-hypervisors?limit=2")
    assert pages[:2] == [["shown-0", "shown-4"], ["shown-8", "last"]]


#: For each cell its nodes: whether each is visible.
NODES = st.lists(st.lists(st.booleans(), max_size=12), min_size=3, max_size=3)
on_a_cloud = hypothesis_settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def replace_nodes(cloud: Cloud, nodes: list[list[bool]]) -> dict[int, list[str]]:
    """Give each cell these nodes, with ids from 1; the names of the visible ones by id."""
    HostMapping.objects.all().delete()
    visible: dict[int, list[str]] = {}
    for cell, of_cell in zip(cloud.cells[1:], nodes, strict=True):
        for model in (Service, ComputeNode):
            model.with_deleted.using(cell.alias).all().delete()
        for number, shown in enumerate(of_cell, 1):
            name = f"{cell.name}-{number}"
            cloud.add_node(cell, name, id=number)
            if shown:
                cloud.add_service(cell, name, id=number)
                cloud.map_host(name, cell)
                visible.setdefault(number, []).append(name)
    return visible


@on_a_cloud
@given(nodes=NODES, limit=st.integers(1, 9))
def test_pages_joined_are_all_visible_nodes(
    cloud: Cloud, api: ApiClient, nodes: list[list[bool]], limit: int
) -> None:
    visible = replace_nodes(cloud, nodes)
    expected = sorted(
        (name for named in visible.values() for name in named),
        key=lambda name: (name.partition("-")[0], int(name.partition("-")[2])),
    )
    pages = follow(api, f"/os-hypervisors?limit={limit}")
    assert [name for page in pages for name in page] == expected
    assert all(len(page) == limit for page in pages[:-1])


@on_a_cloud
@given(nodes=NODES)
def test_an_id_identifies_the_only_visible_node_that_has_it(
    cloud: Cloud, api: ApiClient, nodes: list[list[bool]]
) -> None:
    """In the path and as a marker, even if hidden nodes have the id too."""
    visible = replace_nodes(cloud, nodes)
    listed = names(api.get("/os-hypervisors", "2.33"))
    for node_id in range(1, max(map(len, nodes), default=0) + 1):
        named = visible.get(node_id, [])
        alone = api.get(f"/os-hypervisors/{node_id}", "2.33")
        after = api.get(f"/os-hypervisors?marker={node_id}", "2.33")
        if len(named) == 1:
            assert alone["hypervisor"]["hypervisor_hostname"] == named[0]
            assert names(after) == listed[listed.index(named[0]) + 1 :]
        else:
            assert alone.status == (400 if named else 404)
        if len(named) > 1:
            assert after.status == 400


# --- by name --------------------------------------------------------------------------------------


@pytest.fixture
def named(cloud: Cloud) -> None:
    cloud.host("cell1", "alpha-1")
    cloud.host("cell1", "Alpha_2")
    cloud.host("cell2", "beta-1")
    cloud.add_node("cell3", "hidden-1")


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("alpha", ["alpha-1", "Alpha_2"]),
        ("ALPHA-1", ["alpha-1"]),
        ("-1", ["alpha-1", "beta-1"]),
        ("a_1", ["alpha-1", "beta-1"]),
    ],
)
def test_a_pattern_is_any_part_of_the_name(api: ApiClient, pattern: str, found: list[str]) -> None:
    for path in ("/os-hypervisors", "/os-hypervisors/detail"):
        for version in ("2.53", "2.104"):
            query = f"{path}?hypervisor_hostname_pattern={pattern}"
            assert names(api.get(query, version)) == found


@pytest.mark.usefixtures("named")
def test_an_empty_pattern_is_a_400(api: ApiClient) -> None:
    assert api.get("/os-hypervisors?hypervisor_hostname_pattern=", "2.53").status == 400


@pytest.mark.usefixtures("named")
def test_search_and_servers_are_removed_in_2_53(api: ApiClient) -> None:
    for path in ("search", "servers"):
        assert names(api.get(f"/os-hypervisors/alpha/{path}", "2.52")) == ["alpha-1", "Alpha_2"]
        assert names(api.get(f"/os-hypervisors/%25a-1/{path}")) == ["alpha-1", "beta-1"]
        assert api.get(f"/os-hypervisors/alpha/{path}", "2.53").status == 404


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("pattern", ["nothing", "x" * 255])
def test_a_pattern_without_a_match_is_a_404(api: ApiClient, pattern: str) -> None:
    said = (404, f"No hypervisor matching '{pattern}' could be found.")
    query = f"/os-hypervisors?hypervisor_hostname_pattern={pattern}"
    assert fault(api.get(query, "2.53")) == said
    assert fault(api.get(f"/os-hypervisors/{pattern}/search")) == said
    assert fault(api.get(f"/os-hypervisors/{pattern}/servers")) == said


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("pattern", ["%F0%9F%90%A2", "a%00b", "%5C", "'", "%25%25x", "%C3%A9"])
def test_unusual_characters_match_nothing_in_a_search(api: ApiClient, pattern: str) -> None:
    assert api.get(f"/os-hypervisors/{pattern}/search").status == 404
    query = f"/os-hypervisors?hypervisor_hostname_pattern={pattern}"
    assert api.get(query, "2.53").status == 400


@pytest.mark.usefixtures("named")
def test_a_hidden_match_is_not_a_404(api: ApiClient) -> None:
    query = "/os-hypervisors?hypervisor_hostname_pattern=hidden"
    assert api.get(query, "2.53").body == {"hypervisors": []}


@pytest.mark.usefixtures("named")
def test_before_2_53_one_unmapped_host_is_a_404_for_all(api: ApiClient) -> None:
    for path in ("search", "servers"):
        answer = api.get(f"/os-hypervisors/-1/{path}")
        assert fault(answer) == (404, "Host 'hidden-1' is not mapped to any cell")


@pytest.mark.usefixtures("named")
def test_a_search_is_not_paginated(api: ApiClient) -> None:
    for path in ("/os-hypervisors", "/os-hypervisors/detail"):
        query = f"{path}?hypervisor_hostname_pattern=alpha"
        assert api.get(f"{query}&limit=1", "2.53").status == 400
        assert api.get(f"{query}&marker={NO_UUID}", "2.53").status == 400
        assert api.get(f"{query}&marker=", "2.53").status == 200


# --- cost -----------------------------------------------------------------------------------------


def fill(cloud: Cloud, per_cell: int) -> None:
    """``per_cell`` hosts in each cell, with a server on each."""
    for cell in cloud.cells[1:]:
        for number in range(per_cell):
            cloud.host(cell, f"{cell.name}-{number}", node={"stats": '{"uptime": "up"}'})
            cloud.add_instance(cell, f"{cell.name}-{number}")


@pytest.mark.parametrize("per_cell", [1, 4])
@pytest.mark.parametrize(
    ("path", "version", "of_cell", "of_api"),
    [
        ("/os-hypervisors", "2.1", 1, 1),
        ("/os-hypervisors", "2.104", 1, 1),
        ("/os-hypervisors/detail", "2.1", 1, 1),
        ("/os-hypervisors/detail", "2.104", 1, 1),
        ("/os-hypervisors/detail?with_servers=true", "2.104", 2, 1),
        ("/os-hypervisors?hypervisor_hostname_pattern=cell", "2.104", 1, 1),
        ("/os-hypervisors/cell/search", "2.1", 1, 1),
        ("/os-hypervisors/cell/servers", "2.1", 2, 1),
        ("/os-hypervisors/statistics", "2.1", 1, 0),
    ],
)
def test_queries_do_not_grow_with_the_rows(
    cloud: Cloud,
    api: ApiClient,
    count_queries: Counting,
    path: str,
    version: str,
    of_cell: int,
    of_api: int,
    per_cell: int,
) -> None:
    fill(cloud, per_cell)
    with count_queries() as queries:
        answer = api.get(path, version)
    assert answer.status == 200
    if "hypervisors" in answer.body:
        assert len(names(answer)) == 3 * per_cell
    cells = dict.fromkeys(["cell1", "cell2", "cell3"], of_cell)
    assert queries.per_cell() == {"cell0": 0} | cells
    assert len(queries.on("api")) == of_api
    assert len(queries.on("default")) == 1


def test_services_elsewhere_cost_a_query_per_cell_and_not_per_row(
    cloud: Cloud, api: ApiClient, count_queries: Counting
) -> None:
    costs = []
    for number in range(3):
        cloud.map_host(f"moved-{number}", "cell2")
        cloud.add_service("cell2", f"moved-{number}")
        cloud.add_node("cell1", f"moved-{number}")
        cloud.map_host(f"old-{number}", "cell1")
        service = cloud.add_service("cell1", f"old-{number}")
        cloud.add_node("cell1", None, hypervisor_hostname=f"o{number}", service_id=service.id)
        with count_queries() as queries:
            assert len(names(api.get("/os-hypervisors", "2.53"))) == 2 * number + 2
        costs.append(queries.counts())
    assert costs[0] == costs[1] == costs[2]
    assert max(costs[0].values()) <= 3


def test_a_page_queries_only_the_cells_it_needs(
    cloud: Cloud, api: ApiClient, count_queries: Counting
) -> None:
    fill(cloud, 2)
    with count_queries() as queries:
        api.get("/os-hypervisors?limit=2", "2.53")
    assert queries.per_cell() == {"cell0": 0, "cell1": 1, "cell2": 0, "cell3": 0}


def test_a_known_uuid_costs_no_query_in_other_cells(
    cloud: Cloud, api: ApiClient, count_queries: Counting
) -> None:
    fill(cloud, 2)
    uuids = [hypervisor["id"] for hypervisor in api.get("/os-hypervisors", "2.53")["hypervisors"]]
    for tail, of_cell in (("", 1), ("/uptime", 1), ("?with_servers=true", 2)):
        with count_queries() as queries:
            assert api.get(f"/os-hypervisors/{uuids[-1]}{tail}", "2.53").status == 200
        assert queries.counts() == {"default": 1, "api": 1, "cell3": of_cell}
    with count_queries() as queries:
        api.get(f"/os-hypervisors?limit=1&marker={uuids[-2]}", "2.53")
    assert queries.counts() == {"default": 1, "api": 1, "cell3": 2}


def test_an_integer_id_costs_a_query_per_cell(
    cloud: Cloud, api: ApiClient, count_queries: Counting
) -> None:
    fill(cloud, 2)
    cloud.host("cell2", "only", node={"id": 30})
    each = {"default": 1, "cell1": 1, "cell2": 1, "cell3": 1}
    with count_queries() as queries:
        assert api.get("/os-hypervisors/30", "2.52").status == 200
    assert queries.counts() == each | {"api": 1}
    cloud.add_node("cell1", "hidden", id=30)
    with count_queries() as queries:
        assert api.get("/os-hypervisors/30", "2.52").status == 200
    assert queries.counts() == each | {"api": 1}
