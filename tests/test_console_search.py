"""The search in the header: where is this host, address, id, uuid or server?"""

import datetime
import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django.utils.http import urlencode

from cells.registry import Cell
from hypervisors import search
from tests.clouds import Cloud
from tests.test_console_lists import NODES, SERVICES, Counting, page

SEARCH = "/admin/search/"
MISSING_UUID = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def leads_to(client: Client, term: object) -> str:
    """Where the search goes; empty if it shows a page."""
    response = client.get(f"{SEARCH}?{urlencode({'q': str(term)})}")
    return response["Location"] if response.status_code == 302 else ""


def found(client: Client, term: object) -> list[tuple[str, ...]]:
    """The rows of the page: name, kind, cell, by what and details."""
    text = page(client, f"{SEARCH}?{urlencode({'q': str(term)})}")
    rows = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</tr>", text, re.DOTALL)
    return [
        tuple(
            " ".join(html.unescape(re.sub("<[^>]*>", " ", cell)).split())
            for cell in re.split(r"<td[^>]*>", row)
        )
        for row in rows
    ]


def test_the_search_is_on_every_page(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "a")
    for url in ("/admin/", NODES, SERVICES, f"{NODES}{node.uuid}/", f"{SERVICES}{service.uuid}/",
                "/admin/audit/entry/", "/admin/problems/", SEARCH):  # fmt: skip
        assert f'<form action="{SEARCH}" method="get" role="search"' in page(console, url), url
    assert SEARCH not in Client().get("/admin/login/").content.decode()
    assert Client().get(f"{SEARCH}?q=a").status_code == 302


def test_what_is_found_exactly_is_gone_to(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "cmp-1", node={"host_ip": "10.1.0.2"})
    cloud.host("cell2", "cmp-10", node={"host_ip": "10.1.0.20"})
    conductor = cloud.add_service("cell1", "ctl-1", binary="nova-conductor")
    of_node = f"{NODES}{node.uuid}/"
    for term, url in (
        ("cmp-1", of_node),
        (" CMP-1 ", of_node),
        ("10.1.0.2", of_node),
        (node.uuid, of_node),
        (str(node.uuid).upper(), of_node),
        (str(node.uuid).replace("-", ""), of_node),
        (service.uuid, f"{SERVICES}{service.uuid}/"),
        ("ctl-1", f"{SERVICES}{conductor.uuid}/"),
        ("cmp-", ""),
        ("10.1.0.3", ""),
        (MISSING_UUID, ""),
        ("", ""),
        ("\0", ""),
        ("x" * 5000, ""),
    ):
        assert leads_to(console, term) == url, term
    assert [row[0] for row in found(console, "cmp")] == [
        "cmp-1", "cmp-10", "nova-compute on cmp-1", "nova-compute on cmp-10",
    ]  # fmt: skip


