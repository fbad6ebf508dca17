"""The cells of the cloud, read from cell_mappings while the portal runs."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.db import DatabaseError
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from cells.databases import register
from cells.models import CellMapping, HostMapping
from cells.registry import (
    all_cells,
    cell_ids_of_hosts,
    cell_with_id,
    cells_named,
    compute_cells,
    forget_cells,
    known_cells,
)
from services.models import Service
from tests.clouds import Cloud
from tests.counting import Queries
from tests.engines import CELLS, database, forget_connection
from tests.servers import free_port

NEW_UUID = "c4c4c4c4-0000-4000-8000-000000000004"


def add_mapping(cloud: Cloud, name: str | None, url: str | None, **columns: object) -> None:
    CellMapping.objects.create(
        **({"uuid": NEW_UUID, "name": name, "database_connection": url} | columns)
    )


def test_cells_are_in_the_order_of_their_rows(cloud: Cloud) -> None:
    add_mapping(cloud, "early", cloud.url("cell1"), id=100)
    add_mapping(cloud, "late", cloud.url("cell1"), id=50, uuid=NEW_UUID[:-1] + "5")
    forget_cells()
    assert [cell.name for cell in all_cells()] == [*CELLS, "late", "early"]


def test_a_cell_is_what_its_mapping_says(cloud: Cloud) -> None:
    cell = cloud.cell("cell2")
    assert (cell.uuid, cell.id, cell.disabled, cell.problem) == (CELLS["cell2"], 3, False, "")
    assert cell.alias == f"cell-{CELLS['cell2']}"
    assert cell.engine == {"sqlite": "sqlite3"}.get(cloud.engine, cloud.engine)
    assert str(cell) == "cell2"
    assert "cell2" in cell.server


def test_a_password_is_shown_nowhere(cloud: Cloud) -> None:
    cell = cloud.point("cell2", "mysql+pymysql://nova:$3cret@db.example.org:3307/nova_cell2")
    assert cell.server == "db.example.org:3307/nova_cell2"
    assert "$3cret" not in repr(cell)


def test_cell0_has_no_hypervisors(cloud: Cloud) -> None:
    assert [cell.name for cell in all_cells() if cell.is_cell0] == ["cell0"]
    assert [cell.name for cell in compute_cells()] == ["cell1", "cell2", "cell3"]


def test_cells_without_a_name_get_one(cloud: Cloud) -> None:
    CellMapping.objects.filter(uuid__in=[CELLS["cell0"], CELLS["cell1"]]).update(name=None)
    forget_cells()
    assert [cell.name for cell in all_cells()][:2] == ["cell0", CELLS["cell1"]]


def test_a_disabled_cell_is_read_like_any_other(cloud: Cloud) -> None:
    CellMapping.objects.filter(uuid=CELLS["cell2"]).update(disabled=True)
    forget_cells()
    assert [cell.name for cell in all_cells() if cell.disabled] == ["cell2"]
    assert "cell2" in [cell.name for cell in compute_cells()]


@pytest.mark.parametrize("main", ["NOVA_DATABASE_URL", "NOVA_API_DATABASE_URL"])
def test_templates_are_filled_from_the_main_database(
    cloud: Cloud, settings: Settings, main: str
) -> None:
    setattr(settings, main, "mysql+pymysql://nova:s%40cret@db:3307/nova?charset=utf8")
    cell = cloud.point("cell2", "{scheme}://{username}:{password}@{hostname}:{port}/nova_cell2")
    assert cell.problem == ""
    assert cell.database["PASSWORD"] == "s@cret"
    assert cell.server == "db:3307/nova_cell2"


@pytest.mark.parametrize(
    "url", [None, "", "oracle://nova:$3cret@db/nova", "{nothing}", "mysql://nova:$3cret@db"]
)
def test_an_invalid_url_affects_only_its_cell(cloud: Cloud, url: str | None) -> None:
    cell = cloud.point("cell2", url)  # type: ignore[arg-type]
    assert cell.problem.startswith("database URL: ")
    assert "$3cret" not in cell.problem
    assert (cell.engine, cell.server) == ("", "")
    assert [other.problem for other in all_cells() if other != cell] == [""] * 3


# --- changes --------------------------------------------------------------------------------------


def test_a_new_cell_is_discovered(cloud: Cloud, settings: Settings) -> None:
    add_mapping(cloud, "cell4", cloud.url("cell3"))
    assert "cell4" not in [cell.name for cell in all_cells()]
    settings.CELL_MAPPINGS_TTL = 0.05
    time.sleep(0.1)
    assert "cell4" in [cell.name for cell in all_cells()]
    assert Service.objects.using(cloud.cell("cell4").alias).count() == 0


def test_an_unmapped_cell_is_removed(cloud: Cloud) -> None:
    CellMapping.objects.filter(uuid=CELLS["cell2"]).delete()
    forget_cells()
    assert [cell.name for cell in all_cells()] == ["cell0", "cell1", "cell3"]


def test_a_cell_keeps_its_alias_when_it_is_renamed(cloud: Cloud) -> None:
    before = cloud.cell("cell2")
    CellMapping.objects.filter(uuid=before.uuid).update(name="renamed")
    forget_cells()
    after = cloud.cell("renamed")
    assert after == before
    assert after.alias == before.alias


def test_mappings_are_read_once_for_all_threads(
    cloud: Cloud, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    forget_cells()
    together = threading.Barrier(8)
    seen = []

    def ask() -> None:
        together.wait(10)
        seen.append(len(all_cells()))

    with count_queries() as queries:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert seen == [4] * 8
    assert queries.counts() == {"api": 1}


def lose_the_api_database() -> None:
    forget_connection("api")
    register("api", database(f"postgresql://nova:secret@127.0.0.1:{free_port()}/nova_api"))


def test_known_cells_are_kept_while_the_api_database_is_down(cloud: Cloud) -> None:
    known = all_cells()
    lose_the_api_database()
    forget_cells()
    assert all_cells() == known


def test_an_api_database_that_never_responded_is_an_error(cloud: Cloud) -> None:
    known_cells.clear()
    lose_the_api_database()
    with pytest.raises(DatabaseError):
        all_cells()


# --- finding a cell -------------------------------------------------------------------------------


def test_cells_are_found_by_name_and_uuid(cloud: Cloud) -> None:
    names = [cell.name for cell in cells_named(["cell3", CELLS["cell1"], "cell3"])]
    assert names == ["cell1", "cell3"]
    assert cells_named([]) == []


def test_an_unknown_name_is_reported_with_the_known_ones(cloud: Cloud) -> None:
    with pytest.raises(LookupError, match="no cell called x, y; there are: cell0, cell1"):
        cells_named(["cell1", "x", "y"])


def test_a_cell_is_found_by_the_id_of_its_row(cloud: Cloud) -> None:
    assert cell_with_id(3) == cloud.cell("cell2")
    assert cell_with_id(99) is None
    assert cell_with_id(None) is None


HOST = st.from_regex("[a-cA-C0-9.-]{1,4}", fullmatch=True)


@hypothesis_settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(mapped=st.sets(HOST, max_size=60), unmapped=st.sets(HOST, max_size=2), data=st.data())
def test_mappings_of_hosts_are_complete(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    mapped: set[str],
    unmapped: set[str],
    data: st.DataObject,
) -> None:
    """Every mapped host that was requested is returned with its cell, whatever its case."""
    monkeypatch.setattr("cells.registry.RANGE_MIN_HOSTS", data.draw(st.sampled_from([1, 1000])))
    monkeypatch.setattr("cells.registry.HOSTS_PER_QUERY", data.draw(st.integers(1, 20)))
    if cloud.engine == "mysql":  # its unique index ignores case
        mapped = set({host.lower(): host for host in sorted(mapped)}.values())
    HostMapping.objects.all().delete()
    asked = unmapped - mapped
    if mapped:
        asked |= data.draw(st.sets(st.sampled_from(sorted(mapped)), max_size=3))
    homes = {host: data.draw(st.integers(1, 4)) for host in sorted(mapped)}
    HostMapping.objects.bulk_create(
        HostMapping(host=host, cell_id=cell_id) for host, cell_id in homes.items()
    )
    found = cell_ids_of_hosts(asked)
    assert {host: found.get(host) for host in asked} == {host: homes.get(host) for host in asked}
    assert found.items() <= homes.items()
    assert cell_ids_of_hosts() == homes
    everything = cell_ids_of_hosts(mapped | asked)
    assert everything == homes


@pytest.mark.parametrize("every", [1, 2, 5, 50])
def test_mappings_of_hosts_far_apart(cloud: Cloud, every: int) -> None:
    """However many others are between the requested hosts."""
    homes = {f"host-{number:04}": number % 4 + 1 for number in range(3000)}
    HostMapping.objects.bulk_create(
        HostMapping(host=host, cell_id=cell_id) for host, cell_id in homes.items()
    )
    asked = sorted(homes)[::every]
    found = cell_ids_of_hosts(asked)
    assert {host: found[host] for host in asked} == {host: homes[host] for host in asked}
