"""The actions as called by all channels: refusals, races, and interruptions."""

import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone

from audit import journal
from audit.journal import Actor
from audit.models import Channel, Entry, Intent
from cells.models import AggregateHost, HostMapping
from hypervisors.models import ComputeNode
from services import actions
from services.actions import Change, ServiceRef, actions_in, name_of
from services.changes import KIND, state_of, subject_of
from services.models import Service
from tests.clouds import Cloud

ACTOR = Actor("ann", Channel.CONSOLE, request_id="req-1", remote_address="192.0.2.9")
AT_ONCE = datetime.timedelta(0)


@pytest.fixture
def service(cloud: Cloud) -> Service:
    cloud.host("cell1", "other")
    cloud.add_aggregate("a", ["cmp"])
    return cloud.host("cell2", "cmp")[0]


def now(cloud: Cloud, service: Service) -> Service:
    found: Service = Service.with_deleted.using(cloud.cell("cell2").alias).get(id=service.id)
    return found


def test_a_console_row_without_uuid_is_named_by_cell_and_id(cloud: Cloud) -> None:
    service = cloud.host("cell3", "cmp", service={"uuid": None})[0]
    cloud.host("cell1", "other")
    ref = ServiceRef(cell=cloud.cell("cell3"), id=service.id)
    found = actions.disable(ref, ACTOR, "cleaning")
    assert (found.cell.name, found.row.disabled, found.row.disabled_reason) == (
        "cell3",
        True,
        "cleaning",
    )
    assert actions.enable(ref, ACTOR).row.disabled_reason is None
    assert actions.set_forced_down(ref, True, ACTOR).row.forced_down is True
    actions.delete(ref, ACTOR)
    assert [entry.action for entry in Entry.objects.order_by("id")] == [
        "disable",
        "enable",
        "force-down",
        "delete",
    ]


@pytest.mark.parametrize("reason", ["", "x" * 256, "nul \0", "half \ud800"])
def test_reasons_that_cannot_be_stored(service: Service, reason: str) -> None:
    with pytest.raises(actions.Invalid):
        actions.disable(ServiceRef(uuid=service.uuid or ""), ACTOR, reason)
    assert Entry.objects.get().outcome == "refused"


def test_no_action_within_a_transaction_of_the_portal(cloud: Cloud, service: Service) -> None:
    """The intent must be committed before the cell, or a crash could lose the record."""
    with pytest.raises(RuntimeError), transaction.atomic():
        actions.disable(ServiceRef(uuid=service.uuid or ""), ACTOR)
    assert now(cloud, service).disabled is False


@contextmanager
def failing(cloud: Cloud, cell: str, statement: str) -> Iterator[None]:
    """Make the cell's database fail at statements that start with this."""

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(statement):
            raise OperationalError("the disk is full")
        return execute(sql, params, many, context)

    alias = cell if cell == "api" else cloud.cell(cell).alias
    with connections[alias].execute_wrapper(fail):
        yield


@pytest.mark.parametrize(
    ("where", "statement"),
    [
        ("cell2", "UPDATE"),
        ("api", "DELETE"),
    ],
)
def test_a_failed_delete_changes_nothing(
    cloud: Cloud, service: Service, where: str, statement: str
) -> None:
    with failing(cloud, where, statement), pytest.raises(actions.Unavailable, match="disk is full"):
        actions.delete(ServiceRef(uuid=service.uuid or ""), ACTOR)
    assert now(cloud, service).deleted == 0
    node = ComputeNode.with_deleted.using(cloud.cell("cell2").alias).get()
    assert (node.deleted, node.mapped) == (0, 1)
    assert HostMapping.objects.filter(host="cmp").exists()
    assert AggregateHost.objects.filter(host="cmp").exists()
    entry = Entry.objects.get()
    assert (entry.outcome, entry.host) == ("failed", "cmp")
    assert not Intent.objects.exists()


def interrupted(cloud: Cloud, service: Service, action: str, after: Any) -> Intent:
    """What is left by a process that died in the middle of an action."""
    cell = cloud.cell("cell2")
    entry = journal.draft(ACTOR, action, service_uuid=service.uuid or "", host="cmp")
    entry.cell_uuid, entry.cell_name, entry.service_id = cell.uuid, cell.name, service.id
    entry.binary = "nova-compute"
    entry.before, entry.after = state_of(service), after
    return journal.begin(entry, KIND, subject_of(cell, service))


def test_an_interrupted_delete_is_finished(cloud: Cloud, service: Service) -> None:
    """The cell had committed when the process died; the API database had not."""
    interrupted(cloud, service, "delete", None)
    rows = Service.objects.using(cloud.cell("cell2").alias)
    rows.update(deleted=service.id, deleted_at=timezone.now())
    assert journal.settle_interrupted(AT_ONCE) == 1
    assert not HostMapping.objects.filter(host="cmp").exists()
    assert not AggregateHost.objects.filter(host="cmp").exists()
    entry = Entry.objects.get()
    assert (entry.outcome, entry.username, entry.request_id) == ("done", "ann", "req-1")
    assert journal.settle_interrupted(AT_ONCE) == 0


def test_an_interrupted_delete_that_changed_nothing(cloud: Cloud, service: Service) -> None:
    interrupted(cloud, service, "delete", None)
    assert journal.settle_interrupted(AT_ONCE) == 1
    assert Entry.objects.get().outcome == "failed"
    assert HostMapping.objects.filter(host="cmp").exists()


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"disabled": True, "disabled_reason": "fan"}, "done"),
        ({}, "failed"),
        ({"forced_down": True}, "unknown"),
    ],
)
def test_an_interrupted_update(
    cloud: Cloud, service: Service, columns: dict[str, Any], outcome: str
) -> None:
    after = {"status": "disabled", "disabled_reason": "fan", "forced_down": False}
    interrupted(cloud, service, "disable", after)
    if columns:
        Service.objects.using(cloud.cell("cell2").alias).update(**columns)
    assert journal.settle_interrupted(AT_ONCE) == 1
    entry = Entry.objects.get()
    assert entry.outcome == outcome
    assert entry.after == (after if outcome == "done" else None)


def test_running_actions_are_not_settled_as_interrupted(cloud: Cloud, service: Service) -> None:
    interrupted(cloud, service, "disable", {})
    assert journal.settle_interrupted() == 0
    assert Intent.objects.count() == 1


def test_an_interrupted_action_in_a_dead_cell_waits(
    cloud: Cloud, service: Service, dead_cell: Any
) -> None:
    interrupted(cloud, service, "disable", {})
    assert journal.settle_interrupted(AT_ONCE) == 0
    assert Intent.objects.count() == 1


def test_a_delete_that_loses_the_race_is_a_404(cloud: Cloud, service: Service) -> None:
    """Both found the service; only one of them may report its deletion."""
    ref = ServiceRef(uuid=service.uuid or "")
    barrier = threading.Barrier(2)
    ends: list[str] = []

    def run() -> None:
        barrier.wait()
        try:
            actions.delete(ref, ACTOR)
            ends.append("done")
        except actions.Missing:
            ends.append("missing")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["done", "missing"]
    assert sorted(entry.outcome for entry in Entry.objects.all()) == ["done", "refused"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (Change(status="enabled"), "enable"),
        (Change(status="disabled"), "disable"),
        (Change(forced_down=True), "force-down"),
        (Change(forced_down=False), "force-up"),
        (Change(status="disabled", forced_down=True), "update"),
        (Change(), "update"),
    ],
)
def test_names_of_changes(change: Change, name: str) -> None:
    assert name_of(actions_in(change)) == name
