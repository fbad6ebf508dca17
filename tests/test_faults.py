"""Actions whose end is not known, values that are none, and changes in cells that fail."""

import datetime
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import close_old_connections, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_save
from django.test import Client
from pytest_django import Settings

from audit import journal
from audit.journal import Actor
from audit.models import Channel, Entry, Intent, OutboxMessage, Outcome
from audit.outbox import Message
from cells.executors import executor_for
from cells.models import CellMapping
from cells.registry import all_cells, forget_cells
from portal import schema
from services.changes import KIND, state_of, subject_of
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.servers import Proxy
from tests.waiting import count, count_disabled, lasting, wait_until

ACTOR = Actor("ann", Channel.COMMAND, "req-1")
AT_ONCE = datetime.timedelta(0)


@pytest.fixture
def service(cloud: Cloud) -> Service:
    cloud.host("cell1", "other")
    return cloud.host("cell2", "cmp")[0]


def draft(cloud: Cloud, service: Service) -> Entry:
    """An entry of disabling the service, as it is just before the change."""
    cell = cloud.cell("cell2")
    entry = journal.draft(ACTOR, "disable", service_uuid=service.uuid or "", host="cmp")
    entry.cell_uuid, entry.cell_name, entry.service_id = cell.uuid, cell.name, service.id
    entry.before = state_of(service)
    entry.after = entry.before | {"status": "disabled"}
    return entry


# --- actions whose end is not known -----------------------------------------------------------


@pytest.mark.server
def test_an_action_that_still_has_its_row_locked_is_not_taken_for_interrupted(
    cloud: Cloud, service: Service
) -> None:
    """Its commit may be waiting for a standby, for as long as that is away."""
    alias = cloud.cell("cell2").alias
    journal.begin(draft(cloud, service), KIND, subject_of(cloud.cell("cell2"), service))
    with transaction.atomic(using=alias):
        rows = Service.objects.using(alias).filter(id=service.id)
        rows.select_for_update().get()
        rows.update(disabled=True)
        assert journal.settle_interrupted(AT_ONCE) == 0
        assert Intent.objects.exists()
    assert journal.settle_interrupted(AT_ONCE) == 1
    assert Entry.objects.get().outcome == Outcome.DONE


@pytest.mark.usefixtures("db")
def test_an_action_that_is_done_after_all_corrects_the_record() -> None:
    entry = journal.draft(ACTOR, "disable", host="cmp")
    entry.after = {"status": "disabled"}
    with journal.recorded(entry, KIND) as attempt:
        attempt.begin("cell:1", [Message("none", {"about": "cmp"})])
        journal.end(Intent.objects.get(), Outcome.FAILED, "interrupted")  # by another process
    wrong, right = Entry.objects.order_by("id")
    assert (wrong.outcome, wrong.after) == (Outcome.FAILED, None)
    assert (right.outcome, right.after) == (Outcome.DONE, {"status": "disabled"})
    assert right.message == f"corrects entry {wrong.id} (failed)"
    assert OutboxMessage.objects.get().payload == {"about": "cmp"}


@pytest.mark.usefixtures("db")
def test_an_action_that_another_process_has_recorded_as_done_is_recorded_once() -> None:
    entry = journal.draft(ACTOR, "disable", host="cmp")
    with journal.recorded(entry, KIND) as attempt:
        attempt.begin("cell:1", [Message("none", {})])
        journal.end(Intent.objects.get(), Outcome.DONE, "interrupted")
    assert Entry.objects.get().message == "interrupted"
    assert OutboxMessage.objects.count() == 1


@contextmanager
def table_missing(table: str) -> Iterator[None]:
    """The portal's own database lacks a table meanwhile."""

    def rename(before: str, after: str) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {before} RENAME TO {after}")

    rename(table, "set_aside")
    try:
        yield
    finally:
        rename("set_aside", table)


@pytest.mark.parametrize("action", ["update", "delete"])
def test_an_action_that_is_done_and_cannot_be_put_on_record_is_done(
    cloud: Cloud, api: ApiClient, service: Service, action: str
) -> None:
    url = f"/os-services/{service.uuid}"
    with table_missing("audit_entry"):
        if action == "update":
            answer = api.put(url, {"status": "disabled"}, "2.53")
        else:
            answer = api.delete(url, "2.53")
    assert answer.status == {"update": 200, "delete": 204}[action]
    assert (
        "it will be put on record when the portal's own database answers"
        in (answer.headers["Warning"])
    )
    assert journal.settle_interrupted(AT_ONCE) == 1
    assert Entry.objects.get().outcome == Outcome.DONE


def test_an_action_that_cannot_be_written_down_is_not_done_and_blames_no_cell(
    cloud: Cloud, api: ApiClient, service: Service
) -> None:
    with table_missing("audit_intent"):
        for answer in (
            api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53"),
            api.delete(f"/os-services/{service.uuid}", "2.53"),
        ):
            assert answer.status == 503
            message = answer.body["serviceUnavailable"]["message"]
            assert message.startswith("the portal's own database failed: ")
    assert not count_disabled(cloud)
    assert count(cloud.cell("cell2").alias) == 1


@pytest.fixture
def forgotten_schema() -> Iterator[None]:
    schema.forget()
    yield
    schema.forget()


