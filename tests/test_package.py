"""The package: built, installed where there is nothing else, it serves the demo."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import portal
from tests.commands import ROOT, environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but what the wheel has; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source],
        cwd=source,
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    assert wheel.name == f"nova_cells-{portal.__version__}-py3-none-any.whl"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            folder / "site",
            wheel,
        ],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return folder / "site"


@pytest.fixture
def serving(installed: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """``nova-cells serve`` from an empty folder: its URL, and its home."""
    process = subprocess.Popen(
        [installed / "bin" / "nova-cells", "serve"],
        cwd=tmp_path,
        env=environment(PORT="0", HOME=str(tmp_path), PYTHONPATH=str(installed)),
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "stderr").open("w"),
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    text = ""
    try:
        while "openstack " not in text:
            line = process.stdout.readline()
            assert line, f"it ended: {text}{(tmp_path / 'stderr').read_text()}"
            text += line
        found = re.search(r"http://127\.0\.0\.1:\d+", text)
        assert found
        yield found[0], tmp_path
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def test_the_demo_is_served_from_an_empty_folder(serving: tuple[str, Path]) -> None:
    base, home = serving
    for path in (
        "/admin/login/",
        "/static/console/console.css",
        "/static/docs/openapi.js",
        "/docs/",
    ):
        with urllib.request.urlopen(base + path, timeout=60) as answer:  # noqa: S310
            assert answer.status == 200, path
    login = urllib.request.Request(f"{base}/admin/login/", headers={"Accept-Language": "de"})  # noqa: S310
    with urllib.request.urlopen(login, timeout=60) as answer:  # noqa: S310
        assert "Anmelden" in answer.read().decode()
    with urllib.request.urlopen(f"{base}/docs/openapi.json", timeout=60) as answer:  # noqa: S310
        described = json.loads(answer.read())
    assert described["info"]["version"].startswith(portal.__version__)
    assert "example" in json.dumps(described)
    assert (home / ".local/state/nova-cells/portal.sqlite3").exists()


def test_the_changelog_is_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)[:2] == [
        "Unreleased",
        portal.__version__,
    ]
