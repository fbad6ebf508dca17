"""Acting on what a list selects: all that match, hypervisors, and too many."""

import re
from typing import Any
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from audit.models import Note
from cells.registry import Cell
from maintenance import views as maintenance_views
from portal.console import selection
from services.models import Service
from tests.clouds import Cloud
from tests.test_console_actions import now_in
from tests.test_console_lists import NODES, SERVICES, keys, page


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def hosts_in_preview(client: Client, url: str, **form: Any) -> set[str]:
    """The hosts of the services on the page that asks for confirmation."""
    response = client.post(url, {"action": "disable", **form}, follow=True)
    assert response.status_code == 200
    html = response.content.decode()
    return set(re.findall(r'<a href="/admin/services/service/[^/]+/">([^<]*)</a><br>', html))


def test_all_that_match_are_selected_not_just_the_page(cloud: Cloud, console: Client) -> None:
    names = [f"host-{number:02}" for number in range(40)]
    for number, name in enumerate(names):
        columns = {"disabled": number % 2 == 0} | ({"uuid": None} if number == 1 else {})
        cloud.host(f"cell{1 + number % 3}", name, service=columns)
    enabled = set(names[1::2])
    for path in (NODES, SERVICES):
        html = page(console, f"{path}?status=disabled&status=enabled&per_page=25")
        assert re.search(r'name="all_matching" value="1"[^>]*>\s*all 40 that match', html)
        query = re.findall(r'name="query" value="([^"]*)"', html)[-1]
        all_of = {"all_matching": "1", "query": query.replace("&amp;", "&"), "key": keys(html)[:2]}
        assert hosts_in_preview(console, f"{path}act/", **all_of) == set(names)
        all_of["query"] = "?status=enabled&q=host&p=2&per_page=25"
        assert hosts_in_preview(console, f"{path}act/", **all_of) == enabled
        # Where the page has all of them, a box in its head selects them, if there is a script.
        html = page(console, path)
        assert re.search(r'<label class="unless-in-head">\s*<input[^>]* name="all_matching"', html)
        assert 'name="query"' in html
    assert hosts_in_preview(console, f"{SERVICES}act/", all_matching="1", query="?cell=no") == set()


def test_actions_are_offered_for_hypervisors(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "a")
    sibling = cloud.add_node("cell1", "a", hypervisor_hostname="a-2")
    orphan = cloud.add_node("cell2", "orphan")
    html = page(console, NODES)
    assert 'name="action" value="disable" formaction="act/"' in html
    chosen = [node.uuid, sibling.uuid, orphan.uuid, "11111111-1111-1111-1111-111111111111"]
    response = console.post(f"{NODES}act/", {"action": "disable", "key": chosen, "back": NODES})
    html = response.content.decode()
    assert "no service was found for them: orphan, 11111111" in html
    (key,) = keys(html)
    assert key == service.uuid
    assert f'<form method="post" action="{SERVICES}act/"' in html
    form = {"action": "disable", "key": key, "confirm": "1", "back": NODES}
    console.post(f"{SERVICES}act/", form)
    assert now_in(cloud, "cell1", service).disabled
    answer = console.post(f"{NODES}act/", {"action": "disable", "key": orphan.uuid}, follow=True)
    assert "No service was selected." in answer.content.decode()