@pytest.mark.any_engine
@pytest.mark.usefixtures("forgotten_schema")
def test_without_migrations_nothing_is_served_until_they_are_there(
    cloud: Cloud, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Client()
    migrations = MigrationRecorder(connections["default"]).migration_qs
    newest = migrations.filter(app="audit").latest("id")
    with table_missing("portal_apitoken"):
        assert api.get("/os-services", "2.53").status == 500  # by a defect, for all that is known
        newest.delete()
        schema.forget()
        answer = api.get("/os-services", "2.53")
        assert answer.status == 503
        assert answer.body["serviceUnavailable"]["message"] == schema.INCOMPLETE
    for path in ("/admin/login/", "/healthz"):
        page: Any = browser.get(path)
        assert (page.status_code, page.headers["Retry-After"]) == (503, "10")
        assert "run manage.py migrate" in page.content.decode()
    newest.save(force_insert=True)
    monkeypatch.setattr(schema, "LOOK_AGAIN_AFTER", 0)
    assert api.get("/os-services", "2.53").status == 200


# --- values that Python cannot represent ------------------------------------------------------

ODD_TIMES = {
    "sqlite": ("0000-00-00 00:00:00", "20000-01-01 00:00:00"),
    "postgresql": ("0044-03-15 00:00:00 BC", "20000-01-01 00:00:00"),
    "mysql": ("0000-00-00 00:00:00", "2024-00-10 00:00:00"),
}


@pytest.fixture
def odd_service(cloud: Cloud, service: Service) -> Service:
    """A service with times that no Python has."""
    first, second = ODD_TIMES[cloud.engine]
    alias = cloud.cell("cell2").alias
    cloud.host("cell2", "sound")
    with connections[alias].cursor() as cursor:
        if cloud.engine == "mysql":
            cursor.execute("SET SESSION sql_mode = ''")
        for table in ("services", "compute_nodes"):
            cursor.execute(
                f"UPDATE {table} SET created_at = %s, updated_at = %s WHERE host = 'cmp'",
                [first, second],
            )
        cursor.execute("UPDATE services SET last_seen_up = %s WHERE host = 'cmp'", [second])
    connections[alias].close()
    return service


def test_a_time_that_cannot_be_read_is_null_and_costs_no_other_row(
    cloud: Cloud, api: ApiClient, odd_service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    listed = api.get("/os-services", "2.53")
    assert listed.status == 200
    assert "Warning" not in listed.headers
    by_host = {one["host"]: one for one in listed.body["services"]}
    assert by_host.keys() == {"other", "cmp", "sound"}
    assert by_host["cmp"]["updated_at"] is None
    assert by_host["cmp"]["state"] == "down"
    assert by_host["sound"]["state"] == "up"
    assert len(api.get("/os-hypervisors/detail", "2.53").body["hypervisors"]) == 3
    warnings = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert {one.name for one in warnings} == {"cells.odd_times"}


def test_a_service_with_a_time_that_cannot_be_read_can_be_changed(
    cloud: Cloud, api: ApiClient, odd_service: Service
) -> None:
    answer = api.put(f"/os-services/{odd_service.uuid}", {"status": "disabled"}, "2.53")
    assert (answer.status, answer.body["service"]["status"]) == (200, "disabled")


@pytest.mark.parametrize("page", ["services/service", "hypervisors/computenode", "problems"])
def test_pages_have_rows_with_a_time_that_cannot_be_read(
    cloud: Cloud, odd_service: Service, page: str
) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    answer: Any = client.get(f"/admin/{page}/")
    assert answer.status_code == 200
    assert "cell2 did not answer" not in answer.content.decode()
    assert page == "problems" or "cmp" in answer.content.decode()


# --- changes ------------------------------------------------------------------------------------


@pytest.mark.server
def test_a_row_that_another_has_locked_is_waited_for_briefly(
    cloud: Cloud, api: ApiClient, service: Service
) -> None:
    cell = cloud.cell("cell2")
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using=cell.alias):
            Service.objects.using(cell.alias).select_for_update().get(id=service.id)
            holding.set()
            release.wait(60)
        connections[cell.alias].close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(20)
        with lasting(7):
            answer = api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
        assert answer.status == 503
    finally:
        release.set()
        thread.join()
    assert Entry.objects.get().outcome == Outcome.FAILED
    assert not Intent.objects.exists()
    assert not executor_for(cell).breaker.is_open()
    assert not count_disabled(cloud)


@pytest.mark.server
def test_a_commit_that_hangs_is_given_up_and_its_end_found_out(
    cloud: Cloud, api: ApiClient, service: Service, settings: Settings
) -> None:
    settings.ACTION_DEADLINE = 3
    with cloud.proxy("cell2") as proxy:
        with hanging_at_the_commit(proxy), lasting(9):
            answer = api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
        assert answer.status == 503
        assert executor_for(cloud.cell("cell2")).breaker.is_open()
        assert Intent.objects.exists()
        proxy.cut()
        proxy.go_on()
    cloud.point("cell2", cloud.url("cell2"))
    wait_until(lambda: journal.settle_interrupted(AT_ONCE) == 1)
    entry = Entry.objects.get()
    done = Service.objects.using(cloud.cell("cell2").alias).get(id=service.id).disabled
    assert entry.outcome == (Outcome.DONE if done else Outcome.FAILED)


@contextmanager
def hanging_at_the_commit(proxy: Proxy) -> Iterator[None]:
    """The server of a cell hangs once an action has written its intent."""

    def hang(sender: object, **kwargs: object) -> None:
        proxy.hang()

    post_save.connect(hang, sender=Intent)
    try:
        yield
    finally:
        post_save.disconnect(hang, sender=Intent)


def test_a_cell_that_has_moved_is_asked_where_it_is_now(cloud: Cloud) -> None:
    """Threads of requests keep their connections for a while."""
    cell = cloud.cell("cell2")
    assert count(cell.alias) == 0
    cloud.add_service("cell3", "moved")
    mapping = CellMapping.objects.filter(uuid=cell.uuid)
    mapping.update(database_connection=cloud.url("cell3"))
    forget_cells()
    all_cells()
    close_old_connections()  # as Django does before each request
    assert count(cell.alias) == 1
    connections[cell.alias].close()
