"""Databases that hang or refuse: what that costs, and whom."""

import logging
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.db.utils import ConnectionHandler
from django.test import Client
from pytest_django import Settings

from cells import breakers
from cells.backends import guards
from cells.database_urls import database_settings
from cells.databases import alias_of
from cells.deadlines import Line, each_within, within
from cells.read_ahead import read_ahead
from cells.registry import Cell
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.engines import forget_cloud
from tests.servers import Proxy, free_port
from tests.waiting import count, count_disabled, lasting, wait_until


@pytest.fixture
def service(cloud: Cloud) -> Service:
    cloud.host("cell1", "other")
    return cloud.host("cell2", "cmp")[0]


# --- databases that hang ----------------------------------------------------------------------


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
@pytest.mark.parametrize("debug", [False, True])
def test_a_transaction_begins_with_whatever_is_first(
    cloud: Cloud, service: Service, debug: bool
) -> None:
    alias = cloud.cell("cell2").alias
    rows = Service.objects.using(alias)

    def many() -> None:
        with connections[alias].cursor() as cursor:
            cursor.executemany("UPDATE services SET version = %s", [[1], [2]])

    def nested() -> None:
        with transaction.atomic(using=alias):
            rows.update(version=3)

    connections[alias].force_debug_cursor = debug
    try:
        for first in (rows.get, lambda: list(rows.iterator(chunk_size=1)), many, nested):
            with transaction.atomic(using=alias):
                first()
                rows.update(disabled=True)
                transaction.set_rollback(True, using=alias)
            assert not rows.get().disabled
            with transaction.atomic(using=alias):
                first()
                rows.update(disabled=True)
            assert rows.get().disabled
            rows.update(disabled=False)
        with transaction.atomic(using=alias):
            pass
        with pytest.raises(IntegrityError), transaction.atomic(using=alias):
            rows.create(id=service.id)
        assert rows.get().host == "cmp"
    finally:
        connections[alias].force_debug_cursor = False


@pytest.mark.server
@pytest.mark.parametrize(
    ("first", "parameters"), [("SELEC 1", []), ("SELECT %s, %s", [1]), ("SELECT 1", [])]
)
def test_a_first_statement_that_fails_ends_no_transaction(
    cloud: Cloud, service: Service, first: str, parameters: list[int]
) -> None:
    """Whatever is done after a malformed one is still rolled back."""
    alias = cloud.cell("cell2").alias
    rows = Service.objects.using(alias)
    with transaction.atomic(using=alias):
        with suppress(DatabaseError, IndexError), connections[alias].cursor() as cursor:
            cursor.execute(first, parameters)
        rows.update(disabled=True)
        transaction.set_rollback(True, using=alias)
    assert not rows.get().disabled


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


@pytest.mark.usefixtures("quick_probes", "short_deadline", "service")
@pytest.mark.server
def test_a_process_that_has_just_begun_serves_without_novas_api_database(
    cloud: Cloud, api: ApiClient
) -> None:
    cloud.add_aggregate("rack", ["cmp"], zone="az7")
    reads = ("/os-services", "/os-hypervisors/detail", "/os-hypervisors/statistics")
    before = {path: api.get(path, "2.53").body for path in reads}
    with cloud.own_proxy("api") as proxy:
        forget_cloud()  # as in a new process
        guards.serve()
        read_ahead()
        time.sleep(1)  # one that has answered just now is not away, but slow
        proxy.hang()
        assert api.get("/os-services", "2.53").status == 200
        for path in reads:
            answer = api.get(path, "2.53")
            assert (answer.status, answer.body) == (200, before[path])
            assert "Nova's API database does not answer" in answer.headers["Warning"]


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


@pytest.mark.server
def test_a_transaction_that_is_refused_is_no_answer(cloud: Cloud) -> None:
    assert not User.objects.exists()  # connects
    guard = guards.guard_of("default")
    assert guard is not None
    guard.breaker.failed("hangs")
    with pytest.raises(OperationalError, match="hangs"), transaction.atomic():
        User.objects.exists()
    assert guard.breaker.is_open()
    guards.forget_guards()


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


def test_a_file_that_is_gone_is_not_taken_for_an_empty_database(tmp_path: Path) -> None:
    file = tmp_path / "api.sqlite3"
    url = f"sqlite:///{file}"
    handler = ConnectionHandler({"default": {}, "api": database_settings(url, connect_timeout=1)})
    database: Any = handler["api"]
    guards.serve()
    with pytest.raises(sqlite3.OperationalError, match="its database file is gone"):
        database.get_new_connection(database.get_connection_params())
    assert not file.exists()
    guards.forget_guards()  # as in a command, which may create it
    database.get_new_connection(database.get_connection_params()).close()
    assert file.exists()


def test_a_file_that_takes_the_place_of_another_is_opened(tmp_path: Path) -> None:
    """A backup that is put back; until then nothing is read from the file that was moved."""
    file, backup = tmp_path / "cell.sqlite3", tmp_path / "backup.sqlite3"
    for path, row in ((file, 1), (backup, 2)):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE rows (n)")
            database.execute("INSERT INTO rows VALUES (?)", (row,))
    alias = alias_of("of-the-file")
    databases = {"default": {}, alias: database_settings(f"sqlite:///{file}", connect_timeout=1)}
    kept: Any = ConnectionHandler(databases)[alias]

    def read() -> int:
        with kept.cursor() as cursor:
            found: tuple[int] = cursor.execute("SELECT n FROM rows").fetchone()
        return found[0]

    assert read() == 1
    opened = kept.connection
    assert read() == 1
    assert kept.connection is opened
    file.rename(tmp_path / "away.sqlite3")
    kept.close_if_unusable_or_obsolete()  # between requests, where there is no answer to give
    with pytest.raises(OperationalError, match="its database file is gone"):
        read()
    file.symlink_to(file)  # as a share that is stale, or a directory that may not be looked into
    with pytest.raises(OperationalError, match="its database file: Too many levels"):
        read()
    file.unlink()
    backup.rename(file)
    assert read() == 2
    kept.close()


def test_the_file_of_novas_api_database_is_gone(
    tmp_path: Path, cloud: Cloud, console: Client, settings: Settings, dead_cell: Cell
) -> None:
    """What needs no mapping is found, and every page says what it does not know."""
    service, _ = cloud.host("cell1", "cmp-1")
    for page in ("", "services/service/", "hypervisors/computenode/"):
        assert "API database does not" not in console.get(f"/admin/{page}").content.decode()
    settings.CELL_MAPPINGS_TTL = 0.5
    time.sleep(0.5)
    cloud.point_own("api", f"sqlite:///{tmp_path}/none/api.sqlite3")
    try:
        for page in ("", "services/service/", "hypervisors/computenode/", "audit/entry/"):
            shown: Any = console.get(f"/admin/{page}")
            assert shown.status_code == 200, page
            text = " ".join(shown.content.decode().split())
            assert "API database does not answer: cells, hosts and aggregates are as" in text, page
        found = console.get("/admin/search/?q=cmp").content.decode()
        assert str(service.uuid) in found
        assert "so it is not known what is mapped to the cells that" in found
    finally:
        cloud.point_own("api", cloud.api_url)
