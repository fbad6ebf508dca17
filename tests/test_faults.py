"""Faults of databases: what each of them may cost, and whom."""

import datetime
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, close_old_connections, connections, transaction
from django.db.models.signals import post_save
from django.test import Client
from pytest_django import Settings

from audit import journal
from audit.journal import Actor
from audit.models import Channel, Entry, Intent, OutboxMessage, Outcome
from audit.outbox import Message
from cells import breakers
from cells.backends import guards
from cells.deadlines import Line, each_within, within
from cells.executors import close_executors, executor_for
from cells.models import CellMapping
from cells.notices import NoticeBoard
from cells.registry import all_cells, forget_cells
from cells.scatter_gather import ask_cells
from services.changes import KIND, state_of, subject_of
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.servers import Proxy, free_port

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


# --- databases that hang ----------------------------------------------------------------------


@contextmanager
def lasting(at_most: float) -> Iterator[None]:
    """The block must not take longer; the bound leaves a busy machine some seconds."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < at_most


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def count(alias: str) -> int:
    return Service.objects.using(alias).count()


@pytest.mark.server
@pytest.mark.usefixtures("short_deadline")
def test_a_statement_on_a_database_that_hangs_ends(cloud: Cloud, service: Service) -> None:
    with cloud.proxy("cell2") as proxy:
        alias = cloud.cell("cell2").alias
        assert count(alias) == 1
        proxy.hang()
        with lasting(6), within(0.5), pytest.raises(OperationalError, match="no answer within"):
            count(alias)
        with lasting(6), within(0.5), pytest.raises(OperationalError):  # nor can it be connected to
            count(alias)
        proxy.go_on()
        assert count(alias) == 1
        connections[alias].close()


def fail_at_a_statement(proxy: Proxy, alias: str) -> None:
    rows = Service.objects.using(alias)
    with transaction.atomic(using=alias):
        rows.update(disabled=True)
        proxy.hang()
        with pytest.raises(OperationalError), within(0.5):
            rows.update(disabled=False)
        count(alias)  # by a connection that has ended


def fail_at_the_commit(proxy: Proxy, alias: str) -> None:
    with within(1), transaction.atomic(using=alias):
        Service.objects.using(alias).update(disabled=True)
        proxy.hang()


def fail_at_the_rollback(proxy: Proxy, alias: str) -> None:
    with within(1), transaction.atomic(using=alias):
        Service.objects.using(alias).update(disabled=True)
        proxy.hang()
        raise KeyError("of the block itself")


@pytest.mark.server
@pytest.mark.usefixtures("short_deadline")
@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (fail_at_a_statement, OperationalError),
        (fail_at_the_commit, OperationalError),
        (fail_at_the_rollback, KeyError),
    ],
)
def test_a_transaction_on_a_database_that_hangs_ends(
    cloud: Cloud, service: Service, fail: Callable[[Proxy, str], None], error: type[Exception]
) -> None:
    """With its own error; nothing was changed, and the next transaction has a new connection."""
    with cloud.proxy("cell2") as proxy:
        alias = cloud.cell("cell2").alias
        assert count(alias) == 1
        with lasting(6), pytest.raises(error):
            fail(proxy, alias)
        proxy.cut()
        proxy.go_on()
        with transaction.atomic(using=alias):
            found = Service.objects.using(alias).select_for_update().get()
            assert not found.disabled
        connections[alias].close()


@pytest.mark.server
def test_each_statement_has_its_time(cloud: Cloud) -> None:
    alias = cloud.cell("cell2").alias
    sleep = "SELECT pg_sleep(0.7)" if cloud.engine == "postgresql" else "SELECT SLEEP(0.7)"

    def sleep_thrice() -> None:
        for _ in range(3):
            with connections[alias].cursor() as cursor:
                cursor.execute(sleep)

    with each_within(1.5):
        sleep_thrice()
    with pytest.raises(OperationalError, match="no answer within"), within(1.5):
        sleep_thrice()
    assert count(alias) == 0


def test_the_watchdog_survives_what_it_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(now: float) -> None:
        raise RuntimeError("a defect")

    one, other = socket.socketpair()
    broken, sound = Line(other.fileno()), Line(other.fileno())
    try:
        monkeypatch.setattr(broken, "cut_if_expired", fail)
        sound.start(time.monotonic())
        wait_until(lambda: sound.is_cut)
        assert one.recv(1) == b""
        assert not sound.is_idle()
    finally:
        for each in (one, other, broken, sound):
            each.close()


# --- the databases that all requests need ------------------------------------------------------


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "FIRST_PROBE_AFTER", 0.3)


@pytest.fixture
def console(cloud: Cloud) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.mark.server
@pytest.mark.usefixtures("quick_probes", "short_deadline")
def test_the_portals_database_hangs(
    cloud: Cloud, api: ApiClient, service: Service, console: Client
) -> None:
    colleague = api.as_user("bob", "admin")
    with cloud.own_proxy("default") as proxy:
        for client in (api, colleague):
            assert client.get("/os-services", "2.53").status == 200
        assert console.get("/admin/").status_code == 200
        proxy.hang()
        with lasting(8):
            health = console.get("/healthz")
        assert (health.status_code, health.json()["databases_away"]) == (503, ["default"])
        for client in (api, colleague):  # with tokens that are known here
            with lasting(4):
                listed = client.get("/os-services", "2.53")
            assert (listed.status, len(listed.body["services"])) == (200, 2)
        with lasting(4):
            changed = api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
        assert changed.status == 503
        stranger = ApiClient("t" + 43 * "x").get("/os-services", "2.53")
        assert stranger.status == 503
        assert stranger.body["serviceUnavailable"]["code"] == 503
        assert stranger.headers["Retry-After"] == "10"
        for path in ("/admin/", "/admin/services/service/", "/admin/login/"):
            with lasting(4):
                page: Any = console.get(path)
            if path != "/admin/login/":
                assert page.status_code == 503
                assert page.headers["Retry-After"] == "10"
                assert "A database does not answer" in page.content.decode()
        proxy.go_on()
        wait_until(lambda: console.get("/healthz").status_code == 200)
        assert console.get("/admin/").status_code == 200
        assert not count_disabled(cloud)


def count_disabled(cloud: Cloud) -> int:
    return Service.objects.using(cloud.cell("cell2").alias).filter(disabled=True).count()


@pytest.mark.server
@pytest.mark.usefixtures("quick_probes")
def test_novas_api_database_hangs(
    cloud: Cloud,
    api: ApiClient,
    service: Service,
    console: Client,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was read of it last serves reads, with a warning that says how old it is."""
    cloud.add_aggregate("rack", ["cmp"], zone="az7")
    caplog.set_level(logging.INFO, "cells.breakers")
    reads = ("/os-services", "/os-hypervisors/detail", "/os-hypervisors/statistics")
    pages = ("", "services/service/", "hypervisors/computenode/", "problems/")
    with cloud.own_proxy("api") as proxy:
        before = {path: api.get(path, "2.53").body for path in reads}
        assert [one["zone"] for one in before["/os-services"]["services"]] == ["nova", "az7"]
        for page in pages:
            assert console.get(f"/admin/{page}").status_code == 200
        settings.CELL_MAPPINGS_TTL, settings.CELL_DEADLINE = 0.01, 3
        proxy.hang()
        with lasting(10):
            assert api.get("/os-services", "2.53").status == 200
        for path in reads:
            with lasting(6):
                answer = api.get(path, "2.53")
            assert (answer.status, answer.body) == (200, before[path])
            assert "Nova's API database does not answer" in answer.headers["Warning"]
        for page in pages:
            with lasting(6):
                shown: Any = console.get(f"/admin/{page}")
            assert shown.status_code == 200
            assert "API database does not answer" in shown.content.decode()
        with lasting(4):
            assert api.delete(f"/os-services/{service.uuid}", "2.53").status == 503
        with lasting(4):
            assert console.get("/healthz").json()["databases_away"] == ["api"]
        proxy.go_on()
        wait_until(lambda: console.get("/healthz").status_code == 200)
        assert "Warning" not in api.get("/os-services", "2.53").headers
    said = [one.getMessage() for one in caplog.records if one.name == "cells.breakers"]
    assert said[0].startswith("database api does not answer: ")
    assert said[1:] == ["database api answers again"]