def test_too_many_are_refused_not_cut_off(
    cloud: Cloud, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = [cloud.host("cell1", f"host-{number:02}")[0] for number in range(30)]
    limits = selection.selected_keys.__defaults__ or ()
    assert limits == (500,)
    monkeypatch.setattr(selection.selected_keys, "__defaults__", (29,))
    monkeypatch.setattr(maintenance_views, "MAX_HOSTS", 29)
    every = {"key": [service.uuid for service in services]}
    matching = {"all_matching": "1", "query": "?q=host"}
    urls = (
        (f"{SERVICES}act/", "force-down"),
        (f"{NODES}act/", "disable"),
        ("/admin/maintenance/start/?of=services", "empty"),
        ("/admin/maintenance/start/?of=hypervisors", "empty"),
    )
    for selected in (every, matching):
        for url, action in urls:
            form = {"action": action, "back": SERVICES, **selected}
            response = console.post(url, form, follow=True)
            assert response.redirect_chain[-1][0] == SERVICES, url
            assert "30 are selected, and at most 29 can be acted on" in response.content.decode()
    named = {"action": "disable", "key": [one.uuid for one in services[:29]]}
    assert console.post(f"{SERVICES}act/", named).status_code == 200


def test_more_than_can_be_acted_on_are_not_offered(
    cloud: Cloud, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        cloud.host("cell1", f"host-{number:02}")
    monkeypatch.setattr("portal.console.changelist.AcrossCellsChangeList.max_selected", 29)
    html = re.sub(r"\s+", " ", page(console, f"{NODES}?per_page=25"))
    assert "all 30 are more than can be acted on at once (29)" in html
    assert "all_matching" not in html


def test_cells_that_are_silent_are_told_where_all_are_selected(
    cloud: Cloud, console: Client, dead_cell: Cell
) -> None:
    for number in range(30):
        cloud.host("cell1", f"host-{number:02}")
    form = {"action": "disable", "all_matching": "1", "query": "?"}
    html = console.post(f"{SERVICES}act/", form).content.decode()
    assert "cell is not responding, so this page is incomplete" in html
    assert len(keys(html)) == 30


def test_what_is_in_the_way_of_a_delete_is_linked(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "busy")
    cloud.add_instance("cell1", "busy")
    form = {"action": "delete", "key": service.uuid or ""}
    html = console.post(f"{SERVICES}act/", form).content.decode()
    assert "1 server is on it" in html
    assert f'<a href="{NODES}{node.uuid}/#servers">busy</a>' in html
    assert 'id="servers"' in page(console, f"{NODES}{node.uuid}/")


def test_what_to_do_after_force_down_is_told(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "dead")
    empty, _ = cloud.host("cell2", "empty")
    servers = [cloud.add_instance("cell1", "dead") for _ in range(2)]
    form: dict[str, Any] = {"action": "force-down", "key": [service.uuid, empty.uuid]}
    form |= {f"host:{service.uuid}": "dead", f"host:{empty.uuid}": "empty", "confirm": "1"}
    url = console.post(f"{SERVICES}act/", form)["Location"]
    html = re.sub(r"\s+", " ", page(console, url))
    commands = "\n".join(f"openstack server evacuate {one.uuid}" for one in servers)
    assert f'data-copy="{commands}"'.replace("\n", " ") in html
    assert f'<a href="{NODES}{node.uuid}/#servers">servers of dead</a>' in html
    (button,) = re.findall(r'<form method="post" class="act">(.*?)</form>', html)
    assert 'value="evacuate" formaction="/admin/maintenance/start/?of=services"' in button
    assert keys(button) == [service.uuid]
    # What has been evacuated since is no longer listed.
    for server in servers:
        server.host = "elsewhere"
        server.save(using=cloud.cell("cell1").alias)
    assert "server evacuate" not in page(console, url)
    assert Service.objects.using(cloud.cell("cell1").alias).get(id=service.id).forced_down
    form = {"action": "disable", "key": empty.uuid or "", "confirm": "1"}
    assert "server evacuate" not in page(console, console.post(f"{SERVICES}act/", form)["Location"])


START = "/admin/maintenance/start/"


def form_on(client: Client, url: str) -> dict[str, Any]:
    """What the page says in its forms of who sends them."""
    (sender, *_others) = re.findall(r'name="sender" value="([^"]+)"', page(client, url))
    return {"sender": sender, "reason": "new fans", "confirm": "1", "back": NODES}


def address_after_login(response: Any) -> str:
    """Where whoever logs in is led to, after a form that came too late."""
    assert response.status_code == 302
    asked, _, address = unquote(response["Location"]).partition("?next=")
    assert asked == "/admin/login/"
    return address


def logged_in(client: Client, name: str = "ann") -> None:
    """Log in as a browser does, which keeps what its session has."""
    user = User.objects.get(username=name)
    if not user.check_password("secret"):
        user.set_password("secret")
        user.save()
    credentials = {"username": name, "password": "secret"}
    assert client.post("/admin/login/", credentials).status_code == 302


@pytest.mark.parametrize(
    ("path", "action", "rows"),
    [
        (f"{SERVICES}act/", "disable", 500),
        (f"{NODES}act/", "disable", 500),
        (START, "empty", 200),
        (f"{START}?of=hypervisors", "empty", 2),
    ],
)
def test_a_form_is_found_again_after_logging_in(
    cloud: Cloud, console: Client, path: str, action: str, rows: int
) -> None:
    hosts = [cloud.host(f"cell{1 + n % 3}", f"host-{n:03}") for n in range(rows)]
    services = {service.uuid for service, _ in hosts}
    of_nodes = NODES in path or "hypervisors" in path
    chosen = [node.uuid if of_nodes else service.uuid for service, node in hosts]
    form = form_on(console, NODES) | {"action": action, "key": chosen}
    console.logout()
    address = address_after_login(console.post(path, form))
    assert len(address) < 100
    logged_in(console)
    for _ in range(2):  # it can be reloaded
        html = page(console, address)
        assert 'value="new fans"' in html
        assert set(keys(html)) == services
    assert not Service.objects.using(cloud.cell("cell1").alias).filter(disabled=True).exists()
    # What is shown can be sent, of course.
    assert form_on(console, address)["sender"]


def test_a_kept_form_is_its_senders_alone(cloud: Cloud, console: Client) -> None:
    service, _node = cloud.host("cell1", "a")
    form = form_on(console, NODES) | {"action": "disable", "key": service.uuid}
    console.logout()
    address = address_after_login(console.post(f"{SERVICES}act/", form))
    User.objects.create_superuser("bob")
    logged_in(console, "bob")
    answer = console.get(address, follow=True)
    assert answer.redirect_chain[-1][0] == "/admin/"
    html = answer.content.decode()
    assert "This form is no longer kept, or is not yours." in html
    assert "new fans" not in html
    assert console.session["kept_forms"] == {}
    assert not now_in(cloud, "cell1", service).disabled
    # Another browser does not find it either.
    other = Client()
    logged_in(other)
    assert "no longer kept" in other.get(address, follow=True).content.decode()


def test_nothing_is_kept_for_nobody(cloud: Cloud, console: Client, settings: Settings) -> None:
    service, _node = cloud.host("cell1", "a")
    form = form_on(console, NODES) | {"action": "disable", "key": service.uuid}
    console.logout()
    for sender in ("", "1:forged", form["sender"][:-1] + "~"):
        answer = console.post(f"{SERVICES}act/", form | {"sender": sender})
        assert address_after_login(answer) == "/admin/"
    settings.SESSION_COOKIE_AGE = -1
    assert address_after_login(console.post(f"{SERVICES}act/", form)) == "/admin/"
    assert not Session.objects.exists()


@pytest.mark.parametrize("change", [{"password": "!"}, {"is_active": False}])
def test_nothing_is_kept_for_who_may_not_log_in_again(
    cloud: Cloud, console: Client, change: dict[str, Any]
) -> None:
    """A form that somebody has copied is worth nothing once the account was locked."""
    cloud.host("cell1", "a")
    form = form_on(console, NODES) | {"action": "disable", "key": "x"}
    console.logout()
    User.objects.filter(username="ann").update(**change)
    assert address_after_login(console.post(f"{SERVICES}act/", form)) == "/admin/"
    assert not Session.objects.exists()


def test_what_no_page_sends_is_not_kept(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a")
    form = form_on(console, NODES) | {"action": "disable", "key": "x"}
    console.logout()
    for field, value in (("reason", "x" * 100_000), ("key", ["x" * 36] * 1900)):
        answer = console.post(f"{SERVICES}act/", form | {field: value})
        assert address_after_login(answer) == "/admin/"
    assert not Session.objects.exists()


def test_a_form_that_is_carried_out_is_kept_no_longer(cloud: Cloud, console: Client) -> None:
    service, _node = cloud.host("cell1", "a")
    form = form_on(console, NODES) | {"action": "disable", "key": service.uuid}
    form |= {"reason": "x" * 256}
    console.logout()
    address = address_after_login(console.post(f"{SERVICES}act/", form))
    logged_in(console)
    html = page(console, address)
    for reason in ("y" * 256, "fans"):  # the former is too long, and can be mended
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', html)
        assert len(console.session["kept_forms"]) == 1
        answer = console.post(f"{SERVICES}act/", dict(hidden) | {"reason": reason, "confirm": "1"})
        html = answer.content.decode()
    assert answer.status_code == 302
    assert now_in(cloud, "cell1", service).disabled_reason == "fans"
    assert console.session["kept_forms"] == {}


def test_the_options_of_a_maintenance_are_found_again(cloud: Cloud, console: Client) -> None:
    logged_in(console)
    chosen = [cloud.host("cell1", host)[0].uuid for host in ("a", "b")]
    first = form_on(console, NODES) | {"action": "empty", "key": chosen}
    del first["confirm"]
    filled_in = first | {"at_once": "7", "hosts_at_once": "2", "move_stopped": "on"}

    def found_again(form: dict[str, Any]) -> str:
        console.logout()
        address = address_after_login(console.post(START, form))
        logged_in(console)
        return page(console, address)

    for button in ("check", "confirm"):
        html = found_again(filled_in | {button: "1"})
        assert 'name="at_once" value="7"' in html
        assert 'name="hosts_at_once" value="2"' in html
        (ticked,) = re.findall(r'name="([^"]*)"[^>]* checked', html)
        assert ticked == "move_stopped"
        assert 'class="error"' not in html
    # Of a list that only asks for the form, there is nothing to find but the hosts.
    html = found_again(first)
    (ticked,) = re.findall(r'name="([^"]*)"[^>]* checked', html)
    assert ticked == "stop_on_failure"


def test_forms_are_shown_and_sent_in_no_other_way(cloud: Cloud, console: Client) -> None:
    service, _node = cloud.host("cell1", "a")
    query = f"?host=a&cell={cloud.cell('cell1').uuid}&action=disable&key={service.uuid}"
    for path in ("/admin/notes/", f"{SERVICES}act/"):
        assert console.get(f"{path}{query}").status_code == 200
        for method in (console.put, console.delete, console.patch):
            assert method(f"{path}{query}").status_code == 405


def test_a_form_of_nobody_needs_its_csrf_token(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a")
    form = form_on(console, NODES) | {"action": "disable", "key": "x", "sender": "forged"}
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(f"{SERVICES}act/", form).status_code == 403
    assert not strict.session.get("kept_forms")


def test_a_form_of_an_earlier_session_is_shown_again(cloud: Cloud, console: Client) -> None:
    """Who has logged in again meanwhile, in another tab, has another CSRF token."""
    service, _node = cloud.host("cell1", "a")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="ann"))
    form = form_on(strict, NODES) | {"action": "disable", "key": service.uuid}
    answer = strict.post(f"{SERVICES}act/", form, follow=True)
    html = answer.content.decode()
    assert "You have logged in again since this form was shown." in html
    assert 'value="new fans"' in html
    assert keys(html) == [service.uuid]
    assert not now_in(cloud, "cell1", service).disabled
    # Without the signature, as from elsewhere, or for another user, nothing is shown.
    assert strict.post(f"{SERVICES}act/", form | {"sender": ""}).status_code == 403
    strict.force_login(User.objects.create_superuser("bob"))
    assert "new fans" not in strict.post(f"{SERVICES}act/", form, follow=True).content.decode()
    assert strict.post("/admin/notes/1/clear/", form).status_code == 403


def test_a_form_of_an_earlier_session_is_shown_to_who_logs_in(
    cloud: Cloud, console: Client
) -> None:
    """The session of the other tab may have ended, too."""
    service, _node = cloud.host("cell1", "a")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="ann"))
    form = form_on(strict, NODES) | {"action": "disable", "key": service.uuid}
    strict.session.flush()
    address = address_after_login(strict.post(f"{SERVICES}act/", form))
    strict.force_login(User.objects.get(username="ann"))
    html = page(strict, address)
    assert "logged in again" not in html
    assert 'value="new fans"' in html
    # Without cookies nothing could be found again.
    strict.cookies.clear()
    answer = strict.post(f"{SERVICES}act/", form)
    assert answer.status_code == 403
    assert "the browser keeps no cookies" in answer.content.decode()
    assert not answer.cookies


