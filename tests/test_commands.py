"""What all commands share: help, typos, formats, completion."""

import csv
import json
import re
import shlex
import shutil
import subprocess
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import OutputWrapper

from cells.management.base import Column, Documented, rate_and_time_left, write_table
from tests.clouds import Cloud
from tests.commands import manage

APPS = ("portal", "cells", "services", "hypervisors", "audit", "aggregates", "maintenance")
OWN = sorted(name for name, app in get_commands().items() if app in APPS)


@pytest.mark.parametrize("name", OWN)
def test_help_has_examples_that_can_be_run_and_exit_codes(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    assert isinstance(command, Documented)
    parser = command.create_parser("nova-cells", name)
    text = parser.format_help()
    assert "exit codes:\n  0 " in text
    assert command.examples
    for example in command.examples:
        assert f"\n  nova-cells {example}\n" in text
        first, *arguments = shlex.split(example.partition(" >")[0])
        assert first == name
        if "--help" not in arguments:
            parser.parse_args(arguments)


def test_what_was_meant_is_said(tmp_path: Path) -> None:
    done = manage("cells", "--fromat", "csv", VAR_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "unrecognized arguments: --fromat csv; did you mean --format?" in done.stderr
    done = manage("chek_fleet", VAR_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "Did you mean check_fleet?" in done.stderr


@pytest.mark.any_engine
def test_the_nearest_cell_is_named(cloud: Cloud) -> None:
    with pytest.raises(Exception, match=r"no cell called cel2; .*; did you mean cell2\?"):
        call_command("check_fleet", "--cell", "cel2")


def printed(name: str, *arguments: str) -> str:
    out = StringIO()
    with suppress(SystemExit):
        call_command(name, *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("arguments", "heading"),
    [
        (["cells"], "name"),
        (["check_fleet"], "problem"),
        (["settings"], "setting"),
        (["backfill_service_uuids", "--dry-run"], "cell"),
        (["export_audit"], "id"),
        (["maintenance", "status"], ""),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_data_is_printed_in_each_format(cloud: Cloud, arguments: list[str], heading: str) -> None:
    cloud.add_service("cell0", "lost", uuid=None)  # a problem
    text = printed(*arguments, "--format", "csv")
    rows = list(csv.reader(StringIO(text)))
    assert not heading or heading in rows[0]
    assert len({len(row) for row in rows}) <= 1
    text = printed(*arguments, "--format", "json")
    parsed: Any = (
        [json.loads(line) for line in text.splitlines()]
        if (arguments == ["export_audit"])
        else json.loads(text)
    )
    assert isinstance(parsed, list | dict)
    if arguments != ["export_audit"]:
        assert "\x1b" not in printed(*arguments)


def test_a_table_is_aligned_where_there_is_no_terminal() -> None:
    out = StringIO()
    columns = (Column("name"), Column("services", is_number=True))
    write_table(OutputWrapper(out), columns, [["cell1", "12"], ["the second", "3"]])
    assert out.getvalue().splitlines() == [
        "name        services",
        "cell1             12",
        "the second         3",
    ]


def test_rate_and_time_left() -> None:
    assert rate_and_time_left(5_000, 20_000, 2.0) == "2,500/s, 0:00:06 left"
    assert rate_and_time_left(0, 20_000, 2.0) == ""


def test_completion(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(manage("completion").stdout)

    def complete(*words: str) -> set[str]:
        line = " ".join(shlex.quote(word) for word in words)
        done = subprocess.run(
            [
                shutil.which("bash") or "/bin/bash",
                "-c",
                f"source {script}; COMP_WORDS=({line}) COMP_CWORD={len(words) - 1};"
                '_nova_cells; printf "%s\\n" "${COMPREPLY[@]}"',
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return set(done.stdout.split())

    assert complete("nova-cells", "che") == {"check", "check_fleet"}
    assert {"--format", "--force-color"} == complete("nova-cells", "cells", "--fo")
    assert complete("nova-cells", "maintenance", "sta") == {"start", "status"}
    assert re.search("^complete .* nova-cells", script.read_text(), re.MULTILINE)
