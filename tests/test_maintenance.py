"""Maintenances in the embedded portal, where the simulator moves the servers."""

import datetime
import hmac
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from audit.models import Entry
from audit.outbox import deliver
from cells.models import AggregateHost, HostMapping
from cells.registry import Cell
from hypervisors.models import ComputeNode, Instance, Migration
from maintenance import control, engine, simulator, steps
from maintenance.models import Fate, Maintenance, Server, State
from services.actions import Conflict
from services.models import Service
from tests.clouds import Cloud
from tests.maintenances import ACTOR, add_servers, carry_on, checked, fates, on_host, start, step

LONG_AGO = timezone.now() - datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Moves take no time, and the simulator plays the host at once."""
    monkeypatch.setattr(simulator, "FASTEST", 0.0)
    monkeypatch.setattr(simulator, "SLOWEST", 0.0)
    monkeypatch.setattr(steps, "SLOWLY", 0.0)
    settings.MAINTENANCE_MOVES_PER_HOST = 2


@pytest.fixture
def cell(cloud: Cloud) -> Cell:
    """cell1 with three hosts, and hosts of the same ids in cell2."""
    for name in ("cell1", "cell2"):
        for number in (1, 2, 3):
            cloud.host(name, f"{name}-host{number}")
    return cloud.cell("cell1")


def service(cell: Cell, host: str) -> Service:
    found: Service = Service.objects.using(cell.alias).get(host=host)
    return found


def test_a_host_is_emptied_and_returned(cloud: Cloud, cell: Cell) -> None:
    add_servers(cloud, "cell1-host1", ["active"] * 5 + ["paused", "stopped"])
    others = add_servers(cloud, "cell2-host1", ["active"] * 2, "cell2")
    (maintenance,) = start("empty", "cell1-host1", move_stopped=True, ticket="OPS-7")
    carry_on(maintenance)
    assert maintenance.state == State.EMPTY, maintenance.message
    assert set(fates(maintenance).values()) == {Fate.MOVED}
    assert on_host(cloud, "cell1-host1") == 0
    assert on_host(cloud, "cell2-host1", "cell2") == len(others)
    assert service(cell, "cell1-host1").disabled_reason == "work (OPS-7)"
    for server in maintenance.servers.all():
        instance = Instance.objects.using(cell.alias).get(uuid=server.uuid)
        assert (instance.host, instance.vm_state) == (server.target, server.vm_state)
        assert server.request_id.startswith("req-")
    migrations = Migration.objects.using(cell.alias).values_list("migration_type", "status")
    assert Counter(migrations) == {
        ("live-migration", "completed"): 6,
        ("migration", "confirmed"): 1,
    }
    control.give_back(maintenance, ACTOR)
    carry_on(maintenance)
    assert maintenance.state == State.DONE
    assert not service(cell, "cell1-host1").disabled
    states = Entry.objects.filter(action="maintenance-empty").order_by("id")
    assert [entry.after["state"] for entry in states if entry.after] == [
        *("planned", "disabling", "emptying", "empty", "returning", "done"),
    ]
    assert Entry.objects.filter(action="maintenance-live-migration").count() == 6
    assert list(
        Entry.objects.filter(action__in=["enable", "disable"]).order_by("id").values_list("action")
    ) == [("disable",), ("enable",)]


def test_what_cannot_be_moved_is_named_and_the_rest_is_moved(cloud: Cloud, cell: Cell) -> None:
    add_servers(cloud, "cell1-host1", ["active", "error", "stopped", "shelved", "active"])
    (preflight,) = checked("empty", "cell1-host1")
    assert {one.name: bool(one.cause) for one in preflight.servers} == {
        "active-0": False,
        "error-1": True,
        "stopped-2": True,
        "shelved-3": True,
        "active-4": False,
    }
    (maintenance,) = start("empty", "cell1-host1")
    carry_on(maintenance)
    assert maintenance.state == State.FAILED
    assert "3 of 5" in maintenance.message
    stuck = maintenance.servers.filter(fate=Fate.STUCK)
    assert {server.name for server in stuck if server.cause} == {
        *("error-1", "stopped-2", "shelved-3"),
    }
    # A second attempt remembers how the host was before the first.
    (again,) = start("empty", "cell1-host1", move_stopped=True)
    carry_on(again)
    assert fates(again)["stopped-2"] == Fate.MOVED
    control.give_back(again, ACTOR)
    carry_on(again)
    assert not service(cell, "cell1-host1").disabled


def test_without_a_target_nothing_is_begun(cloud: Cloud, cell: Cell) -> None:
    add_servers(cloud, "cell1-host1", ["active"])
    Service.objects.using(cell.alias).exclude(host="cell1-host1").update(disabled=True)
    with pytest.raises(Conflict, match="no other host"):
        start("empty", "cell1-host1")
    assert not Maintenance.objects.exists()
    (blocked,) = checked("empty", "cell1-host1", target="cell2-host1")
    assert "cell2-host1 is not another host of the cell" in blocked.blockers[0]


def test_a_service_that_was_disabled_stays_so(cloud: Cloud, cell: Cell) -> None:
    Service.objects.using(cell.alias).filter(host="cell1-host1").update(
        disabled=True, disabled_reason="new hardware"
    )
    (maintenance,) = start("empty", "cell1-host1")
    carry_on(maintenance)
    assert service(cell, "cell1-host1").disabled_reason == "work"
    control.give_back(maintenance, ACTOR)
    carry_on(maintenance)
    assert service(cell, "cell1-host1").disabled_reason == "new hardware"


def test_it_is_returned_when_nova_compute_reports(cloud: Cloud, cell: Cell) -> None:
    (maintenance,) = start("empty", "cell1-host1")
    carry_on(maintenance)
    rows = Service.objects.using(cell.alias).filter(host="cell1-host1")
    rows.update(last_seen_up=LONG_AGO)
    control.give_back(maintenance, ACTOR)
    step(maintenance)
    step(maintenance)
    assert (maintenance.state, "waiting" in maintenance.message) == (State.RETURNING, True)
    rows.update(last_seen_up=timezone.now())
    carry_on(maintenance)
    assert maintenance.state == State.DONE


def test_a_host_has_one_maintenance_at_a_time(cloud: Cloud, cell: Cell) -> None:
    preflights = checked("empty", "cell1-host1")
    start("empty", "cell1-host1")
    with pytest.raises(Conflict, match="under way"):
        start("retire", "cell1-host1")
    from maintenance.plans import PLANS, Options

    with pytest.raises(Conflict, match="under way"):  # both had looked before
        control.start(PLANS["empty"], preflights, Options(reason="x"), ACTOR)
    assert Maintenance.objects.count() == 1


def test_a_host_that_is_down_when_its_window_begins_is_left_alone(cloud: Cloud, cell: Cell) -> None:
    add_servers(cloud, "cell1-host1", ["active"])
    (maintenance,) = start("empty", "cell1-host1")
    Service.objects.using(cell.alias).filter(host="cell1-host1").update(last_seen_up=LONG_AGO)
    carry_on(maintenance)
    assert (maintenance.state, "it is down" in maintenance.message) == (State.FAILED, True)
    assert not service(cell, "cell1-host1").disabled


def test_a_host_is_empty_when_nothing_is_on_its_way_to_it(cloud: Cloud, cell: Cell) -> None:
    columns = {"dest_compute": "cell1-host1", "dest_node": "cell1-host1"}
    coming = cloud.add_migration("cell1", "cell1-host2", **columns)
    cloud.add_migration("cell1", "cell1-host1", status="finished", migration_type="resize")
    (maintenance,) = start("empty", "cell1-host1")
    for _ in range(4):
        step(maintenance)
    assert (maintenance.state, "another migration" in maintenance.message) == (
        State.EMPTYING,
        True,
    )
    Migration.objects.using(cell.alias).filter(id=coming.id).update(status="completed")
    add_servers(cloud, "cell1-host1", ["active"])
    carry_on(maintenance)
    assert (maintenance.state, fates(maintenance)) == (State.EMPTY, {"active-0": Fate.MOVED})
    assert "1 migration from or to the host has not ended" in maintenance.message


# --- what Nova does in the meantime -----------------------------------------------------------


@pytest.fixture
def moving(cloud: Cloud, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Maintenance:
    """A maintenance with a running and a stopped server that Nova has been asked to move."""
    monkeypatch.setattr(simulator, "FASTEST", 3600.0)
    monkeypatch.setattr(simulator, "SLOWEST", 3600.0)
    add_servers(cloud, "cell1-host1", ["active", "stopped"])
    (maintenance,) = start("empty", "cell1-host1", move_stopped=True)
    carry_on(maintenance, until=lambda: maintenance.servers.filter(fate=Fate.MOVING).count() == 2)
    return maintenance


def of(maintenance: Maintenance, cell: Cell, name: str) -> tuple[Any, Any]:
    """The row of a server and that of its migration, to be changed."""
    rows = Instance.objects.using(cell.alias).filter(display_name=name)
    migrations = Migration.objects.using(cell.alias).filter(instance_uuid=rows.get().uuid)
    return rows, migrations


def test_a_server_is_moved_when_its_old_host_has_cleaned_up(
    cell: Cell, moving: Maintenance
) -> None:
    rows, migrations = of(moving, cell, "active-0")
    rows.update(host="cell1-host2", task_state=None)
    step(moving)
    assert fates(moving)["active-0"] == Fate.MOVING
    migrations.update(status="completed")
    step(moving)
    assert fates(moving)["active-0"] == Fate.MOVED


def test_a_migration_that_never_ends_is_said_and_not_waited_for_for_ever(
    cell: Cell, moving: Maintenance
) -> None:
    rows, _ = of(moving, cell, "active-0")
    rows.update(host="cell1-host2", task_state=None)
    step(moving)
    moving.servers.update(busy_since=LONG_AGO)
    step(moving)
    server = moving.servers.get(name="active-0")
    assert (server.fate, "still" in server.cause) == (Fate.MOVED, True)


def test_a_server_that_arrives_in_error_is_said_to_be(
    cell: Cell, moving: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Nova left one when an RPC to the source timed out after the server had arrived.
    rows, migrations = of(moving, cell, "active-0")
    rows.update(host="cell1-host2", vm_state="error", task_state=None)
    migrations.update(status="error")
    monkeypatch.setattr(simulator, "FASTEST", 0.0)
    monkeypatch.setattr(simulator, "SLOWEST", 0.0)
    carry_on(moving)
    server = moving.servers.get(name="active-0")
    assert (server.fate, server.target) == (Fate.MOVED, "cell1-host2")
    assert server.cause == (
        "it is in error there; its migration ended as “error”; No valid host was found."
    )
    assert moving.state == State.EMPTY
    assert "look at 1 server that something went wrong with" in moving.message


def test_a_move_is_confirmed_once_however_long_it_takes(
    cell: Cell, moving: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(self: simulator.Simulator, server: str) -> str:
        asked.append(server)
        return "req-confirm"

    monkeypatch.setattr(simulator.Simulator, "confirm_resize", confirm)
    rows, migrations = of(moving, cell, "stopped-1")
    rows.update(host="cell1-host2", vm_state="resized", task_state=None)
    migrations.update(status="finished")
    step(moving)
    migrations.update(status="confirming")
    moving.servers.update(busy_since=LONG_AGO)
    step(moving)
    assert (len(asked), fates(moving)["stopped-1"]) == (1, Fate.CONFIRMING)
    rows.update(vm_state="stopped")
    migrations.update(status="confirmed")
    step(moving)
    assert fates(moving)["stopped-1"] == Fate.MOVED


def test_what_somebody_else_does_to_a_server_is_not_taken_for_the_move(
    cell: Cell, moving: Maintenance
) -> None:
    rows, migrations = of(moving, cell, "active-0")
    migrations.delete()  # the request never reached Nova, and the worker died
    moving.servers.filter(name="active-0").update(fate=Fate.REQUESTED, request_id="")
    rows.update(task_state="rebooting")
    step(moving)
    assert fates(moving)["active-0"] == Fate.REQUESTED
    rows.update(task_state=None)
    moving.servers.update(requested_at=LONG_AGO)
    step(moving)
    server = moving.servers.get(name="active-0")
    assert (server.fate, server.attempts, migrations.count()) == (Fate.MOVING, 2, 1)


# --- dead hosts -------------------------------------------------------------------------------


def test_a_dead_host_is_evacuated_and_forced_up_again(cloud: Cloud, cell: Cell) -> None:
    add_servers(cloud, "cell1-host1", ["active", "stopped", "error", "paused"])
    (blocked,) = checked("evacuate", "cell1-host1")
    assert "still reports" in blocked.blockers[0]
    Service.objects.using(cell.alias).filter(host="cell1-host1").update(last_seen_up=LONG_AGO)
    instances = Instance.objects.using(cell.alias).filter(host="cell1-host1")
    instances.filter(display_name="active-0").update(task_state="rebooting")
    instances.filter(display_name="paused-3").delete()
    (maintenance,) = start("evacuate", "cell1-host1")
    carry_on(maintenance, until=lambda: maintenance.state == State.EMPTY)
    assert service(cell, "cell1-host1").forced_down
    assert set(fates(maintenance).values()) == {Fate.MOVED}
    assert Migration.objects.using(cell.alias).filter(status="done").count() == 3
    carry_on(maintenance)  # the simulator repairs it
    assert maintenance.state == State.DONE
    assert not service(cell, "cell1-host1").forced_down


def test_a_host_that_has_not_noticed_is_not_forced_up(
    cloud: Cloud, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator.Simulator, "repair", lambda *args: None)
    rows = Service.objects.using(cell.alias).filter(host="cell1-host1")
    rows.update(last_seen_up=LONG_AGO)
    add_servers(cloud, "cell1-host1", ["active"])
    (maintenance,) = start("evacuate", "cell1-host1")
    carry_on(maintenance, until=lambda: maintenance.state == State.EMPTY)
    rows.update(last_seen_up=timezone.now())
    for _ in range(3):
        step(maintenance)
    assert (maintenance.state, service(cell, "cell1-host1").forced_down) == (State.EMPTY, True)
    assert "evacuation" in maintenance.message
    Migration.objects.using(cell.alias).update(status="completed")
    carry_on(maintenance)
    assert not service(cell, "cell1-host1").forced_down


def test_a_host_that_wakes_up_is_not_evacuated(cloud: Cloud, cell: Cell) -> None:
    rows = Service.objects.using(cell.alias).filter(host="cell1-host1")
    rows.update(last_seen_up=LONG_AGO)
    add_servers(cloud, "cell1-host1", ["active"])
    (maintenance,) = start("evacuate", "cell1-host1")
    rows.update(last_seen_up=timezone.now())
    carry_on(maintenance)
    assert (maintenance.state, on_host(cloud, "cell1-host1")) == (State.FAILED, 1)
    assert not service(cell, "cell1-host1").forced_down


# --- retiring ---------------------------------------------------------------------------------


def test_a_host_is_retired(cloud: Cloud, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    add_servers(cloud, "cell1-host1", ["active"] * 2)
    cloud.add_aggregate("rack", ["cell1-host1", "cell1-host2"])
    with monkeypatch.context() as patch:
        patch.setattr(simulator.Simulator, "power_off", lambda *args: None)
        (maintenance,) = start("retire", "cell1-host1")
        carry_on(maintenance, until=lambda: maintenance.state == State.EMPTY)
        step(maintenance)
        step(maintenance)
        assert "stop nova-compute" in maintenance.message
        assert Service.objects.using(cell.alias).filter(host="cell1-host1").exists()
    carry_on(maintenance)
    assert maintenance.state == State.DONE, maintenance.message
    assert not Service.objects.using(cell.alias).filter(host="cell1-host1").exists()
    assert not ComputeNode.objects.using(cell.alias).filter(host="cell1-host1").exists()
    assert not HostMapping.objects.filter(host="cell1-host1").exists()
    assert list(AggregateHost.objects.values_list("host", flat=True)) == ["cell1-host2"]


def test_a_dead_host_without_servers_is_retired(cloud: Cloud, cell: Cell) -> None:
    Service.objects.using(cell.alias).filter(host="cell1-host1").update(
        last_seen_up=LONG_AGO, forced_down=True
    )
    (maintenance,) = start("retire", "cell1-host1")
    carry_on(maintenance)
    assert maintenance.state == State.DONE, maintenance.message
    assert not Service.objects.using(cell.alias).filter(host="cell1-host1").exists()


# --- stopping, and several hosts --------------------------------------------------------------


def test_stopping_begins_nothing_more_and_awaits_the_rest(
    cloud: Cloud, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_servers(cloud, "cell1-host1", ["active"] * 6)
    with monkeypatch.context() as patch:
        patch.setattr(simulator, "FASTEST", 3600.0)
        patch.setattr(simulator, "SLOWEST", 3600.0)
        (maintenance,) = start("empty", "cell1-host1")
        for _ in range(4):
            step(maintenance)
        assert maintenance.servers.filter(fate=Fate.MOVING).count() == 2
        control.stop(maintenance, ACTOR)
        for _ in range(3):
            step(maintenance)
        assert maintenance.state == State.STOPPING
    carry_on(maintenance)
    assert (maintenance.state, "4 of 6" in maintenance.message) == (State.STOPPED, True)
    assert Counter(fates(maintenance).values()) == {Fate.MOVED: 2, Fate.WAITING: 4}
    assert Migration.objects.using(cell.alias).count() == 2
    with pytest.raises(Conflict):
        control.stop(maintenance, ACTOR)
    control.give_back(maintenance, ACTOR)
    carry_on(maintenance)
    assert not service(cell, "cell1-host1").disabled


def test_a_rack_is_emptied_host_by_host_until_one_fails(cloud: Cloud, cell: Cell) -> None:
    for number in (4, 5):
        cloud.host("cell1", f"cell1-host{number}")
    for number, states in enumerate((["active"] * 2, ["active", "error"], ["active"]), 1):
        add_servers(cloud, f"cell1-host{number}", states)
    hosts = [f"cell1-host{number}" for number in (1, 2, 3)]
    made = start("empty", *hosts)
    seen: list[tuple[str, ...]] = []

    def look() -> bool:
        seen.append(tuple(one.state for one in made))
        return False

    carry_on(*made, until=look)
    assert [one.state for one in made] == [State.EMPTY, State.FAILED, State.STOPPED]
    assert all(states.count(State.EMPTYING) <= 1 for states in seen)
    assert "cell1-host2" in made[2].message
    assert not service(cell, "cell1-host3").disabled
    # Nobody was moved to a host that was to be emptied, too, and from there again.
    targets = Migration.objects.using(cell.alias).values_list("dest_compute", flat=True)
    assert set(targets) <= {"cell1-host4", "cell1-host5"}


def test_hosts_that_wait_for_their_turn_take_no_servers(cloud: Cloud, cell: Cell) -> None:
    Service.objects.using(cell.alias).filter(host="cell1-host2").update(
        disabled=True, disabled_reason="new hardware"
    )
    made = start("empty", "cell1-host1", "cell1-host2", "cell1-host3", reason="rack")
    step(made[0])
    for one in made[1:]:
        step(one)
    assert [one.state for one in made] == [State.DISABLING, State.PLANNED, State.PLANNED]
    reasons = [service(cell, one.host).disabled_reason for one in made[1:]]
    assert reasons == ["rack", "rack"]
    control.stop(made[1], ACTOR)
    carry_on(*made)
    assert [one.state for one in made] == [State.EMPTY, State.STOPPED, State.STOPPED]
    assert service(cell, "cell1-host2").disabled_reason == "new hardware"
    assert not service(cell, "cell1-host3").disabled
    with pytest.raises(Conflict):
        control.give_back(made[2], ACTOR)


# --- workers that die, two at once ------------------------------------------------------------


class Killed(BaseException):
    """The worker is gone."""


class Killer:
    """Kills the worker before or after its ``at``-th statement on the portal's database."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left, self.after = at, after

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        result = execute(*arguments)
        if self.left == 0:
            raise Killed
        return result


