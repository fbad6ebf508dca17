"""Maintenances in the console, and by the command."""

import datetime
import html
import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from cells.registry import Cell
from hypervisors.models import ComputeNode
from maintenance import plans, simulator, steps
from maintenance.models import Maintenance, State
from services.models import Service
from tests.clouds import Cloud
from tests.counting import counting
from tests.maintenances import add_servers, carry_on, start

pytestmark = pytest.mark.any_engine

START = "/admin/maintenance/start/"
LIST = "/admin/maintenance/maintenance/"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "FASTEST", 0.0)
    monkeypatch.setattr(simulator, "SLOWEST", 0.0)
    monkeypatch.setattr(steps, "SLOWLY", 0.0)


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    for number in (1, 2, 3):
        cloud.host("cell1", f"host{number}")
    add_servers(cloud, "host1", ["active", "error"])
    return cloud.cell("cell1")


def key(cell: Cell, host: str) -> str:
    return str(Service.objects.using(cell.alias).get(host=host).uuid)


def text_of(page: Any) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page.content.decode())).split())


def test_a_worker_that_has_died_is_missed(cloud: Cloud, cell: Cell, admin_client: Client) -> None:
    (maintenance,) = start("empty", "host1")
    page = f"{LIST}{maintenance.pk}/change/"
    assert "Nothing was heard" not in text_of(admin_client.get(page))
    soon = timezone.now() + datetime.timedelta(seconds=5)
    Maintenance.objects.update(lease_holder="dead", lease_until=soon)
    assert "Nothing was heard of its worker for 25 s." in text_of(admin_client.get(page))


def test_a_maintenance_from_the_list_to_the_end(
    cloud: Cloud, cell: Cell, admin_client: Client
) -> None:
    node = ComputeNode.objects.using(cell.alias).get(host="host1").uuid
    listed = admin_client.get("/admin/hypervisors/computenode/").content.decode()
    (url,) = set(re.findall(r'value="empty" formaction="([^"]*)"', listed))
    preview = admin_client.post(url, {"action": "empty", "key": node})
    shown = text_of(preview)
    assert "1 server to be moved" in shown
    assert "it is in error: reset its state" in shown
    assert 'value="1"' in preview.content.decode()
    assert not Maintenance.objects.exists()
    (posted,) = re.findall(r'name="key" value="([^"]*)"', preview.content.decode())
    form = {"action": "empty", "key": posted, "at_once": "2", "confirm": "1"}
    assert "This field is required" in text_of(admin_client.post(START, form))
    requested = admin_client.post(START, form | {"reason": "new fans", "ticket": "OPS-3"})
    maintenance = Maintenance.objects.get()
    assert requested["Location"] == f"{LIST}{maintenance.pk}/change/"
    assert "planned" in text_of(admin_client.get(requested["Location"]))
    carry_on(maintenance)
    page = text_of(admin_client.get(requested["Location"]))
    assert "Still on the host: 1 of 2 servers" in page
    assert "This is a simulation." in page
    assert maintenance.servers.get(fate="moved").request_id in page
    assert "new fans (OPS-3)" in text_of(admin_client.get(f"{LIST}?state=failed&q=host1"))
    assert "1 of 2 servers" in text_of(admin_client.get(f"/admin/hypervisors/computenode/{node}/"))
    admin_client.post(f"/admin/maintenance/{maintenance.pk}/return/")
    carry_on(Maintenance.objects.get())
    assert Maintenance.objects.get().state == State.DONE


def test_a_dead_host_is_only_evacuated_when_its_name_was_typed(
    cloud: Cloud, cell: Cell, admin_client: Client
) -> None:
    blocked = admin_client.post(START, {"action": "evacuate", "key": key(cell, "host1")})
    assert "It still reports" in text_of(blocked)
    assert 'name="confirm"' not in blocked.content.decode()
    # What would do the wrong thing now is not shown to be copied.
    assert "openstack server evacuate" not in text_of(blocked)
    gone = timezone.now() - datetime.timedelta(days=1)
    Service.objects.using(cell.alias).filter(host="host1").update(last_seen_up=gone)
    uuid = key(cell, "host1")
    form = {"action": "evacuate", "key": uuid, "reason": "x", "at_once": "1", "confirm": "1"}
    long = admin_client.post(START, form | {"reason": "x" * 600}).content.decode()
    assert f'value="{"x" * 600}"' in long
    assert "(it has 600)" in long
    form_shown = long[long.index('class="confirm maintenance"') :]
    assert "maxlength" not in form_shown  # what is too long would be cut off unseen
    wrong = admin_client.post(START, form | {f"host:{uuid}": "host2"})
    assert "No host name was typed" in text_of(wrong)
    assert not Maintenance.objects.exists()
    admin_client.post(START, form | {f"host:{uuid}": "host1"})
    assert Maintenance.objects.get().plan == "evacuate"


