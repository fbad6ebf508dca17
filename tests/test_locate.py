"""Finding the cell that has a uuid or an integer id."""

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from cells import locate
from cells.locate import Ambiguous, MayBeMissing, NotFound, by_id, by_key, by_keys, by_uuid
from cells.registry import Cell
from cells.scatter_gather import AcrossCells
from services.models import Service
from tests.clouds import Cloud
from tests.counting import Queries

Counting = Callable[[], AbstractContextManager[Queries]]


def services() -> AcrossCells[Service]:
    return AcrossCells(Service.objects.all())


@pytest.fixture
def uuids(cloud: Cloud) -> dict[str, str]:
    """The uuid of a service in each cell."""
    return {cell.name: cloud.add_service(cell, cell.name).uuid or "" for cell in cloud.cells}


# --- by uuid --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cell0", "cell1", "cell2", "cell3"])
def test_a_uuid_is_found_wherever_it_is(cloud: Cloud, uuids: dict[str, str], name: str) -> None:
    found = by_uuid(services(), uuids[name])
    assert (found.cell.name, found.row.host) == (name, name)


def test_an_unknown_uuid_costs_a_query_per_cell(
    cloud: Cloud, uuids: dict[str, str], count_queries: Counting
) -> None:
    services().count()  # a connection that died with an earlier test costs a query of its own
    with count_queries() as queries:
        by_uuid(services(), uuids["cell3"])
    assert queries.per_cell()["cell3"] == 1
    assert max(queries.per_cell().values()) == 1


def test_a_uuid_seen_before_is_found_with_one_query(
    cloud: Cloud, uuids: dict[str, str], count_queries: Counting
) -> None:
    by_uuid(services(), uuids["cell3"])
    with count_queries() as queries:
        assert by_uuid(services(), uuids["cell3"]).cell.name == "cell3"
    assert queries.counts() == {"cell3": 1}


def test_a_uuid_seen_in_a_list_is_found_with_one_query(
    cloud: Cloud, uuids: dict[str, str], count_queries: Counting
) -> None:
    locate.remember(cloud.cell("cell2"), [uuids["cell2"]])
    with count_queries() as queries:
        by_uuid(services(), uuids["cell2"])
    assert queries.counts() == {"cell2": 1}


def test_where_a_uuid_was_seen_is_only_a_hint(
    cloud: Cloud, uuids: dict[str, str], count_queries: Counting
) -> None:
    """The row has since moved to another cell."""
    assert by_uuid(services(), uuids["cell1"]).cell.name == "cell1"
    Service.objects.using(cloud.cell("cell1").alias).all().delete()
    cloud.add_service("cell3", "moved", uuid=uuids["cell1"])
    with count_queries() as queries:
        found = by_uuid(services(), uuids["cell1"])
    assert (found.cell.name, found.row.host) == ("cell3", "moved")
    assert max(queries.per_cell().values()) == 1
    with count_queries() as queries:
        by_uuid(services(), uuids["cell1"])
    assert queries.counts() == {"cell3": 1}


def test_a_uuid_of_a_deleted_row_is_not_found(cloud: Cloud, uuids: dict[str, str]) -> None:
    by_uuid(services(), uuids["cell1"])
    Service.objects.using(cloud.cell("cell1").alias).update(deleted=1)
    with pytest.raises(NotFound):
        by_uuid(services(), uuids["cell1"])
    with pytest.raises(NotFound):
        by_uuid(services(), str(uuid.uuid4()))


def test_a_uuid_may_be_in_upper_case(cloud: Cloud, uuids: dict[str, str]) -> None:
    for _ in range(2):
        assert by_uuid(services(), uuids["cell2"].upper()).cell.name == "cell2"


@pytest.mark.parametrize("text", ["", "x" * 37, "\0", "\U0001f422", "\n", "%", "'"])
def test_text_that_is_not_a_uuid_is_not_found(
    cloud: Cloud, uuids: dict[str, str], text: str
) -> None:
    with pytest.raises(NotFound):
        by_uuid(services(), text)


def test_only_these_cells_are_searched(
    cloud: Cloud, uuids: dict[str, str], count_queries: Counting
) -> None:
    by_uuid(services(), uuids["cell1"])
    others = AcrossCells(Service.objects.all(), [cloud.cell("cell2"), cloud.cell("cell3")])
    with count_queries() as queries, pytest.raises(NotFound):
        by_uuid(others, uuids["cell1"])
    assert queries.counts() == {"cell2": 1, "cell3": 1}


