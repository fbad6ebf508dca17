"""A real browser in front of the portal, served with a demo fleet of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.servers import ROOT, PortalServer, serve

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = ("--no-sandbox", "--disable-quic", "--disable-background-networking")
VIEWER_PASSWORD = "may-only-look"
#: Tells of every violation of the Content-Security-Policy, also those that no console shows.
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP violated: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


def executable(playwright: Any) -> str | None:
    """A Chromium of this machine, or the one that Playwright installed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    own: str = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = executable(playwright)
        if path is None:
            pytest.skip("no Chromium is installed; make e2e installs one")
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Portal:
    """The portal, and its management commands."""

    server: PortalServer
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return self.server.url

    def manage(self, *arguments: str) -> str:
        """Run ``manage.py``; what it prints."""
        return _manage(self.environment, *arguments)

    def manage_any(self, *arguments: str) -> str:
        """The same, whatever it exits with."""
        return _manage(self.environment, *arguments, check=False)


def _manage(environment: dict[str, str], *arguments: str, check: bool = True) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        check=check,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    """The embedded portal with the demo fleet, the demo's administrator and a viewer."""
    with tempfile.TemporaryDirectory(prefix="console-") as directory:
        environment = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        } | {
            "VAR_DIR": directory,
            "SECRET_KEY": "only-for-tests",
            "SERVICE_DOWN_TIME": "86400",
            "CELL_MAPPINGS_TTL": "1",
            "CELL_RETRY_AFTER": "1",
            "CELL_DEADLINE": "5",
        }
        _manage(environment, "demo")
        _manage(
            environment,
            "shell",
            "-c",
            "from django.contrib.auth.models import Group, User;"
            f"user = User.objects.create_user('viewer', password={VIEWER_PASSWORD!r});"
            "user.groups.add(Group.objects.get(name='reader'))",
        )
        with serve(environment, Path(directory) / "gunicorn.log") as server:
            yield Portal(server, environment)


@dataclass
class Visitor:
    """Someone with a browser.  Everything that went wrong in it is in ``complaints``."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a page, which must be there."""
        response = self.page.goto(self.url + path)
        assert response is not None
        assert response.ok, (path, response.status)
        return self.page

    def log_in(self, name: str = "admin", password: str = "demo") -> Page:  # noqa: S107
        self.open("/admin/login/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", password)
        self.page.click("input[type=submit]")
        self.page.wait_for_url(f"{self.url}/admin/")
        return self.page


def visit(context: BrowserContext, url: str) -> Visitor:
    context.add_init_script(WATCH_POLICY)
    visitor = Visitor(context.new_page(), url)

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visitor.complaints.append(message.text)

    def see(request: Any) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            visitor.complaints.append(f"asked for {request.url}")

    visitor.page.on("console", hear)
    visitor.page.on("pageerror", lambda error: visitor.complaints.append(f"{error} {error.stack}"))
    visitor.page.on("request", see)
    return visitor


@pytest.fixture
def visitor(browser: Browser, portal: Portal) -> Iterator[Visitor]:
    """Someone who is not logged in yet; the browser must have nothing to complain about."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor = visit(context, portal.url)
    yield visitor
    context.close()
    assert not visitor.complaints


@pytest.fixture
def operator(visitor: Visitor) -> Visitor:
    """The administrator, logged in."""
    visitor.log_in()
    return visitor


@pytest.fixture
def viewer(visitor: Visitor) -> Visitor:
    """Who may see everything and change nothing, logged in."""
    visitor.log_in("viewer", VIEWER_PASSWORD)
    return visitor


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed; npm install in tests/e2e does it")
    return AXE.read_text()