def test_a_host_of_a_silent_cell_stays_selected(
    cloud: Cloud, cell: Cell, dead_cell: Cell, admin_client: Client
) -> None:
    gone = "11111111-1111-1111-1111-111111111111"
    form = {"action": "empty", "reason": "firmware", "at_once": "1", "check": "1"}
    for keys in ([gone], [key(cell, "host1"), gone]):
        checked = admin_client.post(START, form | {"key": keys}).content.decode()
        assert f"<code>{gone}</code>" in checked
        assert re.findall('name="key" value="([^"]*)"', checked) == keys
        assert 'value="firmware"' in checked


def test_without_credentials_the_commands_are_shown_instead(
    cloud: Cloud, cell: Cell, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "mover_for", lambda cell: None)
    form = {"action": "empty", "key": key(cell, "host1"), "reason": "fans", "at_once": "2"}
    shown = text_of(admin_client.post(START, form | {"check": "1"}))
    assert "no credentials for Nova's API" in shown
    assert "compute service set --disable --disable-reason fans host1 nova-compute" in shown
    assert "openstack server migrate --live-migration" in shown
    admin_client.post(START, form | {"confirm": "1"})
    assert not Maintenance.objects.exists()


def test_what_failed_is_said_first_with_what_to_do_and_tried_again(
    cloud: Cloud, cell: Cell, admin_client: Client
) -> None:
    add_servers(cloud, "host1", ["active", "active"])
    (maintenance,) = start("empty", "host1", reason="fans", ticket="OPS-3", at_once=3)
    carry_on(maintenance)
    page = admin_client.get(f"{LIST}{maintenance.pk}/change/")
    shown = text_of(page)
    assert "1 cannot be moved · 3 moved" in shown
    assert "See to those that are left and try again, or return the host." in shown
    names = re.findall(r'<th scope="row">(\S+?)<br>', page.content.decode())
    assert names == ["error-1", "active-0", "active-0", "active-1"]
    again = re.search(r'name="again" value="(\d+)"', page.content.decode())
    assert again is not None
    form = {"action": "empty", "again": again[1], "key": key(cell, "host1")}
    preview = admin_client.post(START, form).content.decode()
    for name, value in (("reason", "fans"), ("ticket", "OPS-3"), ("at_once", "3")):
        assert re.search(f'name="{name}" value="{value}"', preview), name
    # Enter presses a form's first button, which must not be the one that begins.
    form_of_page = preview[preview.index('class="confirm maintenance"') :]
    buttons = re.findall(r'<button type="submit" name="(\w+)"', form_of_page)
    assert buttons[0] == "check"


def test_many_are_stopped_and_returned_at_once(
    cloud: Cloud, cell: Cell, admin_client: Client
) -> None:
    made = start("empty", "host2", "host3", hosts_at_once=2)
    posted = {"action": "stop_selected", "_selected_action": [one.pk for one in made]}
    assert admin_client.post(LIST, posted).status_code == 302
    carry_on(*made)
    assert {one.state for one in made} == {State.STOPPED}
    together = text_of(admin_client.get(f"{LIST}?batch={made[0].batch_id}"))
    assert "host2" in together
    assert "host3" in together
    assert "host2" not in text_of(admin_client.get(f"{LIST}?batch=x"))
    assert "host2" not in text_of(admin_client.get(f"{LIST}?open=1"))
    (again,) = start("empty", "host2")
    carry_on(again)
    chosen = [again.pk, made[1].pk]
    page = admin_client.post(
        LIST, {"action": "return_selected", "_selected_action": chosen}, follow=True
    )
    assert "Requested for 1 host." in text_of(page)
    assert "Not done on host3: It cannot be returned: it is stopped." in text_of(page)
    again.refresh_from_db()
    carry_on(again)
    assert again.state == State.DONE


