"""What the portal refuses to start with: one clear line each, by command and by server."""

import json
from pathlib import Path

import pytest

from tests.clouds import Cloud
from tests.commands import manage
from tests.servers import free_port, started

KEY = "0123456789" * 5

CASES = [
    ({"SECRET_KEY": "x"}, "SECRET_KEY: too easy to guess"),
    ({"SECRET_KEY": "ab" * 50}, "SECRET_KEY: too easy to guess"),
    ({"SECRET_KEY": f"django-insecure-{KEY}"}, "SECRET_KEY: too easy to guess"),
    ({"DEBUG": "true"}, "DEBUG: not with a Nova attached"),
    ({"ALLOWED_HOSTS": "portal.example.net,*"}, "ALLOWED_HOSTS: name the hosts"),
    ({"DEMO_PASSWORD": "demo"}, "DEMO_PASSWORD: no demo login"),
]


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("command", "unsafe", "line"),
    [(("check", "serve")[number % 2], *case) for number, case in enumerate(CASES)],
)
def test_commands_refuse(
    cloud: Cloud, tmp_path: Path, command: str, unsafe: dict[str, str], line: str
) -> None:
    attached = {
        "SECRET_KEY": KEY,
        "VAR_DIR": str(tmp_path),
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "DATABASE_URL": cloud.portal_url,
        "PORT": str(free_port()),
    }
    done = manage(command, **attached | unsafe)
    assert done.returncode == 1
    assert [text for text in done.stderr.splitlines() if line in text], done.stderr
    assert "Traceback" not in done.stderr
    embedded = manage("check", VAR_DIR=str(tmp_path / "demo"), **unsafe)
    assert embedded.returncode == int("SECRET_KEY" in unsafe), embedded.stderr


@pytest.mark.any_engine
def test_commands_do_not_refuse_what_is_safe(cloud: Cloud, tmp_path: Path) -> None:
    done = manage(
        "check",
        SECRET_KEY=KEY,
        VAR_DIR=str(tmp_path),
        NOVA_API_DATABASE_URL=cloud.api_url,
        DATABASE_URL=cloud.portal_url,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.any_engine
@pytest.mark.parametrize(("unsafe", "line"), CASES[::2])
def test_a_server_refuses(cloud: Cloud, tmp_path: Path, unsafe: dict[str, str], line: str) -> None:
    environment = {"NOVA_API_DATABASE_URL": cloud.api_url, "VAR_DIR": str(tmp_path), **unsafe}
    with started(environment, tmp_path / "log") as server:
        assert server.process.wait(60) == 3
    log = (tmp_path / "log").read_text()
    assert line in log
    assert "DEBUG: not" in log or "DEBUG" not in unsafe
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("malformed", "line"),
    [
        ({"CELL_DEADLINE": "-1"}, "CELL_DEADLINE: must be a number of seconds"),
        ({"TASK_BACKEND": "nosuch"}, "TASK_BACKEND: 'nosuch' cannot be used"),
        ({"SECRET_KEY": "x"}, "SECRET_KEY: too easy to guess"),
    ],
)
def test_a_server_ends_with_the_cause_in_the_form_of_the_log(
    tmp_path: Path, malformed: dict[str, str], line: str
) -> None:
    environment = {"VAR_DIR": str(tmp_path), "LOG_FORMAT": "json", **malformed}
    with started(environment, tmp_path / "log") as server:
        assert server.process.wait(60) == 3
    logged = [json.loads(text) for text in (tmp_path / "log").read_text().splitlines()]
    assert [one["level"] for one in logged if one["message"].startswith(line)] == ["CRITICAL"]


def test_gunicorn_refuses_a_format_that_there_is_not(tmp_path: Path) -> None:
    with started({"LOG_FORMAT": "xml"}, tmp_path / "log") as server:
        assert server.process.wait(60) == 1
    assert (tmp_path / "log").read_text() == "LOG_FORMAT: must be oslo or json, not 'xml'\n"


@pytest.mark.any_engine
def test_a_server_refuses_a_database_without_migrations(cloud: Cloud, tmp_path: Path) -> None:
    environment = {"NOVA_API_DATABASE_URL": cloud.api_url, "VAR_DIR": str(tmp_path)}
    with started(environment, tmp_path / "log") as server:
        assert server.process.wait(60) == 3
    log = (tmp_path / "log").read_text()
    assert "The portal's own database lacks migrations: run manage.py migrate." in log
    assert "Traceback" not in log


@pytest.mark.any_engine
def test_no_nova_is_attached_beside_a_demo_fleet(cloud: Cloud, tmp_path: Path) -> None:
    demo = {"VAR_DIR": str(tmp_path), "SECRET_KEY": KEY}
    assert manage("demo", "--cells=1", "--hosts-per-cell=1", **demo).returncode == 0
    done = manage("check", NOVA_API_DATABASE_URL=cloud.api_url, **demo)
    assert done.returncode == 1
    assert f"VAR_DIR: {tmp_path} has a demo fleet" in done.stderr
