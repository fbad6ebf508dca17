"""Asking many cells: side by side, with a deadline, and in pages."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db.models import QuerySet
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from cells import scatter_gather, statements
from cells.executors import executor_for
from cells.registry import Cell
from cells.router import CellNotNamed
from cells.scatter_gather import AcrossCells, ScatterGather, ask_cells
from services.models import Service
from tests.clouds import Cloud
from tests.counting import Queries
from tests.servers import SHORT_DEADLINE, SilentServer

#: How much longer than it should a thing may take on a busy machine, in seconds.
SLACK = 1.5


@contextmanager
def taking(at_least: float, at_most: float) -> Iterator[None]:
    """The block must take so many seconds."""
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began <= at_most


@contextmanager
def hanging(cloud: Cloud, *names: str) -> Iterator[None]:
    """These cells accept connections and never answer."""
    with ExitStack() as stack:
        for name in names:
            server = stack.enter_context(SilentServer())
            cloud.point(name, f"postgresql://nova:secret@127.0.0.1:{server.port}/nova")
        yield


def add_services(cloud: Cloud, *, but: str = "") -> None:
    """A service in every cell (but one), on a host named like the cell."""
    for cell in cloud.cells:
        if cell.name != but:
            cloud.add_service(cell, cell.name)


def hosts(answers: Any) -> list[str]:
    return [service.host for services in answers.values() for service in services]


def missing(answers: Any) -> dict[str, str]:
    return {unavailable.cell.name: unavailable.cause for unavailable in answers.missing}


SERVICES = Service.objects.all()

# --- all cells ------------------------------------------------------------------------------------


def test_every_cell_answers_in_the_cells_order(cloud: Cloud) -> None:
    add_services(cloud)
    answers = AcrossCells(SERVICES).all()
    assert answers.complete
    assert hosts(answers) == ["cell0", "cell1", "cell2", "cell3"]
    assert [cell.name for cell in answers.by_cell] == ["cell0", "cell1", "cell2", "cell3"]


def test_the_order_is_the_cells_whoever_answers_first(cloud: Cloud) -> None:
    delays = {"cell0": 0.3, "cell1": 0.2, "cell2": 0.1, "cell3": 0.0}

    def ask(cell: Cell) -> str:
        time.sleep(delays[cell.name])
        return cell.name

    answers = ask_cells(cloud.cells, ask)
    assert list(answers.values()) == ["cell0", "cell1", "cell2", "cell3"]


def test_made_of_rows_are_those_of_each_cell(cloud: Cloud) -> None:
    add_services(cloud)
    cloud.add_service("cell2", "another")
    names = SERVICES.order_by("id").values_list("host", flat=True)
    for queryset in (names, names.filter(host="nowhere"), SERVICES.none()):
        rows = AcrossCells(queryset)
        assert rows.map_rows(tuple).by_cell == {
            cell: tuple(found) for cell, found in rows.all().by_cell.items()
        }


def test_few_threads_make_something_of_rows_at_a_time(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "PATIENCE", 10)
    together = threading.Barrier(statements.READERS)
    making: list[int] = []

    def make(rows: list[Any]) -> int:
        making.append(1)
        together.wait(10)
        now = len(making)
        together.wait(10)
        making.pop()
        return now

    assert set(AcrossCells(SERVICES).map_rows(make).values()) == {statements.READERS}


def test_a_thread_that_hangs_with_its_rows_keeps_no_other_from_reading(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLite does, whose file is read as rows are fetched."""
    monkeypatch.setattr(statements, "PATIENCE", 0.01)
    together = threading.Barrier(len(cloud.cells))  # none gets on before all are there
    answers = AcrossCells(SERVICES).map_rows(lambda rows: together.wait(10))
    assert sorted(answers.values()) == [0, 1, 2, 3]