def test_who_may_only_look_cannot_begin_stop_or_return(
    cloud: Cloud, cell: Cell, client: Client
) -> None:
    (maintenance,) = start("empty", "host1")
    user = User.objects.create_user("bob", password="x")
    user.groups.add(Group.objects.get_or_create(name="reader")[0])
    call_command("migrate", verbosity=0, database="default")  # grants the group its permissions
    client.force_login(user)
    assert client.get(f"{LIST}{maintenance.pk}/change/").status_code == 200
    shown = client.get("/admin/services/service/").content.decode()
    assert 'value="empty"' not in shown
    for url, data in (
        (START, {"action": "empty", "key": key(cell, "host2")}),
        (f"/admin/maintenance/{maintenance.pk}/stop/", {}),
        (f"/admin/maintenance/{maintenance.pk}/return/", {}),
    ):
        assert client.post(url, data).status_code == 403, url
    client.post(LIST, {"action": "stop_selected", "_selected_action": maintenance.pk})
    maintenance.refresh_from_db()
    assert maintenance.stop_requested_by == ""


def test_the_page_of_many_hosts_takes_as_many_queries_as_of_one(
    cloud: Cloud, cell: Cell, admin_client: Client
) -> None:
    for number in range(4, 24):
        cloud.host("cell1", f"host{number}")
        add_servers(cloud, f"host{number}", ["active"] * 2)
    nodes = list(ComputeNode.objects.using(cell.alias).values_list("uuid", flat=True))
    totals = []
    for keys in (nodes[:2], nodes):
        with counting() as queries:
            page = admin_client.post(f"{START}?of=hypervisors", {"action": "empty", "key": keys})
        assert page.status_code == 200
        totals.append(sum(queries.counts().values()))
    assert totals[1] <= totals[0] + 1, totals


def test_the_calendar_shows_windows_on_their_days(
    cloud: Cloud, cell: Cell, admin_client: Client
) -> None:
    begins = datetime.datetime(2030, 1, 30, 22, tzinfo=datetime.UTC)
    start("empty", "host1", starts_at=begins, until=begins + datetime.timedelta(hours=30))
    page = admin_client.get("/admin/maintenance/calendar/?month=2030-01").content.decode()
    days = re.findall(r'<time datetime="(\S+)">(?:(?!</td>).)*?host1', page, re.DOTALL)
    assert days == ["2030-01-30", "2030-01-31", "2030-02-01"]
    assert "host1" not in text_of(admin_client.get("/admin/maintenance/calendar/?month=2030-03"))
    assert admin_client.get("/admin/maintenance/calendar/?month=9999-12").status_code == 200
    assert admin_client.get("/admin/maintenance/calendar/?month=x").status_code == 200


# --- the command ------------------------------------------------------------------------------


def command(*arguments: str, capsys: Any) -> tuple[int, Any]:
    """Its exit code, and what it prints as JSON."""
    try:
        call_command("maintenance", *arguments, "--format", "json")
    except SystemExit as end:
        return int(str(end.code or 0)), json.loads(capsys.readouterr().out)
    except CommandError as error:
        return error.returncode, str(error)
    raise AssertionError("it did not exit")


def test_the_command_and_its_exit_codes(
    cloud: Cloud, cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, Any]:
        return command(*arguments, capsys=capsys)

    code, preflights = run("start", "host1", "--reason", "x", "--dry-run")
    assert (code, len(preflights[0]["servers"]), Maintenance.objects.count()) == (0, 2, 0)
    code, (requested,) = run("start", "host2", "--reason", "fans", "--ticket", "T1")
    assert (code, requested["state"], requested["ticket"]) == (0, "planned", "T1")
    assert run("status", "host2")[0] == 3
    assert run("start", "host2", "--reason", "again")[0] == 2
    assert run("start", "host3", "--reason", "x", "--plan", "retire")[0] == 2
    assert run("status", "host9")[0] == 2
    maintenance = Maintenance.objects.get(host="host2")
    carry_on(maintenance)
    code, (shown,) = run("status", "host2")
    assert (code, shown["state"]) == (0, "empty")
    assert run("return", "host2")[0] == 0
    carry_on(Maintenance.objects.get(host="host2"))
    assert run("return", "host2")[0] == 2
    run("start", "host1", "--reason", "x")
    carry_on(Maintenance.objects.get(host="host1"))
    code, (shown,) = run("status", "host1")
    assert (code, [server["fate"] for server in shown["servers"]]) == (1, ["moved", "stuck"])
