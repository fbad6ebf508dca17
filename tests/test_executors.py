"""Executors: a few threads for each cell, behind a circuit breaker."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import DatabaseError, connections
from pytest_django import Settings

from cells import breakers
from cells.breakers import CircuitBreaker
from cells.executors import CellExecutor, CellUnavailable, close_executors, executor_for
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from services.models import Service
from tests.clouds import Cloud
from tests.servers import SilentServer, free_port


@pytest.fixture
def executor(cloud: Cloud) -> Iterator[CellExecutor]:
    """An executor of cell1."""
    executor = CellExecutor(cloud.cell("cell1"))
    yield executor
    executor.close()


def count_services(cell: Cell) -> Callable[[], int]:
    return lambda: Service.objects.using(cell.alias).count()


def threads_of(cell: Cell) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"executor-{cell.name}"]


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


# --- the log --------------------------------------------------------------------------------------


def test_a_database_that_comes_and_goes_is_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is in the end is logged in the end."""
    caplog.set_level(logging.INFO, "cells.breakers")
    breaker = CircuitBreaker("cell c")
    for _ in range(5):
        breaker.failed("refused")
        breaker.failed("refused")
        breaker.succeeded()
    breaker.failed("refused")
    monkeypatch.setattr(breakers, "LOG_EVERY", 0)  # a minute later
    breaker.failed("timed out")
    breaker.failed("timed out")
    assert [one.getMessage() for one in caplog.records] == [
        "cell c does not answer: refused",
        "cell c answers again",
        "cell c does not answer: timed out",
    ]


# --- threads --------------------------------------------------------------------------------------


def test_an_answer_and_an_error_arrive(executor: CellExecutor) -> None:
    assert executor.submit(count_services(executor.cell)).result(10) == 0
    error = ValueError("its own")

    def fail() -> None:
        raise error

    raised = executor.submit(fail).exception(10)
    assert isinstance(raised, CellUnavailable)
    assert raised.__cause__ is error
    assert not executor.breaker.is_open()


def test_an_executor_has_at_most_so_many_threads(
    executor: CellExecutor, settings: Settings
) -> None:
    settings.CELL_MAX_WORKERS = 3
    release = threading.Event()
    running = threading.Semaphore(0)

    def hang() -> str:
        running.release()
        release.wait(30)
        return threading.current_thread().name

    futures = [executor.submit(hang) for _ in range(8)]
    for _ in range(3):
        assert running.acquire(timeout=10)
    assert not running.acquire(timeout=0.1), "a fourth is running"
    release.set()
    assert [future.result(10) for future in futures] == ["executor-cell1"] * 8
    assert len(threads_of(executor.cell)) == 3
    wait_until(lambda: executor.pending == 0)


def test_an_idle_thread_is_used_again(executor: CellExecutor) -> None:
    names = set()
    for _ in range(5):
        names.add(executor.submit(threading.get_ident).result(10))
        wait_until(lambda: executor.pending == 0)
    assert len(names) == 1


def test_a_closed_executor_finishes_its_work_and_ends_its_threads(executor: CellExecutor) -> None:
    release = threading.Event()
    first = executor.submit(lambda: release.wait(30))
    others = [executor.submit(count_services(executor.cell)) for _ in range(6)]
    executor.close()
    late = executor.submit(count_services(executor.cell))
    release.set()
    assert first.result(10) is True
    assert [future.result(10) for future in [*others, late]] == [0] * 7
    wait_until(lambda: not threads_of(executor.cell))


def test_threads_never_keep_the_process_alive(executor: CellExecutor) -> None:
    executor.submit(count_services(executor.cell)).result(10)
    assert all(thread.daemon for thread in threads_of(executor.cell))


# --- which executor -------------------------------------------------------------------------------


def test_a_cell_keeps_its_executor_until_its_database_changes(cloud: Cloud) -> None:
    executor = executor_for(cloud.cell("cell1"))
    assert executor_for(cloud.cell("cell1")) is executor
    assert executor_for(cloud.cell("cell2")) is not executor
    executor.submit(count_services(executor.cell)).result(10)

    moved = cloud.point("cell1", cloud.url("cell3"))
    cloud.add_service("cell3", "compute-3")
    new = executor_for(moved)
    assert new is not executor
    assert new.submit(count_services(moved)).result(10) == 1
    wait_until(lambda: len(threads_of(moved)) == 1)


def test_closing_all_forgets_what_their_breakers_know(cloud: Cloud) -> None:
    cell = cloud.cell("cell1")
    executor_for(cell).breaker.failed("a cause")
    assert executor_for(cell).breaker.is_open()
    close_executors()
    assert not executor_for(cell).breaker.is_open()


# --- the breaker ----------------------------------------------------------------------------------