def test_work_for_this_process_is_not_taken_for_slow_cells(
    cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that make something of rows take turns, and many callers may do so at a time."""
    settings.CELL_DEADLINE = 2  # all of it together takes longer
    monkeypatch.setattr(scatter_gather, "CELLS_AT_ONCE", 1)
    interpreter = threading.Lock()

    def make(rows: list[Any]) -> None:
        with interpreter:
            time.sleep(0.1)

    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(AcrossCells(SERVICES).map_rows, make) for _ in range(8)]
    assert [missing(answers.result()) for answers in made] == [{}] * 8
    assert not any(executor_for(cell).breaker.is_open() for cell in cloud.cells)


def test_an_error_in_what_is_made_of_rows_is_that_cells(cloud: Cloud) -> None:
    add_services(cloud)

    def make(rows: list[Service]) -> str:
        [service] = rows
        if service.host == "cell2":
            raise ValueError("nonsense in cell2")
        return str(service.host)

    for _ in range(statements.READERS + 1):  # its turn is over all the same
        answers = AcrossCells(SERVICES).map_rows(make)
        assert list(answers.values()) == ["cell0", "cell1", "cell3"]
        assert missing(answers) == {"cell2": "ValueError: nonsense in cell2"}


def test_only_the_cells_asked_for(cloud: Cloud) -> None:
    add_services(cloud)
    answers = AcrossCells(SERVICES, [cloud.cell("cell3"), cloud.cell("cell1")]).all()
    assert hosts(answers) == ["cell3", "cell1"]
    assert list(AcrossCells(SERVICES, []).count().by_cell) == []


def test_counting(cloud: Cloud) -> None:
    add_services(cloud)
    cloud.add_service("cell2", "another")
    counts = AcrossCells(SERVICES).count()
    assert {cell.name: n for cell, n in counts.by_cell.items()} == {
        "cell0": 1,
        "cell1": 1,
        "cell2": 2,
        "cell3": 1,
    }


def test_a_queryset_is_built_once_and_evaluated_once_per_cell(
    cloud: Cloud, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    with count_queries() as queries:
        across = AcrossCells(SERVICES.filter(disabled=False))
    assert len(queries) == 0
    with count_queries() as queries:
        across.all()
    assert queries.counts() == {"cell0": 1, "cell1": 1, "cell2": 1, "cell3": 1}


def test_cells_are_asked_side_by_side(cloud: Cloud) -> None:
    together = threading.Barrier(4)  # none gets on before all are there
    answers = ask_cells(cloud.cells, lambda cell: together.wait(10))
    assert sorted(answers.values()) == [0, 1, 2, 3]


def test_only_so_many_cells_are_asked_at_once(cloud: Cloud) -> None:
    together = threading.Barrier(2)
    running: list[int] = []

    def ask(cell: Cell) -> str:
        running.append(1)
        together.wait(10)  # two are asked at a time
        assert len(running) <= 2
        together.wait(10)
        running.pop()
        return cell.name

    answers = ask_cells(cloud.cells, ask, at_once=2)
    assert list(answers.values()) == ["cell0", "cell1", "cell2", "cell3"]
    answers = ask_cells([], ask, at_once=2)
    assert (answers.by_cell, answers.missing) == ({}, [])


def test_whatever_goes_wrong_in_a_cell_is_that_cells_fault(cloud: Cloud) -> None:
    def ask(cell: Cell) -> str:
        if cell.name == "cell2":
            raise OverflowError("a year that no driver can read")
        return cell.name

    answers = ask_cells(cloud.cells, ask)
    assert list(answers.values()) == ["cell0", "cell1", "cell3"]
    assert missing(answers) == {"cell2": "OverflowError: a year that no driver can read"}
    assert not executor_for(cloud.cell("cell2")).breaker.is_open()


def test_a_defect_of_the_question_is_raised(cloud: Cloud) -> None:
    with pytest.raises(FieldError):
        AcrossCells(Service.objects.filter(nothing=1)).all()
    with pytest.raises(CellNotNamed):
        ask_cells(cloud.cells, lambda cell: list(Service.objects.all()))


@pytest.mark.server
@pytest.mark.parametrize(
    "broken",
    [
        "{url}?ssl_ca=/nothing&charset=klingon&sslmode=verify-full&sslrootcert=/nothing",
        "{scheme}://nova@a..b/nova",
        "{scheme}://no%00va@127.0.0.1/nova",
        "{scheme}://n%E6%98%9F@127.0.0.1:1/nova",
        "{scheme}://nova@127.0.0.1:1/{long}",
        "{scheme}://nova@127.0.0.1:99999/nova",
        "sqlite:////tmp/{long}",
        "sqlite:////tmp/a%00b",
    ],
)
def test_a_wrong_configuration_is_that_cells_fault(cloud: Cloud, broken: str) -> None:
    add_services(cloud, but="cell2")
    scheme = {"postgresql": "postgresql", "mysql": "mysql"}[cloud.engine]
    url = f"{scheme}://nova@127.0.0.1:1/nova"
    cloud.point("cell2", broken.format(url=url, scheme=scheme, long="x" * 5000))
    answers = AcrossCells(SERVICES).all()
    assert hosts(answers) == ["cell0", "cell1", "cell3"]
    assert missing(answers)["cell2"]


def test_one_answer_may_end_the_wait(cloud: Cloud) -> None:
    release = threading.Event()

    def ask(cell: Cell) -> str:
        if cell.name != "cell2":
            release.wait(10)
        return cell.name

    search = ScatterGather(ask)
    with taking(0, 2):
        search.submit(cloud.cells)
        assert not search.gather(stop_when=lambda name: name == "cell2")
    answers = search.answers()
    release.set()
    assert list(answers.values()) == ["cell2"]
    assert answers.missing == []


# --- cells that do not answer ---------------------------------------------------------------------


def test_a_dead_cell_is_missing_with_its_cause(cloud: Cloud, dead_cell: Cell) -> None:
    add_services(cloud, but="cell2")
    answers = AcrossCells(SERVICES).all()
    assert hosts(answers) == ["cell0", "cell1", "cell3"]
    assert not answers.complete
    assert "refused" in missing(answers)["cell2"]


def test_a_hung_cell_costs_the_deadline_and_no_more(cloud: Cloud, hung_cell: Cell) -> None:
    add_services(cloud, but="cell2")
    with taking(SHORT_DEADLINE, SHORT_DEADLINE + SLACK):
        answers = AcrossCells(SERVICES).all()
    assert hosts(answers) == ["cell0", "cell1", "cell3"]
    assert list(missing(answers)) == ["cell2"]
    assert missing(answers)["cell2"].startswith("no answer within ")


def test_a_cell_that_hung_is_missing_at_once(cloud: Cloud, hung_cell: Cell) -> None:
    AcrossCells(SERVICES).all()
    for _ in range(3):
        with taking(0, SLACK):
            answers = AcrossCells(SERVICES).all()
        assert missing(answers)["cell2"]
        assert len(answers.by_cell) == 3


def test_several_hung_cells_together_cost_one_deadline(cloud: Cloud, short_deadline: float) -> None:
    with hanging(cloud, "cell0", "cell2", "cell3"), taking(SHORT_DEADLINE, SHORT_DEADLINE + SLACK):
        answers = AcrossCells(SERVICES).all()
    assert list(missing(answers)) == ["cell0", "cell2", "cell3"]
    assert [cell.name for cell in answers.by_cell] == ["cell1"]


def test_a_hung_cell_uses_up_its_own_threads_only(cloud: Cloud, hung_cell: Cell) -> None:
    add_services(cloud, but="cell2")
    results: list[Any] = []
    requests = [
        threading.Thread(target=lambda: results.append(AcrossCells(SERVICES).all()))
        for _ in range(12)
    ]
    with taking(SHORT_DEADLINE, SHORT_DEADLINE + 2 * SLACK):
        for request in requests:
            request.start()
        for request in requests:
            request.join()
    assert [hosts(answers) for answers in results] == [["cell0", "cell1", "cell3"]] * 12
    causes = {missing(answers)["cell2"].partition(" within")[0] for answers in results}
    assert causes == {"no answer", "busy: all its connections are in use"}
    with taking(0, SLACK):  # and from now on none
        assert missing(AcrossCells(SERVICES).all())["cell2"]


def test_a_busy_executor_is_not_a_failed_cell(cloud: Cloud, short_deadline: float) -> None:
    release = threading.Event()
    cell = cloud.cell("cell1")
    executor = executor_for(cell)
    busy = [executor.submit(lambda: release.wait(30)) for _ in range(4)]
    answers = AcrossCells(SERVICES).all()
    assert missing(answers) == {"cell1": "busy: all its connections are in use"}
    assert not executor.breaker.is_open()
    release.set()
    for future in busy:
        future.result(10)
    assert AcrossCells(SERVICES).all().complete


def test_a_cell_whose_url_cannot_be_read_is_missing(cloud: Cloud) -> None:
    add_services(cloud)
    cloud.point("cell1", "oracle://nova:$3cret@db/nova")
    answers = AcrossCells(SERVICES).all()
    assert hosts(answers) == ["cell0", "cell2", "cell3"]
    assert "oracle scheme" in missing(answers)["cell1"]
    assert "$3cret" not in missing(answers)["cell1"]


@pytest.mark.server
def test_a_cell_comes_back(cloud: Cloud, short_deadline: float, settings: Settings) -> None:
    settings.CELL_RETRY_AFTER = 0.5
    add_services(cloud)
    with cloud.proxy("cell2") as proxy:
        assert AcrossCells(SERVICES).all().complete
        proxy.hang()
        with taking(SHORT_DEADLINE, SHORT_DEADLINE + SLACK):
            assert list(missing(AcrossCells(SERVICES).all())) == ["cell2"]
        with taking(0, SLACK):
            assert list(missing(AcrossCells(SERVICES).all())) == ["cell2"]
        time.sleep(1)
        with taking(0, SLACK):  # it is probed, and nobody waits for that
            assert list(missing(AcrossCells(SERVICES).all())) == ["cell2"]
        proxy.go_on()
        until = time.monotonic() + 20
        while not (answers := AcrossCells(SERVICES).all()).complete:
            assert time.monotonic() < until, "it never came back"
            time.sleep(0.1)
        assert hosts(answers) == ["cell0", "cell1", "cell2", "cell3"]


@pytest.mark.server
def test_a_cell_whose_connections_broke_answers_on_new_ones(cloud: Cloud) -> None:
    add_services(cloud)
    with cloud.proxy("cell2") as proxy:
        assert AcrossCells(SERVICES).all().complete
        proxy.cut()
        answers = AcrossCells(SERVICES).all()
    assert answers.complete
    assert hosts(answers) == ["cell0", "cell1", "cell2", "cell3"]


# --- pages ----------------------------------------------------------------------------------------


def fill(cloud: Cloud, ids: list[set[int]]) -> list[tuple[str, int]]:
    """Services with these ids, cell by cell; all of them in Nova's order."""
    for cell, numbers in zip(cloud.cells, ids, strict=True):
        Service.with_deleted.using(cell.alias).all().delete()
        Service.objects.using(cell.alias).bulk_create(
            Service(id=number, host=f"host-{number}", binary="nova-compute", topic="compute")
            for number in numbers
        )
    return [
        (cell.name, number)
        for cell, numbers in zip(cloud.cells, ids, strict=True)
        for number in sorted(numbers)
    ]


def rows_of(page: Any) -> list[tuple[str, int]]:
    return [(cell.name, row.id) for cell, row in page.rows]


IDS = st.lists(st.sets(st.integers(1, 30), max_size=8), min_size=4, max_size=4)
on_a_real_database = hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@on_a_real_database
@given(ids=IDS, limit=st.integers(1, 12))
def test_pages_joined_are_the_whole_list(cloud: Cloud, ids: list[set[int]], limit: int) -> None:
    whole = fill(cloud, ids)
    across = AcrossCells(SERVICES)
    joined: list[tuple[str, int]] = []
    after: tuple[Cell, int] | None = None
    while True:
        page = across.page(limit, after)
        assert len(page) == len(page.rows)
        joined += rows_of(page)
        assert len(joined) <= len(whole)
        if len(page) < limit:
            break
        cell, row = page.rows[-1]
        after = (cell, row.id)
    assert joined == whole


@on_a_real_database
@given(
    ids=IDS,
    limit=st.integers(1, 40),
    number=st.integers(0, 3),
    marker=st.integers(0, 31),
)
def test_a_page_may_begin_after_any_row(
    cloud: Cloud, ids: list[set[int]], limit: int, number: int, marker: int
) -> None:
    """Also after a row that does not exist (any more)."""
    whole = fill(cloud, ids)
    cell = cloud.cells[number]
    page = AcrossCells(SERVICES).page(limit, (cell, marker))
    assert rows_of(page) == [place for place in whole if place > (cell.name, marker)][:limit]


def test_a_page_asks_no_more_cells_than_it_needs(
    cloud: Cloud, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    fill(cloud, [{1, 2, 3}, {1, 2}, {1}, {1}])
    for limit, asked in ((1, 1), (3, 1), (4, 3), (6, 3), (7, 4), (100, 4)):
        with count_queries() as queries:
            AcrossCells(SERVICES).page(limit)
        assert list(queries.per_cell().values()) == [1] * asked + [0] * (4 - asked)
    with count_queries() as queries:
        AcrossCells(SERVICES).page(1, (cloud.cell("cell2"), 0))
    assert list(queries.per_cell().values()) == [0, 0, 1, 0]


def test_a_page_fetches_no_more_rows_than_it_may_show(
    cloud: Cloud, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    fill(cloud, [set(range(1, 30))] * 4)
    with count_queries() as queries:
        AcrossCells(SERVICES).page(5)
    assert all("LIMIT 5" in sql for _, sql in queries.sent)


def test_a_page_waits_for_one_deadline_however_many_cells_hang(
    cloud: Cloud, short_deadline: float
) -> None:
    with hanging(cloud, "cell0", "cell2", "cell3"):
        cloud.add_service("cell1", "compute-1")
        with taking(SHORT_DEADLINE, SHORT_DEADLINE + SLACK):
            page = AcrossCells(SERVICES).page(10)
    assert [row.host for _, row in page.rows] == ["compute-1"]
    assert [unavailable.cell.name for unavailable in page.missing] == ["cell0", "cell2", "cell3"]


def test_a_page_that_is_full_before_a_hung_cell_does_not_wait(
    cloud: Cloud, hung_cell: Cell
) -> None:
    cloud.add_service("cell0", "controller")
    with taking(0, SLACK):
        page = AcrossCells(SERVICES).page(1)
    assert [row.host for _, row in page.rows] == ["controller"]
    assert page.missing == []


def test_ordering_of_the_queryset_does_not_disturb_pages(cloud: Cloud) -> None:
    fill(cloud, [set(), {1, 2, 3}, {4}, set()])
    rows: QuerySet[Service] = SERVICES.order_by("-id")
    assert rows_of(AcrossCells(rows).page(10)) == [
        ("cell1", 1),
        ("cell1", 2),
        ("cell1", 3),
        ("cell2", 4),
    ]
