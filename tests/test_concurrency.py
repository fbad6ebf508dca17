"""Many operators and a heartbeat acting on one service concurrently, with real threads.

Nova-compute's heartbeat and the actions write to the same row: neither may lose what the other
wrote, and of two actions one must have happened after the other.  Where more act than the database
gets done, some wait for the row for too long and are refused: then they have changed nothing.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone
from pytest_django import Settings

from audit.journal import Actor
from audit.models import Channel, Entry, Intent
from cells.executors import executor_for
from services import actions
from services.actions import ServiceRef
from services.changes import state_of
from services.models import Service
from tests.clouds import Cloud
from tests.waiting import count

pytestmark = pytest.mark.server

#: Writers, and what each gets done; 50 and 100 for the full measure.
WRITERS = int(os.environ.get("CONCURRENCY_TEST_WRITERS", "8"))
ACTIONS = int(os.environ.get("CONCURRENCY_TEST_ACTIONS", "5"))


def together(*functions: Callable[[], None]) -> None:
    """Run each function in its own thread; an error in any of them fails the test."""
    errors: list[BaseException] = []

    def guarded(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def act(ref: ServiceRef, actor: Actor, number: int) -> str:
    """Apply a random action; a disabled service has the name of its last operator as reason."""
    choice = random.randrange(3)
    if choice == 0:
        actions.disable(ref, actor, f"{actor.username}:{number}")
    elif choice == 1:
        actions.enable(ref, actor)
    else:
        actions.set_forced_down(ref, bool(number % 2), actor)
    return actor.username


def test_writers_and_a_heartbeat_on_one_service(cloud: Cloud) -> None:
    service = cloud.host("cell2", "cmp", service={"report_count": 0})[0]
    cloud.host("cell1", "other")
    rows = Service.objects.using(cloud.cell("cell2").alias).filter(id=service.id)
    ref = ServiceRef(uuid=service.uuid or "")
    done: list[str] = []
    refused: list[str] = []
    beats = 0
    writing = WRITERS

    def write(name: str) -> Callable[[], None]:
        def run() -> None:
            nonlocal writing
            actor = Actor(name, Channel.API)
            left = ACTIONS
            try:
                while left:
                    try:
                        done.append(act(ref, actor, left))
                        left -= 1
                    except actions.Unavailable:
                        refused.append(name)
            finally:
                writing -= 1

        return run

    def heartbeat() -> None:
        """As nova-compute does: it reads the count, and writes the count and the time."""
        nonlocal beats
        while writing:
            count = rows.values_list("report_count", flat=True).get()
            assert count == beats, "an action wrote to the count"
            now = timezone.now()
            with suppress(OperationalError):  # it waits for the row no longer than actions do
                rows.update(report_count=count + 1, last_seen_up=now, updated_at=now)
                beats += 1
            time.sleep(0.005)

    together(heartbeat, *(write(f"writer-{number}") for number in range(WRITERS)))

    row = rows.get()
    assert row.report_count == beats > 0
    assert len(done) == WRITERS * ACTIONS
    entries = list(Entry.objects.filter(outcome="done").order_by("at", "id"))
    assert sorted(entry.username for entry in entries) == sorted(done)
    others = Entry.objects.exclude(outcome="done").values_list("username", "outcome")
    assert sorted(others) == [(name, "failed") for name in sorted(refused)]
    assert not Intent.objects.exists()
    # Serialized: each started from the result of the previous one.
    state: Any = {"status": "enabled", "disabled_reason": None, "forced_down": False}
    for entry in entries:
        assert entry.before == state
        state = entry.after
        assert (state["status"] == "enabled") == (state["disabled_reason"] is None)
    assert state_of(row) == state


def test_two_operators_result_in_one_of_their_outcomes(cloud: Cloud) -> None:
    service = cloud.host("cell2", "cmp")[0]
    rows = Service.objects.using(cloud.cell("cell2").alias).filter(id=service.id)
    ref = ServiceRef(uuid=service.uuid or "")
    barrier = threading.Barrier(2)

    def disable() -> None:
        barrier.wait()
        actions.disable(ref, Actor("ann", Channel.CONSOLE), "ann's reason")

    def enable() -> None:
        barrier.wait()
        actions.enable(ref, Actor("bob", Channel.API))

    for _ in range(20):
        rows.update(disabled=True, disabled_reason="before")
        together(disable, enable)
        row = rows.get()
        assert (row.disabled, row.disabled_reason) in [(True, "ann's reason"), (False, None)]
    assert Entry.objects.filter(outcome="done").count() == 40


def test_a_delete_against_updates(cloud: Cloud) -> None:
    """Updates after the delete find no service."""
    for number in range(10):
        service = cloud.host("cell2", f"cmp-{number}")[0]
        ref = ServiceRef(uuid=service.uuid or "")
        barrier = threading.Barrier(3)
        missing: list[str] = []

        def delete(ref: ServiceRef = ref, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            actions.delete(ref, Actor("ann", Channel.API))

        def disable(
            ref: ServiceRef = ref,
            barrier: threading.Barrier = barrier,
            missing: list[str] = missing,
        ) -> None:
            barrier.wait()
            try:
                actions.disable(ref, Actor("bob", Channel.API), "too late?")
            except actions.Missing:
                missing.append("bob")

        together(delete, disable, disable)
        row = Service.with_deleted.using(cloud.cell("cell2").alias).get(id=service.id)
        assert row.deleted == service.id
        refused = Entry.objects.filter(service_uuid=service.uuid, outcome="refused")
        assert refused.count() == len(missing)
        assert row.disabled is (len(missing) < 2)


def test_an_action_waits_for_the_row_lock(cloud: Cloud) -> None:
    """A heartbeat in the middle of its transaction is neither lost nor overwritten."""
    service = cloud.host("cell2", "cmp", service={"report_count": 5})[0]
    alias = cloud.cell("cell2").alias
    rows = Service.objects.using(alias).filter(id=service.id)
    ref = ServiceRef(uuid=service.uuid or "")
    locked = threading.Event()

    def heartbeat() -> None:
        with transaction.atomic(using=alias):
            rows.update(report_count=6)
            locked.set()
            time.sleep(0.3)

    def disable() -> None:
        locked.wait()
        actions.disable(ref, Actor("ann", Channel.API), "fan")

    together(heartbeat, disable)
    row = rows.get()
    assert (row.report_count, row.disabled_reason) == (6, "fan")


@pytest.mark.usefixtures("short_deadline")
def test_an_action_without_time_left_does_not_take_its_cell_down(
    cloud: Cloud, settings: Settings
) -> None:
    """It waits for a row, while the cell answers others."""
    service = cloud.host("cell2", "cmp")[0]
    cell = cloud.cell("cell2")
    settings.ACTION_DEADLINE = 1.7  # less than it may wait for the row
    with transaction.atomic(using=cell.alias):
        Service.objects.using(cell.alias).select_for_update().get(id=service.id)
        refused: list[actions.Unavailable] = []

        def disable() -> None:
            try:
                actions.disable(ServiceRef(uuid=service.uuid or ""), Actor("ann", Channel.API))
            except actions.Unavailable as error:
                refused.append(error)

        def read() -> None:
            while not refused:
                executor_for(cell).submit(lambda: count(cell.alias)).result(10)
                time.sleep(0.05)

        together(disable, read)
    assert len(refused) == 1
    assert not executor_for(cell).breaker.is_open()