def test_a_note_is_found_again_after_logging_in(cloud: Cloud, console: Client) -> None:
    service, _node = cloud.host("cell1", "a")
    path = f"{SERVICES}{service.uuid}/"
    note = {"host": "a", "cell": cloud.cell("cell1").uuid, "text": "waits for a disk", "back": path}
    form = form_on(console, path) | note
    console.logout()
    address = address_after_login(console.post("/admin/notes/", form))
    logged_in(console)
    html = page(console, address)
    assert 'value="waits for a disk"' in html
    assert f'name="back" value="{path}"' in html
    assert not Note.objects.exists()
    assert console.post("/admin/notes/", form)["Location"] == path
    assert Note.objects.get().text == "waits for a disk"


@pytest.mark.parametrize(
    ("referer", "page_of_form"),
    [
        (f"http://testserver{NODES}?cell=cell1", f"{NODES}?cell=cell1"),
        ("http://evil.example/admin/", "/admin/"),
        ("http://testserver//evil.example/", "/admin/"),
        ("http://[", "/admin/"),
        ("", "/admin/"),
    ],
)
def test_who_logs_in_comes_to_the_page_of_a_form_that_is_lost(
    cloud: Cloud, client: Client, referer: str, page_of_form: str
) -> None:
    for path in (f"{NODES}views/", f"{NODES}columns/", "/admin/maintenance/1/stop/"):
        answer = client.post(path, {"name": "x"}, headers={"Referer": referer})
        assert address_after_login(answer) == page_of_form


def test_the_latest_forms_are_kept(cloud: Cloud, console: Client) -> None:
    services = [cloud.host("cell1", f"host-{n}")[0] for n in range(6)]
    form = form_on(console, NODES) | {"action": "disable"}
    console.logout()
    addresses = [
        address_after_login(console.post(f"{SERVICES}act/", form | {"key": one.uuid}))
        for one in services
    ]
    logged_in(console)
    assert console.get(addresses[0]).status_code == 302
    assert [keys(page(console, address)) for address in addresses[1:]] == [
        [one.uuid] for one in services[1:]
    ]
