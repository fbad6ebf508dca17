"""The pages of refused and failed requests: the console's dress, cause, request id, way on."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.html import escape
from pytest_django import Settings

from cells.registry import known_cells
from portal.console import site
from tests.clouds import Cloud

REQUEST_ID = re.compile(r"<code>(req-[0-9a-f-]{36})</code>")


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client, which sends what a browser sends."""
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("ann"))
    return client


def shown(response: Any, status: int) -> str:
    """The page of an error, which must have everything that every one has."""
    assert response.status_code == status
    html = re.sub(r"\s+", " ", response.content.decode())
    assert REQUEST_ID.search(html), html
    assert "console/console.css" in html
    assert 'href="/admin/" class="button-link"' in html
    return html


@pytest.mark.any_engine
def test_refusals(cloud: Cloud, console: Client) -> None:
    html = shown(console.get("/admin/services/service/act/?action=fly"), 400)
    assert "Bad request (400)" in html
    assert "No such action." in html
    assert 'id="console-nav"' in html
    html = shown(console.get("/admin/services/nothing/"), 404)
    assert "Page not found (404)" in html
    shown(console.get("/admin/services/service/?q=%00"), 400)
    client = Client()
    client.force_login(User.objects.create_user("bob", is_staff=True))
    html = shown(client.get("/admin/problems/"), 403)
    assert "You do not have the permission" in html
    assert "bob" in html


@pytest.mark.any_engine
def test_what_was_typed_outlives_a_database_that_is_away(cloud: Cloud, tmp_path: Path) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("ann"))
    service, _ = cloud.host("cell1", "a")
    act = "/admin/services/service/act/"
    preview = client.get(f"{act}?action=disable&key={service.uuid}").content.decode()
    form = dict(re.findall(r'name="([a-z]+)" value="([^"]*)"', preview.partition(act)[2]))
    form |= {"reason": 'fan "3" <b>', "confirm": "1"}
    cloud.point_own("api", f"sqlite:///{tmp_path}/none/api.sqlite3")
    known_cells.clear()
    try:
        html = shown(client.post(act, form), 503)
    finally:
        cloud.point_own("api", cloud.api_url)
    assert "Nova's API database" in unescape(html)
    again = html.partition(f'<form method="post" action="{act}"')[2].partition("</form>")[0]
    fields = {
        name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', again)
    }
    assert "confirm" not in fields
    answer = client.post(act, fields)
    assert answer.status_code == 200  # its page again, and nothing is done
    assert f'value="{escape(form["reason"])}"' in answer.content.decode()
    assert 'name="confirm"' in answer.content.decode()


@pytest.mark.any_engine
def test_a_form_of_another_session(cloud: Cloud) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("ann"))
    html = shown(client.post("/admin/services/service/act/", {"action": "disable"}), 403)
    assert "The form has expired" in html
    assert "Nothing was done." in html


@pytest.mark.any_engine
def test_a_failure_needs_no_database(
    cloud: Cloud, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise RuntimeError("nobody's business")

    monkeypatch.setattr("hypervisors.fleet_views.missing_now", fail)
    html = shown(console.get("/admin/problems/?now=1"), 500)
    assert "nobody" not in html
    assert 'href="/admin/problems/?now=1" class="button-link">Try again' in html
    monkeypatch.setattr(site.Console, "each_context", fail)  # were it used, this would fail too
    shown(console.get("/admin/problems/"), 500)


@pytest.mark.any_engine
def test_before_there_is_a_user(cloud: Cloud, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["portal.example.net"]
    html = shown(Client().get("/admin/", headers={"host": "evil.example"}), 400)
    assert "evil.example" not in html
    # Elsewhere answers are not the console's.
    answer = Client().get("/metrics/nothing", headers={"host": "evil.example"})
    assert b"console.css" not in answer.content


@pytest.mark.any_engine
def test_the_pages_of_apps_list_what_they_have(cloud: Cloud, console: Client) -> None:
    for path, link in (("auth", "/admin/auth/user/"), ("portal", "/admin/portal/apitoken/")):
        html = console.get(f"/admin/{path}/").content.decode()
        assert f'href="{link}"' in html
        assert "permission" not in html.partition("<main")[2]
