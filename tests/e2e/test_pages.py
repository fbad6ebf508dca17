"""Every page, in light and dark, on small, usual and large screens: accessible, within the
Content-Security-Policy, and no wider than the screen.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.conftest import SERVICES, Portal, Visitor, accessibility_violations, visit

NODES = "/admin/hypervisors/computenode/"
PAGES = [
    "/admin/",
    NODES,
    f"{NODES}?cell=cell1&o=-memory&per_page=25&p=2&columns=name,host,ip,uuid,seen,vcpus",
    f"{NODES}?q=nothing-is-called-this",
    f"{NODES}?memory=75&memory=90&o=-memory&per_page=25",
    "/admin/search/?q=c1",
    "first hypervisor",
    SERVICES,
    f"{SERVICES}?status=disabled&state=down",
    f"{SERVICES}backfill/",
    "first service",
    "confirm disable",
    "confirm force-down",
    "confirm delete",
    "/admin/problems/",
    "/admin/overview/cells/?o=-memory",
    "/admin/auth/",
    "/admin/cells/cellmapping/",
    "/admin/audit/entry/",
    "first entry",
    "/admin/portal/apitoken/",
    "/admin/portal/apitoken/add/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "first user",
    "/admin/auth/group/",
    "/admin/auth/group/add/",
    "/v2.1/",
    "/v2.1/os-services?microversion=2.69",
    "/v2.1/os-hypervisors/detail?microversion=2.53",
]
SIZES = [360, 1280, 2560]


@pytest.fixture(scope="module")
def recorded_entry(browser: Browser, portal: Portal) -> None:
    """An audit entry, which the pages then show."""
    context = browser.new_context()
    visitor = visit(context, portal.url)
    visitor.log_in()
    visitor.disable("cell=cell1&q=cmp01", "for an audit entry")
    context.close()
    assert not visitor.complaints


@pytest.fixture(params=["light", "dark"], scope="module")
def theme(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(params=SIZES, scope="module")
def reader_of_pages(
    request: pytest.FixtureRequest,
    theme: str,
    browser: Browser,
    portal: Portal,
    recorded_entry: None,
) -> Iterator[Visitor]:
    """The administrator with a screen of that width, in that theme."""
    width: int = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
    )
    visitor = visit(context, portal.url)
    visitor.log_in()
    yield visitor
    context.close()


def go_to(visitor: Visitor, name: str) -> None:
    """Open a page by its path, or by navigating to it."""
    page = visitor.page
    if name.startswith("/"):
        visitor.open(name)
        return
    verb, _, what = name.partition(" ")
    if verb == "confirm":
        visitor.open(f"{SERVICES}?binary=nova-compute&cell=cell1&per_page=25")
        for box in page.locator("input.row-select").all()[:3]:
            box.check()
        page.click(f".row-actions button[value={what}]")
        return
    path = {
        "hypervisor": f"{NODES}?cell=cell1&q=cmp01",
        "service": f"{SERVICES}?cell=cell1&q=cmp01",
        "entry": "/admin/audit/entry/",
        "user": "/admin/auth/user/",
    }[what]
    visitor.open(path)
    page.locator("#result_list tbody th a").first.click()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_and_within_the_policy(name: str, reader_of_pages: Visitor) -> None:
    visitor = reader_of_pages
    visitor.complaints.clear()
    go_to(visitor, name)
    page = visitor.page
    page.wait_for_load_state("networkidle")
    violations = accessibility_violations(page)
    assert not violations, "\n".join(violations)
    assert not visitor.complaints
    too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert too_wide <= 0


def test_login_page_is_accessible(visitor: Visitor, theme: str) -> None:
    visitor.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page = visitor.open("/admin/login/")
    violations = accessibility_violations(page)
    assert not violations, "\n".join(violations)
