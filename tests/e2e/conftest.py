"""A real browser in front of the portal, served with a demo fleet of its own."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.servers import ROOT, PortalServer, serve

SERVICES = "/admin/services/service/"
ARGUMENTS = ("--no-sandbox", "--disable-quic", "--disable-background-networking")
VIEWER_PASSWORD = "may-only-look"
DEMO_PASSWORD = "printed-at-the-start"
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
    # Playwright leaves an event loop running in this thread, in which Django refuses to ask
    # databases: other tests may come after these.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
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
        """Run ``manage.py``; what it prints, whatever it exits with."""
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


@contextmanager
def demo_portal(before_serving: str = "") -> Iterator[Portal]:
    """The embedded portal with the demo fleet, the demo's administrator and a viewer.

    ``before_serving`` is code that ``manage.py shell`` runs in it first.
    """
    with tempfile.TemporaryDirectory(prefix="console-") as directory:
        environment = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        } | {
            "VAR_DIR": directory,
            "SECRET_KEY": secrets.token_hex(32),
            "DEMO_PASSWORD": DEMO_PASSWORD,
            "SERVICE_DOWN_TIME": "86400",
            "CELL_DEADLINE": "5",
        }
        _manage(environment, "demo")
        _manage(
            environment,
            "shell",
            "-c",
            "from django.contrib.auth.models import Group, User;"
            f"user = User.objects.create_user('viewer', password={VIEWER_PASSWORD!r});"
            f"user.groups.add(Group.objects.get(name='reader'));{before_serving}",
        )
        with serve(environment, Path(directory) / "gunicorn.log") as server:
            yield Portal(server, environment)


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    """The portal that most tests share.

    Each acts on services of its own and leaves alone what others count, so that tests pass alone,
    in any order and in any number of processes.
    """
    with demo_portal() as shared:
        yield shared


def column(page: Page, name: str) -> list[str]:
    """The texts of a column of the list that is shown."""
    index = page.locator("#result_list thead th").evaluate_all(
        "(heads, name) => heads.findIndex((head) => head.classList.contains(`column-${name}`))",
        name,
    )
    assert index >= 0, f"no column {name}"
    texts: list[str] = page.locator("#result_list tbody tr").evaluate_all(
        "(rows, index) => rows.map((row) => row.children[index].innerText)", index
    )
    return texts


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

    def log_in(self, name: str = "admin", password: str = DEMO_PASSWORD) -> Page:
        self.open("/admin/login/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", password)
        self.page.click("input[type=submit]")
        self.page.wait_for_url(f"{self.url}/admin/")
        return self.page

    def disable(self, query: str, reason: str) -> str:
        """Disable the first service that the list finds; its host."""
        page = self.open(f"{SERVICES}?{query}&binary=nova-compute&status=enabled")
        page.locator("input.row-select").first.check()
        host = column(page, "host")[0]
        page.click(".row-actions button[value=disable]")
        page.fill("#reason", reason)
        page.click("button[name=confirm]")
        assert page.locator("tbody .badge.good").inner_text().strip().endswith("done")
        return host


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


def accessibility_violations(page: Page) -> list[str]:
    """What axe finds wrong with the page that is shown, a line per element."""
    results = Axe().run(page, options={"resultTypes": ["violations"], "preload": False})
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))} {node['html'][:160]} "
        + "; ".join(check["message"] for check in node["any"] + node["all"] + node["none"])
        for violation in results.response["violations"]
        for node in violation["nodes"]
    ]