def test_an_id_is_told_with_all_its_meanings(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a", node={"id": 7, "uuid": None}, service={"id": 7})
    cloud.host("cell2", "b", node={"id": 8}, service={"id": 7})
    cloud.host("cell3", "7")
    rows = {(row[0], row[2], row[3]) for row in found(console, 7)}
    assert rows == {
        ("a", "cell1", "id 7 in its cell"),
        ("nova-compute on a", "cell1", "id 7 in its cell"),
        ("nova-compute on b", "cell2", "id 7 in its cell"),
        ("7", "cell3", "host"),
        ("nova-compute on 7", "cell3", "host"),
    }
    assert leads_to(console, 8).startswith(NODES)
    assert found(console, 2**40) == []


def test_a_server_is_found_by_uuid_and_names(cloud: Cloud, console: Client) -> None:
    _service, node = cloud.host("cell2", "cmp-1")
    server = cloud.add_instance("cell2", "cmp-1", display_name="web-1", id=0x1F)
    cloud.add_instance("cell2", "cmp-1", display_name="Web-1")
    twins = [cloud.add_instance(cell, None, display_name="twin") for cell in ("cell1", "cell3")]
    gone = cloud.add_instance("cell1", "cmp-1", display_name="gone", id=40, deleted=40)
    there = f"{NODES}{node.uuid}/?server={server.uuid}#server-{server.uuid}"
    for term in (server.uuid, "web-1", "instance-0000001f"):
        assert leads_to(console, term) == there, term
    for number in range(60):
        cloud.add_instance("cell2", "cmp-1", display_name=f"a-{number:02}")
    assert f'id="server-{server.uuid}"' in page(console, there)
    assert f'id="server-{server.uuid}"' not in page(console, f"{NODES}{node.uuid}/")
    assert [row[1:] for row in found(console, "twin")] == [
        ("server", cell, "name", "active, on no host") for cell in ("cell1", "cell3")
    ]
    assert found(console, twins[0].uuid)[0][4] == "active, on no host"
    assert found(console, gone.uuid)[0][4] == "deleted"
    assert found(console, "gone") == []


def test_names_are_looked_for_among_the_newest_servers(
    cloud: Cloud, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "NEWEST", 3)
    cloud.host("cell1", "a")
    now = timezone.now().replace(microsecond=0)
    for number in range(5):
        created = now - datetime.timedelta(minutes=number)
        cloud.add_instance("cell1", "a", display_name=f"vm-{number}", created_at=created)
    assert leads_to(console, "vm-2")
    assert found(console, "vm-3") == []
    text = page(console, f"{SEARCH}?q=vm-4")
    assert "Only the 3 newest servers of a cell are looked for by name." in text


def test_a_silent_cell_is_named_by_the_mappings(
    cloud: Cloud, console: Client, dead_cell: Cell
) -> None:
    server = cloud.add_instance("cell1", "a")
    cloud.map_instance(server, dead_cell)
    cloud.map_host("cmp-2", dead_cell)
    cloud.map_host("cmp-1", "cell1")
    service, _node = cloud.host("cell3", "cmp-3", node={"id": 5})
    for term in (MISSING_UUID, "cmp-1"):
        text = page(console, f"{SEARCH}?q={term}")
        assert "Nothing was found in the responding cells." in text
        assert "which is not responding" not in text
    text = page(console, f"{SEARCH}?q=cmp-2")
    assert "The host cmp-2 is in cell2, which is not responding." in text
    server.delete()
    text = page(console, f"{SEARCH}?q={server.uuid}")
    assert f"The server {server.uuid} is in cell2, which is not responding." in text
    assert leads_to(console, service.uuid) == f"{SERVICES}{service.uuid}/"
    assert leads_to(console, 5) == ""  # it may mean something in the silent cell, too
    assert [row[0] for row in found(console, 5)] == ["cmp-3"]


def test_that_there_is_more_is_told(cloud: Cloud, console: Client) -> None:
    """Also where no more than a page was fetched, as of one cell."""
    for number in range(20):
        cloud.add_service("cell1", f"cmp-{number:02}")
    assert len(found(console, "cmp-")) == 20
    assert "There are more" not in page(console, f"{SEARCH}?q=cmp-")
    cloud.add_service("cell1", "cmp-20")
    assert len(found(console, "cmp-")) == 20
    assert "at most 20 of each kind are shown per cell" in page(console, f"{SEARCH}?q=cmp-")


def test_only_what_may_be_seen_is_found(cloud: Cloud) -> None:
    service, node = cloud.host("cell1", "cmp-1")
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_service"))
    client = Client()
    client.force_login(user)
    assert leads_to(client, "cmp-1") == f"{SERVICES}{service.uuid}/"
    assert leads_to(client, node.uuid) == ""
    assert found(client, node.uuid) == []


def test_each_cell_is_asked_a_fixed_number_of_queries(
    cloud: Cloud, console: Client, count_queries: Counting
) -> None:
    def count(term: Any) -> dict[str, int]:
        leads_to(console, term)
        with count_queries() as queries:
            leads_to(console, term)
        return queries.per_cell()

    service, _node = cloud.host("cell1", "cmp-1")
    for number in range(30):
        cloud.host("cell2", f"cmp-1-{number}")
        cloud.add_instance("cell2", f"cmp-1-{number}", display_name="cmp-1")
    assert count("cmp-1") == {"cell0": 4, "cell1": 4, "cell2": 5, "cell3": 4}
    assert set(count(service.uuid).values()) == {3}
