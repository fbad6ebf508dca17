"""The documentation: its reference is that of the code, and what it tells to type can be typed."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from docs.generate import PAGES, REFERENCE
from portal.environment import SOURCES
from tests.clouds import Cloud
from tests.commands import ROOT

TEXTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
#: Variables in examples that are not settings of the portal's own code.
OTHERS = {
    "TEST_MYSQL_URL",
    "GUNICORN_CMD_ARGS",
    "WEB_CONCURRENCY",
    "DJANGO_SETTINGS_MODULE",
    "XDG_STATE_HOME",
}


def lines_of_code(path: Path) -> Iterator[str]:
    """The lines of blocks of code, those that end in a backslash with the next one."""
    for block in re.findall(r"^```(?:\w*)\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()


def typed(path: Path) -> Iterator[str]:
    """What is typed after the name of the program, in blocks and in the text."""
    program = r"(?:nova-cells|(?:\.venv/bin/python |python )?manage\.py) "
    for line in lines_of_code(path):
        if found := re.match(rf"(?:[A-Z_]+=\S* )*{program}(.*)", line.strip()):
            yield found[1]
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", text):
        if found := re.match(rf"{program}([a-z_]+.*)", code):
            yield found[1]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_can_be_typed(path: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in lines_of_code(path):
        if found := re.match(r"(?:[A-Z_]+=\S* )*make ([a-z0-9]+)", line.strip()):
            assert found[1] in targets, line
    for text in typed(path):
        words = shlex.split(re.split(r"\s+(?:#|>|\||&&|2>)", text)[0], posix=True)
        name, arguments = words[0], words[1:]
        assert name in get_commands(), text
        if not arguments or "..." in text or "--help" in arguments:
            continue
        parser = load_command_class(str(get_commands()[name]), name).create_parser(
            "nova-cells", name
        )
        known = parser._option_string_actions
        subcommands = {
            key: value
            for action in parser._actions
            if isinstance(action.choices, dict)
            for key, value in action.choices.items()
        }
        if arguments[0] in subcommands:
            known = known | subcommands[arguments[0]]._option_string_actions
        for word in arguments:
            if word.startswith("--"):
                assert word.partition("=")[0].rstrip("]") in known, text


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_exists(path: Path) -> None:
    known = {each.name for each in SOURCES} | OTHERS
    for line in lines_of_code(path):
        for name in re.findall(r"(?:^|export |\s)([A-Z][A-Z_]{3,})=", line):
            assert name in known or name == "ARGS", line
    for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", path.read_text()):
        is_of_nova = name in ("UNKNOWN", "COMPUTE_STATUS_DISABLED") or is_in_the_code(name)
        assert name in known or is_of_nova, name


def is_in_the_code(name: str) -> bool:
    """Whether it is a constant of the code."""
    return any(
        re.search(rf"\b{name}\b", file.read_text())
        for app in ("portal", "cells", "services", "hypervisors", "audit", "maintenance", "cloud")
        for file in (ROOT / app).rglob("*.py")
    )


@pytest.mark.any_engine
@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_that_of_the_code(cloud: Cloud, name: str) -> None:
    assert (REFERENCE / name).read_text() == PAGES[name](), "run: make docs"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="https?://(?!squidfunk)[^"]*\.(?:js|css|woff2?)', page)