def test_the_breaker_knows_the_last_answer(
    executor: CellExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cells.breakers")
    assert executor.breaker.answered_at is None
    executor.submit(count_services(executor.cell)).result(10)
    assert executor.breaker.answered_at == pytest.approx(time.time(), abs=5)

    executor.breaker.failed("first cause")
    executor.breaker.failed("second cause")
    assert (executor.breaker.is_open(), executor.breaker.last_error) == (True, "second cause")
    executor.submit(count_services(executor.cell)).result(10)
    assert (executor.breaker.is_open(), executor.breaker.last_error) == (False, "")
    assert [record.getMessage() for record in caplog.records] == [
        "cell cell1 does not answer: first cause",
        "cell cell1 answers again",
    ]


def test_a_cell_that_failed_is_probed_until_it_answers(
    cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the executor itself: no request waits for it, and none is needed."""
    monkeypatch.setattr(breakers, "FIRST_PROBE_AFTER", 0.05)
    settings.CELL_RETRY_AFTER = 0.2
    port = free_port()
    scheme = "mysql" if cloud.engine == "mysql" else "postgresql"
    cell = cloud.point("cell2", f"{scheme}://nova:secret@127.0.0.1:{port}/nova")
    assert not ask_cells([cell], lambda cell: count_services(cell)()).complete
    with SilentServer(port) as server:
        wait_until(lambda: server.connections > 0)
    close_executors()


def test_probes_are_ever_further_apart(settings: Settings) -> None:
    settings.CELL_RETRY_AFTER = 10
    breaker = CircuitBreaker("cell cell1")
    assert (breaker.probe_in(), breaker.claim_probe()) == (None, False)
    breaker.failed("a cause")
    waits = []
    for _ in range(6):
        assert not breaker.claim_probe()
        waits.append(round(breaker.probe_in() or 0))
        breaker._probe_at = 0  # as if the time had come
        assert breaker.claim_probe()
        breaker.failed("a cause")
    assert waits == [1, 2, 4, 8, 10, 10]
    breaker.succeeded()
    breaker.failed("again, and within a minute")
    assert round(breaker.probe_in() or 0) == 10


def test_a_cell_that_refuses_has_failed(cloud: Cloud, dead_cell: Cell) -> None:
    executor = executor_for(dead_cell)
    error = executor.submit(count_services(dead_cell)).exception(10)
    assert isinstance(error, DatabaseError)
    assert executor.breaker.is_open()
    assert "refused" in executor.breaker.last_error
    assert "\n" not in executor.breaker.last_error


def test_no_cause_has_a_password(cloud: Cloud, short_deadline: float) -> None:
    for scheme in ("mysql", "postgresql"):
        cell = cloud.point("cell2", f"{scheme}://nova:$3cret@127.0.0.1:{free_port()}/nova")
        executor = executor_for(cell)
        executor.submit(count_services(cell)).exception(10)
        assert executor.breaker.last_error
        assert "$3cret" not in executor.breaker.last_error


def test_a_statement_that_fails_is_not_the_cells_fault(executor: CellExecutor) -> None:
    def misspelt() -> None:
        with connections[executor.cell.alias].cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    assert isinstance(executor.submit(misspelt).exception(10), DatabaseError)
    assert not executor.breaker.is_open()
    assert executor.submit(count_services(executor.cell)).result(10) == 0


def test_connecting_to_a_hung_server_ends(cloud: Cloud, settings: Settings) -> None:
    settings.CELL_DEADLINE = 0.5
    scheme = "mysql" if cloud.engine == "mysql" else "postgresql"
    with SilentServer() as server:
        cell = cloud.point("cell2", f"{scheme}://nova:secret@127.0.0.1:{server.port}/nova")
        executor = executor_for(cell)
        assert isinstance(executor.submit(count_services(cell)).exception(30), DatabaseError)
        assert executor.breaker.is_open()


# --- connections that died while they were idle ---------------------------------------------------


def kill_connections(cloud: Cloud, name: str) -> int:
    """Have the server end every connection to a cell's database; returns how many."""
    database = cloud.cell(name).database["NAME"]
    with connections["api"].cursor() as cursor:
        if cloud.engine == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [database],
            )
            return len(cursor.fetchall())
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [database])
        ids = [row[0] for row in cursor.fetchall()]
        for connection_id in ids:
            cursor.execute(f"KILL {connection_id}")
        return len(ids)


@pytest.mark.server
def test_an_idle_connection_that_died_is_replaced(cloud: Cloud, executor: CellExecutor) -> None:
    cloud.add_service("cell1", "compute-1")
    connections[executor.cell.alias].close()
    started = threading.Barrier(4)

    def count_all_at_once() -> int:
        started.wait(10)
        return Service.objects.using(executor.cell.alias).count()

    assert [executor.submit(count_all_at_once) for _ in range(4)][-1].result(10) == 1
    wait_until(lambda: executor.pending == 0)
    assert kill_connections(cloud, "cell1") >= 4
    time.sleep(0.2)
    futures = [executor.submit(count_all_at_once) for _ in range(4)]
    started.reset()
    assert [future.result(10) for future in futures] == [1] * 4
    assert not executor.breaker.is_open()


@pytest.mark.server
def test_a_statement_cannot_run_for_ever(cloud: Cloud, settings: Settings) -> None:
    settings.CELL_DEADLINE = 0.2
    cell = cloud.point("cell1", cloud.url("cell1"))
    sleep = "SELECT pg_sleep(60)" if cloud.engine == "postgresql" else "SELECT SLEEP(60)"

    def hang() -> None:
        with connections[cell.alias].cursor() as cursor:
            cursor.execute(sleep)

    began = time.monotonic()
    assert isinstance(executor_for(cell).submit(hang).exception(30), DatabaseError)
    assert time.monotonic() - began < 10
