"""``manage.py serve``, which is what ``make run`` runs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import User
from django.db import connections

from portal.models import ApiToken
from tests.clouds import Cloud
from tests.commands import ROOT, environment, manage
from tests.nova import made_by_nova, schema_of
from tests.servers import free_port
from tests.waiting import wait_until

BIN = Path(sys.executable).parent


@dataclass
class Served:
    """A portal as it is served; ``text`` is what it has printed."""

    process: "subprocess.Popen[str]"
    port: int
    text: str
    folder: Path

    def line(self, start: str) -> str:
        """The line that begins so."""
        return next(line for line in self.text.splitlines() if line.startswith(start))

    def children(self) -> list[psutil.Process]:
        processes: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return processes


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[Served]:
    """Serve until the end of the block, on a free port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "serve"],
        env=environment(PORT=str(port), VAR_DIR=str(folder), **settings),
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr").open("w"),
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    text = ""
    while "openstack " not in text:
        line = process.stdout.readline()
        assert line, f"it ended: {text}{(folder / 'stderr').read_text()}"
        text += line
    try:
        shell(f"curl --silent --fail http://127.0.0.1:{port}/v2.1")
        yield Served(process, port, text, folder)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def shell(line: str) -> str:
    """What a printed line prints when it is given to a shell."""
    done = subprocess.run(  # noqa: S602
        line,
        shell=True,
        env=environment() | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them end within a few seconds."""
    return not psutil.wait_procs(processes, timeout=15)[1]


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The embedded portal in an empty folder."""
    with served(tmp_path_factory.mktemp("var")) as one:
        yield one


def test_it_says_where_it_is(portal: Served) -> None:
    base = f"http://127.0.0.1:{portal.port}"
    assert portal.line("console").split() == ["console", f"{base}/admin/"]
    assert portal.line("API").split() == ["API", f"{base}/v2.1"]
    assert re.match(r"login +admin / [0-9a-f]{16} \(", portal.line("login"))


def test_what_it_makes_is_its_owners_alone(portal: Served) -> None:
    made = [portal.folder / name for name in ("portal.sqlite3", "api.sqlite3", "secret_key")]
    made += [portal.folder / "cells", *(portal.folder / "cells").iterdir()]
    assert len(made) > 5
    assert not [path for path in made if path.stat().st_mode & 0o077]


def test_the_demo_password_is_another_at_each_start(portal: Served, tmp_path: Path) -> None:
    with served(tmp_path) as other:
        assert other.line("login") != portal.line("login")


def test_a_client_cannot_say_where_the_portal_is(portal: Served) -> None:
    page = f"http://127.0.0.1:{portal.port}/v2.1"
    links = shell(f"curl -s -H 'SCRIPT_NAME: /x' -H 'X-Forwarded-Proto: gopher' {page}")
    assert f'"{page}/"' in links


def test_the_printed_lines_work(portal: Served) -> None:
    assert '"hypervisor_hostname":"c1-r01-cmp01.example.net"' in shell(
        portal.line("curl").replace("curl", "curl --silent --fail", 1)
    )
    services = shell(portal.line("openstack"))
    assert re.search(r"nova-compute +\| c1-r01-cmp01 +\| az1 +\| enabled +\| up", services)
    assert re.search(r"nova-compute +\| c1-r01-cmp02 +\| az1 +\| enabled +\| down", services)
    assert re.search(r"None +\| nova-compute +\| c4-r01-cmp01 ", services)


def test_the_console_answers(portal: Served) -> None:
    page = shell(f"curl --silent --fail --location {portal.line('console').split()[1]}")
    assert "csrfmiddlewaretoken" in page


def test_heartbeats_run_beside_it(portal: Served) -> None:
    commands = [" ".join(child.cmdline()) for child in portal.children()]
    assert len([command for command in commands if "heartbeat" in command]) == 1


def test_a_port_in_use(portal: Served, tmp_path: Path) -> None:
    done = manage("serve", PORT=str(portal.port), VAR_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    said = f"CommandError: port {portal.port}: address already in use; set PORT to another\n"
    assert done.stderr == said
    assert not (tmp_path / "cells").exists()


def test_interrupting_ends_everything_and_the_fleet_stays(tmp_path: Path) -> None:
    with served(tmp_path) as first:
        assert "cell0 and 4 cells" in first.text
        assert "cell1: " not in first.text  # that is no answer, but progress
        assert "cell1: " in (tmp_path / "stderr").read_text()
        children = first.children()
        assert len(children) >= 2
        os.killpg(first.process.pid, signal.SIGINT)  # as Ctrl-C does
        first.process.wait(30)
        assert gone(children)
    assert (tmp_path / "stderr").read_text().count("Traceback") == 0
    before = (tmp_path / "cells" / "cell1.sqlite3").stat().st_ino
    with served(tmp_path) as second:
        assert "cell0 and 4 cells" not in second.text
        assert (tmp_path / "cells" / "cell1.sqlite3").stat().st_ino == before
        children = second.children()
        os.kill(second.process.pid, signal.SIGKILL)
        second.process.wait(30)
        assert gone(children)


def test_a_cell_whose_file_is_lost_is_missing(tmp_path: Path) -> None:
    with served(tmp_path):
        pass
    lost = tmp_path / "cells" / "cell2.sqlite3"
    for file in lost.parent.glob("cell2.sqlite3*"):
        file.unlink()
    with served(tmp_path) as portal:
        listed = shell(portal.line("curl"))
        assert "c1-r01-cmp01.example.net" in listed
        assert '"c2-' not in listed
        said = (tmp_path / "stderr").read_text()
        assert "cell cell2 was not migrated: its database file is gone" in said
        assert not lost.exists()
    cells = json.loads(manage("cells", "--json", VAR_DIR=str(tmp_path)).stdout)
    problems = {cell["name"]: cell["problem"] for cell in cells}
    assert problems.pop("cell2") == "its database file is gone"
    assert not any(problems.values())
    assert not lost.exists()


def test_every_line_of_the_log_is_json_where_that_is_its_format(tmp_path: Path) -> None:
    """gunicorn's master and workers from the start to the end, warnings, a killed worker."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        '"os_compute_api:os-services": "role:admin"\n'
    )  # oslo.policy warns: it is old
    with served(
        tmp_path,
        LOG_FORMAT="json",
        WEB_CONCURRENCY="1",
        GUNICORN_CMD_ARGS="--log-level info",
        POLICY_FILE=str(policy),
    ) as portal:
        master = psutil.Process(portal.process.pid)
        log = tmp_path / "stderr"
        master.send_signal(signal.SIGHUP)
        wait_until(lambda: log.read_text().count("Booting worker") == 2)
        worker = max(portal.children(), key=lambda one: (one.ppid() == master.pid, one.pid))
        worker.kill()
        wait_until(lambda: "SIGKILL" in log.read_text())
        wait_until(lambda: log.read_text().count("Booting worker") == 3)
        master.terminate()
        master.wait(30)
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    said = [one["message"] for one in logged]
    for start in ("Starting gunicorn", "Listening at", "Booting worker", "Handling signal: term"):
        assert [text for text in said if text.startswith(start)], start
    assert {"py.warnings", "gunicorn.error"} <= {one["logger"] for one in logged}


def test_a_command_that_cannot_serve_says_so_in_the_form_of_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = manage("serve", VAR_DIR=str(tmp_path), PORT=port, LOG_FORMAT="json")
    assert done.returncode == 1
    [line] = [json.loads(text) for text in done.stderr.splitlines()]
    assert line["level"] == "ERROR"
    assert f"port {port}: address already in use" in line["message"]


def test_attached_it_makes_nothing_in_novas_databases(
    cloud: Cloud, tmp_path: Path, admin_token: str
) -> None:
    cloud.host("cell1", "one")
    aliases = ["api", *(cell.alias for cell in cloud.cells)]
    with made_by_nova(aliases):
        before = {alias: schema_of(alias) for alias in aliases}
        for alias in aliases:
            connections[alias].close()
        with served(
            tmp_path, NOVA_API_DATABASE_URL=cloud.api_url, DATABASE_URL=cloud.portal_url
        ) as portal:
            assert "4 cells" in portal.line("attached to")
            assert "demo" not in portal.text
            assert "createsuperuser" in portal.text
            assert "create_token" in portal.text
            for tool in ("curl", "openstack"):
                line = portal.line(tool).replace("TOKEN", admin_token)
                assert "one" in shell(line)
            assert not [one for one in portal.children() if "heartbeat" in one.cmdline()]
        assert {alias: schema_of(alias) for alias in aliases} == before
    assert not (tmp_path / "cells").exists()


def test_attached_to_a_database_that_is_away(tmp_path: Path) -> None:
    url = f"mysql+pymysql://nova:secret@127.0.0.1:{free_port()}/nova_api"
    done = manage("serve", NOVA_API_DATABASE_URL=url, VAR_DIR=str(tmp_path), PORT=str(free_port()))
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: ")
    assert done.stderr.count("\n") == 1
    assert "refused" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "http", "PORT: 'http' cannot be read"),
        ("PORT", "65536", "PORT: must be from 0 to 65535"),
        ("DEBUG", "perhaps", "DEBUG: must be true or false, not 'perhaps'"),
        ("CELL_DEADLINE", "-1", "CELL_DEADLINE: must be a number of seconds above 0"),
        ("CELL_DEADLINE", "5min", "CELL_DEADLINE: '5min' cannot be read"),
        ("SERVICE_DOWN_TIME", "inf", "SERVICE_DOWN_TIME: must be a number of seconds above 0"),
        ("LOGIN_COOLOFF", "1e300", "LOGIN_COOLOFF: must be a number of seconds above 0, and a day"),
        ("DOWN_TOO_LONG_DAYS", "9" * 9, "DOWN_TOO_LONG_DAYS: must be a whole number from 1 to"),
        ("WEB_CONCURRENCY", "many", "WEB_CONCURRENCY: 'many' cannot be read"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR"),
        ("NOVA_API_DATABASE_URL", "oracle://u:hidden@h/db", "NOVA_API_DATABASE_URL: oracle"),
        ("DATABASE_URL", "mysql://u:hidden@h", "DATABASE_URL: names no database"),
        ("TASK_BACKEND", "nosuch", "TASK_BACKEND: 'nosuch' cannot be used: nosuch doesn't look"),
        ("TASK_BACKEND", "no.such", "TASK_BACKEND: 'no.such' cannot be used: No module named"),
        ("TASK_BACKEND", "django_tasks_db.X", "TASK_BACKEND: 'django_tasks_db.X' cannot be used: "),
        ("TASK_BACKEND", "math.floor", "TASK_BACKEND: 'math.floor' is not a task backend"),
        ("VAR_DIR", "/dev/null/var", "DATABASE_URL: not set, and VAR_DIR /dev/null/var cannot be"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "TRUSTED_PROXIES: '10.0.0.0/33' does not appear"),
    ],
)
def test_a_malformed_setting_is_one_line(tmp_path: Path, name: str, value: str, said: str) -> None:
    settings: dict[str, Any] = {"VAR_DIR": str(tmp_path)} | {name: value}
    done = manage("check", **settings)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.stderr


def test_a_section_that_a_library_reads_is_checked_at_the_start(tmp_path: Path) -> None:
    conf = tmp_path / "nova.conf"
    conf.write_text("[keystone_authtoken]\nauth_type = nosuch\npassword = hidden\n")
    settings = {"VAR_DIR": str(tmp_path), "NOVA_CONFIG_FILES": str(conf), "PORT": "0"}
    done = manage("serve", **settings)
    said = f"{conf}: [keystone_authtoken]/auth_type: The plugin nosuch could not be found"
    assert (done.returncode, done.stderr) == (1, f"CommandError: {said}\n")


def test_a_secret_key_may_begin_with_anything(tmp_path: Path) -> None:
    done = manage("check", VAR_DIR=str(tmp_path), SECRET_KEY="$ecret" * 10)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "secret_key").exists()


def test_a_fresh_clone_with_a_secret_key_can_be_attached(cloud: Cloud, tmp_path: Path) -> None:
    var_dir = tmp_path / "var"
    done = manage(
        "migrate",
        VAR_DIR=str(var_dir),
        SECRET_KEY="s3cret" * 10,
        NOVA_API_DATABASE_URL=cloud.api_url,
    )
    assert done.returncode == 0, done.stderr
    assert var_dir.stat().st_mode & 0o777 == 0o700
    assert (var_dir / "portal.sqlite3").stat().st_mode & 0o777 == 0o600


def test_a_command_whose_database_is_away_says_so_in_one_line(tmp_path: Path) -> None:
    url = f"postgresql://nova:secret@127.0.0.1:{free_port()}/portal"
    done = manage("export_audit", VAR_DIR=str(tmp_path), DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("a database does not answer: ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_tokens_of_another_process_are_known(cloud: Cloud, tmp_path: Path) -> None:
    User.objects.create_superuser("alice")
    connections["default"].close()
    done = manage(
        "create_token",
        "alice",
        NOVA_API_DATABASE_URL=cloud.api_url,
        DATABASE_URL=cloud.portal_url,
        VAR_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert ApiToken.objects.valid(done.stdout.strip()) is not None
