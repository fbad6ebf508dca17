"""What clients send that is no sensible request: refused with a 4xx, and nothing else happens."""

from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.clients import ApiClient
from tests.clouds import Cloud

SERVICES = "/admin/services/service/"


@pytest.fixture
def console(cloud: Cloud) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def test_a_limit_of_thousands_of_digits(api: ApiClient) -> None:
    answer = api.get(f"/os-hypervisors?limit={'1' * 5000}", "2.53")
    assert answer.status == 400
    assert "limit must be an integer" in answer.text
    assert api.get(f"/os-hypervisors?limit={'1' * 4000}", "2.53").status == 200


@pytest.mark.parametrize(
    "path",
    [
        f"{SERVICES}?host=a%00",
        f"{SERVICES}?q=%00",
        f"{SERVICES}?nothing%00=1",
        f"{SERVICES}export.csv?binary=%00",
        f"{SERVICES}%00/",
        f"{SERVICES}act/?action=disable&key=%00",
        f"{SERVICES}results/?of=%00",
        "/admin/hypervisors/computenode/?type=%00",
        "/admin/audit/entry/?q=%00",
        "/admin/audit/entry/?host=%00",
        "/admin/autocomplete/?term=%00&app_label=portal&model_name=apitoken&field_name=user",
        "/admin/login/?next=%00",
    ],
)
def test_nul_is_refused_on_every_page(console: Client, path: str) -> None:
    assert console.get(path).status_code == 400


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (f"{SERVICES}views/", {"name": "a\0", "query": ""}),
        (f"{SERVICES}views/", {"name": "a", "query": "q=\0"}),
        (f"{SERVICES}act/", {"action": "disable", "key": "\0"}),
        ("/admin/login/", {"username": "a\0", "password": "x"}),
        ("/admin/portal/apitoken/add/", {"name": "\0", "user": "1"}),
    ],
)
def test_nul_is_refused_in_every_form(console: Client, path: str, data: dict[str, str]) -> None:
    assert console.post(path, data).status_code == 400


@pytest.mark.parametrize("charset", ["zlib", "utf-16", "unicode_escape", "utf-7", "rot13"])
def test_other_charsets_are_refused_in_forms_and_ignored_in_json(
    cloud: Cloud, console: Client, api: ApiClient, charset: str
) -> None:
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        body = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--x--\r\n'
        refused = console.generic("POST", f"{SERVICES}views/", body, f"{kind}; charset={charset}")
        assert refused.status_code == 400
    cloud.host("cell1", "a")
    answer = api.put(
        "/os-services/disable",
        {"host": "a", "binary": "nova-compute"},
        **{"Content-Type": f"application/json; charset={charset}"},
    )
    assert answer.status == 200
    page = ApiClient(api.token).get(
        f"/os-services?{quote('microversion')}=2.53",
        **{"Accept": "text/html", "Content-Type": f"text/plain; charset={charset}"},
    )
    assert page.status == 200
