"""``manage.py cells``."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from cells.models import CellMapping
from cells.probes import probe_cells
from cells.registry import Cell, forget_cells
from tests.clouds import Cloud
from tests.commands import manage
from tests.nova import made_by_nova
from tests.scratch import scratch_databases
from tests.servers import free_port

ENGINE = {"sqlite": "sqlite3"}


def as_json(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code of ``cells --json``, and its report on each cell, by name."""
    code = 0
    try:
        call_command("cells", "--json")
    except SystemExit as error:
        code = int(str(error.code))
    return code, {cell["name"]: cell for cell in json.loads(capsys.readouterr().out)}


def as_text(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with suppress(SystemExit):
        call_command("cells")
    return capsys.readouterr().out.splitlines()


def test_healthy_cells(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cell = cloud.cell("cell1")
    cloud.host("cell1", "one")
    cloud.host("cell1", "two", service={"uuid": None})
    cloud.add_service("cell1", "three", uuid=None, deleted=3, id=3)
    cloud.add_instance("cell1", "one")
    cloud.add_migration("cell1", "one")
    code, cells = as_json(capsys)
    assert code == 0
    assert list(cells) == ["cell0", "cell1", "cell2", "cell3"]
    shown = cells["cell1"]
    assert shown.pop("latency_ms") < 1000
    assert "0" in shown.pop("schema")
    server = shown.pop("server")
    assert str(connections[cell.alias].settings_dict["NAME"]) in server
    assert shown == {
        "name": "cell1",
        "uuid": cell.uuid,
        "alias": cell.alias,
        "engine": ENGINE.get(cloud.engine, cloud.engine),
        "disabled": False,
        "reachable": True,
        "rows": {"services": 2, "compute_nodes": 2, "instances": 1, "migrations": 1},
        "without_uuid": {"services": 1},
        "problem": "",
        "advice": "run: manage.py backfill_service_uuids",
    }


def test_the_table(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.host("cell2", "one", service={"uuid": None})
    lines = as_text(capsys)
    assert lines[0].split()[:5] == ["name", "alias", "(cell-uuid)", "engine", "server"]
    assert cloud.cell("cell2").alias in lines[3]
    assert [line.split()[0] for line in lines[1:5]] == ["cell0", "cell1", "cell2", "cell3"]
    assert lines[3].split()[-5:] == ["1", "1", "1", "0", "ok"]
    assert lines[5:] == ["cell2: run: manage.py backfill_service_uuids"]


def test_a_disabled_cell_is_read_and_marked(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    CellMapping.objects.filter(name="cell1").update(disabled=True)
    forget_cells()
    cloud.host("cell1", "one")
    code, cells = as_json(capsys)
    assert code == 0
    assert (cells["cell1"]["disabled"], cells["cell1"]["rows"]["services"]) == (True, 1)
    assert as_text(capsys)[2].endswith("ok, disabled")


def test_a_dead_cell(cloud: Cloud, dead_cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.host("cell3", "one")
    code, cells = as_json(capsys)
    assert code == 1
    assert not cells["cell2"]["reachable"]
    assert cells["cell2"]["latency_ms"] is None
    assert "refused" in cells["cell2"]["problem"]
    assert cells["cell2"]["server"].startswith("127.0.0.1:")
    assert cells["cell3"]["rows"]["services"] == 1
    lines = as_text(capsys)
    assert lines[3].endswith("unreachable")
    assert lines[5].startswith("cell2: ")
    assert "secret" not in "".join(lines) + json.dumps(cells)


def test_a_hung_cell_delays_by_one_deadline(
    cloud: Cloud, hung_cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    code, cells = as_json(capsys)
    assert code == 1
    assert cells["cell2"]["problem"].startswith("no answer within ")
    assert [name for name, cell in cells.items() if cell["reachable"]] == [
        "cell0",
        "cell1",
        "cell3",
    ]


@pytest.mark.server
def test_a_refused_login(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    login = {"mysql": "root", "postgresql": "nobody"}[cloud.engine]
    scheme, _, rest = cloud.url("cell2").partition("://")
    cloud.point("cell2", f"{scheme}://{login}:not-the-password@{rest.rpartition('@')[2]}")
    code, cells = as_json(capsys)
    assert code == 1
    # The suite's own PostgreSQL trusts every existing user.
    expected = {"mysql": "Access denied", "postgresql": 'role "nobody" does not exist'}[
        cloud.engine
    ]
    assert expected in cells["cell2"]["problem"]
    assert "not-the-password" not in json.dumps(cells)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("oracle://nova:secret@db/nova", "oracle scheme"),
        ("{scheme}://{user}:{password}@db/nova", "unknown name"),
        ("mysql://nova:secret@db", "names no database"),
        ("", "not a database URL"),
    ],
)
def test_an_invalid_url(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], url: str, problem: str
) -> None:
    CellMapping.objects.filter(name="cell2").update(database_connection=url)
    forget_cells()
    code, cells = as_json(capsys)
    assert code == 1
    assert problem in cells["cell2"]["problem"]
    assert cells["cell2"]["engine"] == ""
    assert "secret" not in json.dumps(cells)


@pytest.fixture
def old_cell(cloud: Cloud, tmp_path: Path) -> Iterator[Cell]:
    """cell2 with a schema from before services had uuids, and one service in it."""
    with scratch_databases(cloud, tmp_path) as scratch:
        cell = cloud.point("cell2", scratch.create("old"))
        for app in ("services", "hypervisors"):
            call_command("migrate", app, "0001_initial", database=cell.alias, verbosity=0)
        with connections[cell.alias].cursor() as cursor:
            cursor.execute(
                "INSERT INTO services (id, host, report_count, deleted) VALUES (1, 'one', 0, 0)"
            )
        yield cell


def test_a_cell_with_an_outdated_schema(
    cloud: Cloud, old_cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.host("cell3", "one")
    code, cells = as_json(capsys)
    assert code == 1
    assert cells["cell2"]["reachable"]
    assert cells["cell2"]["problem"] == "services.uuid is missing: schema from before Pike"
    assert cells["cell2"]["advice"] == "run: manage.py migrate"
    assert cells["cell2"]["rows"]["services"] == 1
    assert cells["cell3"]["problem"] == ""
    assert as_text(capsys)[3].endswith("unusable")


def test_novas_cells_are_to_be_migrated_by_nova(
    cloud: Cloud, old_cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    with made_by_nova([old_cell.alias]):
        _, cells = as_json(capsys)
    assert cells["cell2"]["advice"] == "run: nova-manage db sync"
    assert cells["cell2"]["schema"] == "ab450ba04102"


def test_a_database_without_tables(cloud: Cloud, tmp_path: Path) -> None:
    with scratch_databases(cloud, tmp_path) as scratch:
        cloud.point("cell2", scratch.create("empty"))
        (probe,) = probe_cells([cloud.cell("cell2")])
    assert probe.reachable
    assert "missing" in probe.problem
    assert probe.rows == {}


def test_a_missing_database_file(cloud: Cloud, tmp_path: Path) -> None:
    cloud.point("cell2", f"sqlite:///{tmp_path}/gone.sqlite3")
    (probe,) = probe_cells([cloud.cell("cell2")])
    assert (probe.reachable, probe.problem) == (False, "its database file is gone")
    assert not (tmp_path / "gone.sqlite3").exists()


def test_an_unreachable_api_database(tmp_path: Path) -> None:
    url = f"mysql+pymysql://nova:secret@127.0.0.1:{free_port()}/nova_api"
    done = manage("cells", NOVA_API_DATABASE_URL=url, VAR_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CommandError: the API database does not answer: ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
