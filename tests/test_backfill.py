"""The uuid backfill: complete, resumable, safe to kill, to run twice and beside a running cloud."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import F
from django.test import Client
from django.utils import timezone

from audit import journal
from audit.models import Entry, Intent
from cells.registry import Cell
from services import backfill_tasks
from services.backfill import BATCH_SIZE, fill, look, services_without_uuid
from services.models import Service
from tests.clouds import Cloud

ROOT = Path(__file__).resolve().parent.parent

#: Rows and kills of the test that kills the command; 200000 and 20 for the full measure.
ROWS = int(os.environ.get("BACKFILL_TEST_ROWS", "8000"))
KILLS = int(os.environ.get("BACKFILL_TEST_KILLS", "3"))


def add_services(cell: Cell, count: int, **columns: Any) -> None:
    """Live services without a uuid; every tenth is deleted, every seventh has one already."""
    now = timezone.now()
    Service.objects.using(cell.alias).bulk_create(
        (
            Service(
                id=number,
                host=f"cmp-{number}",
                binary="nova-compute",
                topic="compute",
                uuid=f"00000000-0000-4000-8000-{number:012d}" if number % 7 == 0 else None,
                deleted=number if number % 10 == 0 else 0,
                updated_at=now,
                **columns,
            )
            for number in range(1, count + 1)
        ),
        batch_size=2000,
    )


def uuids(cell: Cell) -> dict[int, str | None]:
    return dict(Service.with_deleted.using(cell.alias).values_list("id", "uuid"))


def check(before: dict[int, str | None], after: dict[int, str | None]) -> None:
    """Each live row has its own uuid, none was changed once given, no deleted row was touched."""
    assert before.keys() == after.keys()
    for number, old in before.items():
        if old is not None or number % 10 == 0:
            assert after[number] == old
        else:
            assert UUID(after[number] or "").version == 4
    given = [uuid for uuid in after.values() if uuid is not None]
    assert len(given) == len(set(given))


def run(*arguments: str) -> tuple[int, list[str]]:
    """The command in this process: its exit code and its lines."""
    out = StringIO()
    try:
        call_command("backfill_service_uuids", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue().splitlines()
    except CommandError as error:
        return error.returncode, [str(error)]
    return 0, out.getvalue().splitlines()


def test_every_live_service_gets_one_and_nothing_else_changes(cloud: Cloud) -> None:
    cell1, cell2 = cloud.cell("cell1"), cloud.cell("cell2")
    add_services(cell1, 100)
    add_services(cell2, 30)
    before = {cell: uuids(cell) for cell in (cell1, cell2)}
    rows = Service.with_deleted.using(cell1.alias).order_by("id")
    rest = list(rows.values_list("id", "updated_at", "deleted", "report_count", "last_seen_up"))
    assert {cell.name: n for cell, n in services_without_uuid().by_cell.items()} == {
        "cell0": 0,
        "cell1": 77,
        "cell2": 23,
        "cell3": 0,
    }
    code, lines = run("--batch-size", "10")
    assert code == 0
    assert [line.split() for line in lines] == [
        ["cell", "found", "done", "error"],
        ["cell0", "0", "0"],
        ["cell1", "77", "77"],
        ["cell2", "23", "23"],
        ["cell3", "0", "0"],
    ]
    for cell in (cell1, cell2):
        check(before[cell], uuids(cell))
    assert (
        list(rows.values_list("id", "updated_at", "deleted", "report_count", "last_seen_up"))
        == rest
    )
    assert run()[0] == 0


def test_it_stops_at_the_count_and_goes_on(cloud: Cloud) -> None:
    cell1, cell2 = cloud.cell("cell1"), cloud.cell("cell2")
    add_services(cell1, 10)
    add_services(cell2, 10)
    code, lines = run("--max-count", "10", "--batch-size", "3")
    assert code == 1
    assert [line.split()[1:] for line in lines[2:4]] == [["8", "8"], ["8", "2"]]
    code, lines = run("--max-count", "6")
    assert code == 0
    assert [line.split()[1:] for line in lines[2:4]] == [["0", "0"], ["6", "6"]]


def test_dry_run_only_counts(cloud: Cloud) -> None:
    add_services(cloud.cell("cell1"), 10)
    before = uuids(cloud.cell("cell1"))
    assert run("--dry-run")[0] == 1
    assert uuids(cloud.cell("cell1")) == before


def test_only_the_cells_that_are_named(cloud: Cloud) -> None:
    add_services(cloud.cell("cell1"), 10)
    add_services(cloud.cell("cell2"), 10)
    code, lines = run("--cell", "cell2", "--cell", "cell3")
    assert code == 0
    assert [line.split() for line in lines[1:]] == [["cell2", "8", "8"], ["cell3", "0", "0"]]
    assert run("--dry-run", "--cell", "cell1")[0] == 1


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--max-count", "0"),
        ("--max-count", "-5"),
        ("--batch-size", "0"),
        ("--batch-size", "100000"),
        ("--cell", "cell9"),
    ],
)
def test_bad_input(arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0] == 127


def test_bad_input_on_the_command_line(tmp_path: Path) -> None:
    for arguments in (["--max-count", "ten"], ["--what"]):
        done = subprocess.run(
            [sys.executable, "manage.py", "backfill_service_uuids", *arguments],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 127, done.stderr
        assert "Traceback" not in done.stderr


def test_a_dead_cell_is_reported_and_the_others_are_done(cloud: Cloud, dead_cell: Cell) -> None:
    add_services(cloud.cell("cell1"), 10)
    add_services(cloud.cell("cell3"), 10)
    code, lines = run("--max-count", "9")
    assert code == 1
    code, lines = run()
    assert code == 2
    assert [line.split()[:3] for line in lines[1:]] == [
        ["cell0", "0", "0"],
        ["cell1", "0", "0"],
        ["cell2", "-", "0"],
        ["cell3", "7", "7"],
    ]
    assert "refused" in lines[3]
    assert "secret" not in lines[3]


def test_a_cell_too_old_for_uuids_is_reported(cloud: Cloud) -> None:
    alias = cloud.cell("cell2").alias
    with connections[alias].cursor() as cursor:
        cursor.execute("ALTER TABLE services RENAME COLUMN uuid TO no_uuid")
    try:
        code, lines = run()
    finally:
        with connections[alias].cursor() as cursor:
            cursor.execute("ALTER TABLE services RENAME COLUMN no_uuid TO uuid")
    assert code == 2
    assert "uuid" in lines[3]


def test_no_batch_is_larger_than_asked_for(cloud: Cloud) -> None:
    """So what is held and locked at once is the same however many rows there are."""
    cell = cloud.cell("cell1")
    add_services(cell, 3000)
    work = look(cell)
    sizes = []
    last = 0
    for done in fill(work, None, 100):
        sizes.append(done.done - last)
        last = done.done
    assert max(sizes) <= 100
    assert sum(sizes) == work.found == 2314


@pytest.mark.server
def test_two_at_once_beside_heartbeats_and_new_services(cloud: Cloud) -> None:
    cell = cloud.cell("cell1")
    count = 3000
    add_services(cell, count)
    before = uuids(cell)
    stop = threading.Event()
    beats = [0]

    def heartbeat() -> None:
        rows = Service.objects.using(cell.alias)
        try:
            while not stop.is_set():
                number = random.randrange(1, count)
                beats[0] += rows.filter(id=number, deleted=0).update(
                    report_count=F("report_count") + 1, last_seen_up=timezone.now()
                )
        finally:
            connections.close_all()

    def create() -> None:
        rows = Service.objects.using(cell.alias)
        try:
            for number in range(count + 1, count + 100):
                uuid = f"00000000-0000-4000-9000-{number:012d}"
                rows.create(id=number, host=f"new-{number}", binary="b", topic="t", uuid=uuid)
        finally:
            connections.close_all()

    def backfill(works: list[Any]) -> None:
        work = look(cell)
        works.append(work)
        try:
            for _ in fill(work, None, 50):
                pass
        finally:
            connections.close_all()

    works: list[Any] = []
    beating = threading.Thread(target=heartbeat)
    beating.start()
    others = [threading.Thread(target=backfill, args=(works,)) for _ in range(2)]
    others.append(threading.Thread(target=create))
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    stop.set()
    beating.join()
    assert [work.error for work in works] == ["", ""]
    assert sum(work.done for work in works) == 2314
    after = uuids(cell)
    check(before, {number: uuid for number, uuid in after.items() if number <= count})
    assert len(after) == count + 99
    rows = Service.objects.using(cell.alias)
    assert sum(rows.values_list("report_count", flat=True)) == beats[0] > 0


@contextmanager
def command(cloud: Cloud, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The command in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "backfill_service_uuids", "--batch-size", "20"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SECRET_KEY": "only for tests " * 4,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "NOVA_API_DATABASE_URL": cloud.api_url,
            "DATABASE_URL": cloud.portal_url,
            "VAR_DIR": str(tmp_path),
            "CELL_DEADLINE": "10",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.server
def test_killed_at_random_moments(cloud: Cloud, tmp_path: Path) -> None:
    """Killed with SIGKILL again and again, while it is at work, until it is done."""
    cell = cloud.cell("cell1")
    add_services(cell, ROWS)
    before = uuids(cell)
    seen = before
    rows = Service.objects.using(cell.alias).filter(uuid=None)
    left = rows.count()
    kills = 0
    while kills < KILLS and left:
        with command(cloud, tmp_path) as process:
            enough = left - random.randint(1, 1 + left // (KILLS - kills + 1))
            while process.poll() is None and rows.count() > enough:
                time.sleep(0.002)
            time.sleep(random.uniform(0, 0.005))
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        left = rows.count()
        now = uuids(cell)
        assert all(now[number] == uuid for number, uuid in seen.items() if uuid is not None)
        seen = now
    with command(cloud, tmp_path) as process:
        assert process.wait() == 0
    check(before, uuids(cell))
    assert kills > KILLS / 2, f"done after {kills} kills: too few rows to show anything"


def test_size_of_a_batch() -> None:
    """As many as SQLite takes parameters for, at the least."""
    assert 3 * BATCH_SIZE < 32766


def test_the_uuid_column_arrives_by_a_migration_of_its_own(cloud: Cloud) -> None:
    """On a cell from before it; the rows there are wait for the backfill."""
    cell = cloud.cell("cell3")
    call_command("migrate", "services", "0001", database=cell.alias, verbosity=0)
    try:
        with connections[cell.alias].cursor() as cursor:
            for number in (1, 2):
                cursor.execute(
                    "INSERT INTO services (id, host, report_count, deleted) VALUES (%s, %s, 0, 0)",
                    [number, f"cmp-{number}"],
                )
    finally:
        call_command("migrate", database=cell.alias, verbosity=0)
    assert uuids(cell) == {1: None, 2: None}
    assert run("--cell", "cell3") == (
        0,
        ["cell   found  done  error", "cell3      2     2"],
    )
    assert len(set(uuids(cell).values())) == 2


def test_services_created_here_have_a_uuid(cloud: Cloud) -> None:
    services = Service.objects.using(cloud.cell("cell1").alias)
    one, other = (services.create(host=host, binary="b", topic="t") for host in ("a", "b"))
    assert UUID(one.uuid or "") != UUID(other.uuid or "")


# --- from the console ---------------------------------------------------------------------------

BACKFILL = "/admin/services/service/backfill/"


@pytest.mark.any_engine
def test_the_console_backfills_in_batches(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    add_services(cloud.cell("cell1"), 30)
    add_services(cloud.cell("cell2"), 10)
    found = look(cloud.cell("cell1")).found
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(BACKFILL).content.decode()
    assert "cell1" in page
    assert "cell3" not in page
    monkeypatch.setattr(backfill_tasks, "BATCH_SIZE", 4)
    monkeypatch.setattr(backfill_tasks, "TASK_SECONDS", 0)  # a batch for each task
    client.post(BACKFILL, {"cell": cloud.cell("cell1").uuid})
    client.post(BACKFILL, {"cell": cloud.cell("cell1").uuid})  # is under way, and left alone
    (backfill,) = backfill_tasks.running().values()
    assert (backfill.found, backfill.done, backfill.username) == (found, 0, "root")
    assert backfill_tasks.fill_batches.call(backfill.intent.pk) == 4
    page = client.get(BACKFILL).content.decode()
    assert f'<progress max="{found}" value="4"' in page
    tasks = 1
    while backfill_tasks.fill_batches.call(backfill.intent.pk):
        tasks += 1
    assert tasks == -(-found // 4)
    entry = Entry.objects.get(action=backfill_tasks.ACTION)
    assert (entry.username, entry.cell_name, entry.outcome) == ("root", "cell1", "done")
    assert (entry.before, entry.after) == ({"without_uuid": found}, {"without_uuid": 0})
    assert not backfill_tasks.running()
    assert look(cloud.cell("cell2")).found
    assert client.get(f"/admin/audit/entry/{entry.pk}/change/").status_code == 200


@pytest.mark.any_engine
def test_a_backfill_that_lost_its_worker_is_continued(cloud: Cloud) -> None:
    add_services(cloud.cell("cell1"), 10)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    client.post(BACKFILL)
    (backfill,) = backfill_tasks.running().values()
    assert journal.settle(backfill.intent) is False  # it goes on, whenever that is
    told = {**backfill.intent.entry, "after": {"without_uuid": backfill.left, "at": 0}}
    Intent.objects.update(entry=told)
    assert "db_worker" in client.get(BACKFILL).content.decode()
    client.post(BACKFILL, {"cell": cloud.cell("cell1").uuid})
    (backfill,) = backfill_tasks.running().values()
    assert not backfill.stands_still
    call_command("backfill_service_uuids", stdout=StringIO())
    assert journal.settle(backfill.intent)
    assert Entry.objects.get(action=backfill_tasks.ACTION).outcome == "done"


@pytest.mark.any_engine
def test_only_who_may_change_services_may_start_a_backfill(cloud: Cloud) -> None:
    add_services(cloud.cell("cell1"), 10)
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_service"))
    client = Client()
    client.force_login(user)
    assert client.get(BACKFILL).status_code == 403
    assert client.post(BACKFILL).status_code == 403
    assert not backfill_tasks.running()