@pytest.mark.parametrize("seed", range(3))
def test_no_server_is_moved_twice_however_often_workers_die(
    cloud: Cloud, cell: Cell, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = random.Random(seed)
    asked: Counter[str] = Counter()
    begin = simulator.Simulator._begin

    def counted(self: simulator.Simulator, server: str, *arguments: str) -> str:
        asked[server] += 1
        return begin(self, server, *arguments)

    monkeypatch.setattr(simulator.Simulator, "_begin", counted)
    add_servers(cloud, "cell1-host1", ["active"] * 6 + ["stopped"] * 2)
    (maintenance,) = start("empty", "cell1-host1", move_stopped=True)
    kills = 0
    for _ in range(400):
        if maintenance.due_at is None:
            break
        killer = Killer(some.randint(1, 25), after=some.random() < 0.5)
        try:
            with connections["default"].execute_wrapper(killer):
                step(maintenance)
        except Killed:
            kills += 1
            connections["default"].close()
            _release_locks()
            # Whoever never reached Nova is tried again after a while.
            past = timezone.now() - datetime.timedelta(hours=1)
            Server.objects.filter(requested_at__isnull=False).update(requested_at=past)
            Server.objects.filter(busy_since__isnull=False).update(busy_since=past)
            maintenance.refresh_from_db()
    assert kills >= 10
    assert maintenance.state == State.EMPTY, (maintenance.message, fates(maintenance))
    migrations = Migration.objects.using(cell.alias)
    assert Counter(migrations.values_list("instance_uuid", flat=True)) == dict.fromkeys(
        maintenance.servers.values_list("uuid", flat=True), 1
    )
    assert set(asked.values()) == {1}
    states = Entry.objects.filter(action="maintenance-empty").order_by("id")
    assert [entry.after["state"] for entry in states if entry.after] == [
        *("planned", "disabling", "emptying", "empty"),
    ]


def _release_locks() -> None:
    from audit.models import Lock

    Lock.objects.update(holder="")


def test_of_two_workers_one_makes_the_step(cloud: Cloud, cell: Cell) -> None:
    (maintenance,) = start("empty", "cell1-host1")
    assert engine.advance.call(maintenance.pk) == State.DISABLING
    assert engine.advance.call(maintenance.pk) == State.EMPTYING
    now = timezone.now()
    Maintenance.objects.update(
        lease_holder="another", lease_until=now + datetime.timedelta(minutes=1), due_at=now
    )
    assert engine.advance.call(maintenance.pk) == ""
    assert engine.requeue_lost() == 0
    Maintenance.objects.update(lease_until=now, due_at=now - datetime.timedelta(minutes=1))
    assert engine.requeue_lost() == 1
    maintenance.refresh_from_db()
    assert maintenance.message == engine.NO_WORKER
    assert engine.advance.call(maintenance.pk) == State.EMPTY
    maintenance.refresh_from_db()
    assert not maintenance.message


def test_a_cell_that_does_not_answer_is_waited_for(cloud: Cloud, cell: Cell) -> None:
    add_servers(cloud, "cell1-host1", ["active"])
    (maintenance,) = start("empty", "cell1-host1")
    step(maintenance)
    step(maintenance)
    url = cloud.url("cell1")
    cloud.point("cell1", "postgresql://nova@127.0.0.1:1/nova")
    step(maintenance)
    assert (maintenance.state, "cell1" in maintenance.message) == (State.EMPTYING, True)
    cloud.point("cell1", url)
    from cells.executors import close_executors

    close_executors()
    carry_on(maintenance)
    assert maintenance.state == State.EMPTY


# --- telling others ---------------------------------------------------------------------------


def test_every_change_of_state_is_posted_signed_and_again_until_it_is_taken(
    cloud: Cloud, cell: Cell, settings: Settings
) -> None:
    heard: list[tuple[dict[str, str], bytes]] = []
    answers = [500, 200, 302, *[200] * 20]

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((dict(self.headers), body))
            self.send_response(answers.pop(0))
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.WEBHOOK_URL = f"http://127.0.0.1:{server.server_port}/hook"
        settings.WEBHOOK_SECRET = "a secret"
        (maintenance,) = start("empty", "cell1-host1", ticket="T-9")
        carry_on(maintenance)
        service_update = Entry.objects.filter(action="disable").count()
        assert service_update == 1
        assert deliver().error == "the webhook answered 500"
        assert "302" in deliver().error
        assert deliver().left == 0
        server.shutdown()
    for headers, body in heard:
        mac = hmac.new(b"a secret", headers["X-Portal-Timestamp"].encode() + b"." + body, "sha256")
        assert headers["X-Portal-Signature"] == f"sha256={mac.hexdigest()}"
    events = [json.loads(body) for _, body in heard]
    states = [(event["payload"]["old_state"], event["payload"]["state"]) for event in events]
    first, second = (None, "planned"), ("planned", "disabling")
    assert states == [
        *(first, first, second, second),
        *(("disabling", "emptying"), ("emptying", "empty")),
    ]
    assert events[0]["message_id"] == events[1]["message_id"] != events[2]["message_id"]
    assert {event["payload"]["ticket"] for event in events} == {"T-9"}


def scraped() -> str:
    """The text of a scrape, when the threads that it leaves behind have ended."""
    page = b"".join(Client().get("/metrics")).decode()
    for thread in threading.enumerate():
        if thread.name == "metrics":
            thread.join(60)
    return page


def test_metrics_count_hosts_by_state_and_servers_by_outcome(cloud: Cloud, cell: Cell) -> None:
    add_servers(cloud, "cell1-host1", ["active", "active", "error"])
    (maintenance,) = start("empty", "cell1-host1")
    start("empty", "cell1-host2")
    carry_on(maintenance)
    page = scraped()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if "maintenance" in sample.name
    }
    prefix = "nova_portal_maintenance"

    def value(name: str, **labels: str) -> float:
        return samples.get((f"{prefix}_{name}", *labels.values()), 0)

    assert value("hosts", cell="cell1", plan="empty", state="planned") == 1
    assert value("hosts", cell="cell1", plan="empty", state="failed") == 1
    assert value("ended_total", cell="cell1", plan="empty", state="failed") == 1
    assert value("servers_total", cell="cell1", method="live-migration", outcome="moved") == 2
    assert value("servers_total", cell="cell1", method="none", outcome="stuck") == 1
    control.give_back(maintenance, ACTOR)
    carry_on(maintenance)
    page = scraped()
    assert f'{prefix}_hosts{{cell="cell1",plan="empty",state="failed"}}' not in page
