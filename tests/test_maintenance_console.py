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
from maintenance import simulator, steps
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
    assert "1 of 2 servers are still on the host" in page
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
    assert "openstack server evacuate" in text_of(blocked)
    gone = timezone.now() - datetime.timedelta(days=1)
    Service.objects.using(cell.alias).filter(host="host1").update(last_seen_up=gone)
    uuid = key(cell, "host1")
    form = {"action": "evacuate", "key": uuid, "reason": "x", "at_once": "1", "confirm": "1"}
    wrong = admin_client.post(START, form | {f"host:{uuid}": "host2"})
    assert "No host name was typed" in text_of(wrong)
    assert not Maintenance.objects.exists()
    admin_client.post(START, form | {f"host:{uuid}": "host1"})
    assert Maintenance.objects.get().plan == "evacuate"


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
