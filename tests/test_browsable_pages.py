"""Pages of the browsable API are short, whatever there is."""

import re

import pytest
from django.test import Client

from portal.api.renderers import BROWSABLE_ROWS
from portal.api.responses import JSONList
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

BROWSER = {"Accept": "text/html"}
HOSTS = BROWSABLE_ROWS + 3


@pytest.fixture
def large(cloud: Cloud) -> Cloud:
    for number in range(HOSTS):
        cloud.host("cell1" if number % 2 else "cell2", f"host{number:03}")
    return cloud


@pytest.mark.parametrize(
    "path",
    [
        "os-hypervisors/detail?microversion=2.1",
        "os-hypervisors/host/search?microversion=2.1",
        "os-hypervisors?microversion=2.53&hypervisor_hostname_pattern=host",
        "os-services?microversion=2.1",
    ],
)
def test_a_list_without_pages_is_cut_and_says_so(
    large: Cloud, admin_client: Client, path: str
) -> None:
    response = admin_client.get(f"/v2.1/{path}", headers=BROWSER)
    page = response.content.decode()
    assert len(re.findall(r"&quot;host\d{3}&quot;", page)) in (BROWSABLE_ROWS, 2 * BROWSABLE_ROWS)
    assert f"The first {BROWSABLE_ROWS} are shown" in page


def test_of_a_long_list_no_more_is_read_than_is_shown() -> None:
    parts = [JSONList.part([{"n": 1}]), b"", JSONList.part([{"n": 2}, {"n": 3}]), b"not read"]
    listed = JSONList("numbers", parts)
    assert listed.to_data(at_least=2) == {"numbers": [{"n": 1}, {"n": 2}, {"n": 3}]}
    assert JSONList("numbers", []).to_data(at_least=2) == {"numbers": []}


def test_a_list_with_pages_has_shorter_ones(
    large: Cloud, api: ApiClient, admin_client: Client
) -> None:
    url = "/v2.1/os-hypervisors/detail?microversion=2.53&limit=1000"
    names: list[str] = []
    while url:
        page = admin_client.get(url, headers=BROWSER).content.decode()
        assert "are shown; a client gets" not in page
        names += re.findall(r"hypervisor_hostname&quot;: &quot;(host\d{3})", page)
        following = re.search(r'href="(?:http://testserver)?(/v2.1/[^"]*marker=[^"]*)"', page)
        url = following[1].replace("&amp;", "&") if following else ""
    assert len(names) == len(set(names)) == HOSTS
    body = api.get("/os-hypervisors/detail?limit=1000", "2.53").body
    assert len(body["hypervisors"]) == HOSTS