@pytest.mark.usefixtures("quick_probes", "short_deadline")
def test_databases_that_refuse(cloud: Cloud, api: ApiClient, console: Client) -> None:
    scheme = "mysql" if cloud.engine == "mysql" else "postgresql"
    url = f"{scheme}://nova:secret@127.0.0.1:{free_port()}/nova"
    original = {"api": cloud.api_url, "default": cloud.portal_url}
    api.get("/os-services", "2.53")
    console.get("/admin/services/service/")
    for alias, status in (("api", 200), ("default", 503)):
        cloud.point_own(alias, url)
        try:
            assert api.get("/os-services", "2.53").status == 200
            assert console.get("/admin/services/service/").status_code == status
            health = console.get("/healthz")
            assert (health.status_code, health.json()["databases_away"]) == (503, [alias])
            assert "secret" not in health.content.decode()
        finally:
            cloud.point_own(alias, original[alias])
    assert console.get("/healthz").status_code == 200


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


# --- what processes tell one another -----------------------------------------------------------


@pytest.mark.any_engine
def test_processes_tell_one_another_which_cells_do_not_answer(
    cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cell = cloud.cell("cell2")
    notice = tmp_path / cell.uuid
    board = NoticeBoard(tmp_path)
    board.start()
    try:
        breaker = executor_for(cell).breaker
        breaker.failed("no answer within 2.0 s")
        assert notice.read_text() == "no answer within 2.0 s"
        breaker.succeeded()
        assert not notice.exists()

        caplog.clear()
        notice.write_text("refused")  # as another process does
        wait_until(breaker.is_open)
        assert (breaker.last_error, breaker.probe_in() is not None) == ("refused", True)
        answers = ask_cells([cell], lambda cell: count(cell.alias))
        assert [away.cause for away in answers.missing] == ["refused"]
        notice.unlink()
        wait_until(lambda: not breaker.is_open())
        assert ask_cells([cell], lambda cell: count(cell.alias)).complete
        assert not [one for one in caplog.records if one.levelno >= logging.INFO]  # one has said it
    finally:
        board.stop()


@pytest.mark.any_engine
def test_a_process_that_starts_knows_what_the_others_have_told(
    cloud: Cloud, tmp_path: Path
) -> None:
    close_executors()
    (tmp_path / cloud.cell("cell2").uuid).write_text("refused")
    board = NoticeBoard(tmp_path)
    board.look()
    breaker = executor_for(cloud.cell("cell2")).breaker
    board.look()
    assert breaker.is_open()


@pytest.mark.server
@pytest.mark.usefixtures("short_deadline")
def test_a_slow_statement_is_no_outage(cloud: Cloud, console: Client) -> None:
    """Nobody else has been answered meanwhile, so only a probe can tell."""
    guards.serve()
    sleep = "SELECT pg_sleep(5)" if cloud.engine == "postgresql" else "SELECT SLEEP(5)"
    connection = connections["default"]
    with (
        lasting(6),
        each_within(1.5),
        pytest.raises(OperationalError),
        connection.cursor() as cursor,
    ):
        cursor.execute(sleep)
    guard = guards.guard_of("default")
    assert guard is not None
    wait_until(lambda: not guard.breaker.is_open())
    assert console.get("/admin/").status_code == 200