def test_the_number_of_remembered_uuids_is_limited(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate.last_seen, "max_length", 100)
    for start in range(0, 1000, 10):
        locate.remember(cloud.cell("cell1"), [f"uuid-{start + more}" for more in range(10)])
    assert 0 < len(locate.last_seen) <= 110


# --- by integer id --------------------------------------------------------------------------------


def test_an_id_of_one_cell_is_found(cloud: Cloud, count_queries: Counting) -> None:
    cloud.add_service("cell1", "ordinary")
    cloud.add_service("cell2", "special", id=7001)
    with count_queries() as queries:
        found = by_id(services(), 7001)
    assert (found.cell.name, found.row.host) == ("cell2", "special")
    assert queries.counts() == dict.fromkeys(["cell0", "cell1", "cell2", "cell3"], 1)


def test_an_id_of_several_cells_is_ambiguous(cloud: Cloud, uuids: dict[str, str]) -> None:
    with pytest.raises(Ambiguous, match="in cells cell0, cell1, cell2, cell3") as raised:
        by_id(services(), 1)
    assert raised.value.cells == list(cloud.cells)


def test_a_deleted_row_does_not_make_an_id_ambiguous(cloud: Cloud) -> None:
    cloud.add_service("cell1", "live")
    cloud.add_service("cell2", "deleted", deleted=1)
    assert by_id(services(), 1).row.host == "live"


@pytest.mark.parametrize("row_id", [2, 0, -1, 2**31 - 1])
def test_an_id_of_no_cell_is_not_found(cloud: Cloud, uuids: dict[str, str], row_id: int) -> None:
    with pytest.raises(NotFound):
        by_id(services(), row_id)


@pytest.mark.parametrize("row_id", [0, -1, 2**31, 2**63, 10**30])
def test_an_impossible_id_is_not_queried(
    cloud: Cloud, count_queries: Counting, row_id: int
) -> None:
    with count_queries() as queries, pytest.raises(NotFound):
        by_id(services(), row_id)
    assert len(queries) == 0


# --- while a cell is unreachable ------------------------------------------------------------------


@pytest.fixture
def cell2_unreachable(cloud: Cloud, uuids: dict[str, str], dead_cell: Cell) -> None:
    """Every cell had a service, and cell2 refuses connections now."""


@pytest.mark.usefixtures("cell2_unreachable")
class TestCellAway:
    def test_a_row_of_another_cell_is_found(self, uuids: dict[str, str]) -> None:
        assert by_uuid(services(), uuids["cell3"]).cell.name == "cell3"

    def test_a_row_of_no_other_cell_may_be_missing(self, uuids: dict[str, str]) -> None:
        with pytest.raises(MayBeMissing, match="cell cell2: ") as raised:
            by_uuid(services(), uuids["cell2"])
        assert [unavailable.cell.name for unavailable in raised.value.missing] == ["cell2"]

    def test_a_row_last_seen_in_the_cell_may_be_missing(
        self, uuids: dict[str, str], dead_cell: Cell
    ) -> None:
        locate.remember(dead_cell, [uuids["cell2"]])
        with pytest.raises(MayBeMissing):
            by_uuid(services(), uuids["cell2"])

    def test_a_row_last_seen_in_the_cell_is_found_elsewhere(
        self, uuids: dict[str, str], dead_cell: Cell
    ) -> None:
        locate.remember(dead_cell, [uuids["cell1"]])
        assert by_uuid(services(), uuids["cell1"]).cell.name == "cell1"

    def test_an_id_found_once_may_be_in_the_cell_too(self, cloud: Cloud) -> None:
        cloud.add_service("cell3", "special", id=7001)
        with pytest.raises(MayBeMissing):
            by_id(services(), 7001)

    def test_an_id_found_twice_is_ambiguous_anyway(self) -> None:
        with pytest.raises(Ambiguous):
            by_id(services(), 1)

    def test_an_id_not_found_may_be_in_the_cell(self) -> None:
        with pytest.raises(MayBeMissing):
            by_id(services(), 7001)


@pytest.mark.parametrize(
    "key", ["\0", "x" * 5000, "{cell}:" + "9" * 5000, "{cell}:\0", "\N{EURO SIGN}"]
)
def test_keys_that_no_row_can_have(cloud: Cloud, key: str) -> None:
    key = key.format(cell=cloud.cell("cell1").uuid)
    with pytest.raises(NotFound):
        by_key(Service.objects.all(), key)
    assert by_keys(Service.objects.all(), [key]) == ({}, [])
