"""Every page, in light and dark, on small, usual and large screens: accessible, within the
Content-Security-Policy, and no wider than the screen.
"""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.conftest import SERVICES, Portal, Visitor, accessibility_violations, visit

NODES = "/admin/hypervisors/computenode/"
PAGES = [
    "/admin/",
    f"{NODES}?per_page=25",
    f"{NODES}?cell=cell1&o=-memory&per_page=25&p=2&columns=name,host,ip,uuid,seen,vcpus",
    f"{NODES}?q=nothing-is-called-this",
    f"{NODES}?memory=75&memory=90&o=-memory&per_page=25&_facets=True",
    "/admin/search/?q=c1",
    "first hypervisor",
    f"{SERVICES}?per_page=25",
    f"{SERVICES}?status=disabled&state=down&_facets=True",
    f"{SERVICES}backfill/",
    "first service",
    "confirm disable",
    "confirm force-down",
    "confirm delete",
    "confirm empty",
    "confirm evacuate",
    "/admin/problems/",
    "/admin/overview/cells/?o=-memory",
    "/admin/auth/",
    "/admin/cells/cellmapping/",
    "/admin/audit/entry/",
    "first entry",
    "undone results",
    "undone entry",
    "note at-a-host",
    "/admin/portal/apitoken/",
    "/admin/portal/apitoken/add/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "first user",
    "/admin/auth/group/",
    "/admin/auth/group/add/",
    "/admin/auth/group/1/delete/",
    "/admin/auth/group/1/history/",
    "/admin/auth/user/1/password/",
    "/admin/password_change/",
    "/admin/nowhere/",
    "/v2.1/",
    "/v2.1/os-services?microversion=2.69",
    "/v2.1/os-hypervisors/detail?microversion=2.53&limit=10",
]
SIZES = [360, 1280, 2560]
THEMES: list[Literal["light", "dark"]] = ["light", "dark"]
#: Whether a list has to be scrolled sideways.
SCROLLING = """
[...document.querySelectorAll(".results")].some((list) => list.scrollWidth > list.clientWidth)
"""
#: Django's admin fades from one colour to the other; what is folded away does not go on with that.
COLOURS_CHANGED = """
Promise.race([
  Promise.allSettled(document.getAnimations().map((each) => each.finished)),
  new Promise((resolve) => setTimeout(resolve, 1000)),
])
"""


@pytest.fixture(scope="module")
def recorded_entry(browser: Browser, portal: Portal) -> None:
    """An audit entry, which the pages then show."""
    context = browser.new_context()
    visitor = visit(context, portal.url)
    visitor.log_in()
    visitor.disable("cell=cell1&q=cmp01", "for an audit entry")
    context.close()
    assert not visitor.complaints


@pytest.fixture(scope="module")
def administrator(browser: Browser, portal: Portal, recorded_entry: None) -> Iterator[Visitor]:
    """The administrator, logged in once for all pages."""
    context = browser.new_context()
    visitor = visit(context, portal.url)
    visitor.log_in()
    yield visitor
    context.close()


def go_to(visitor: Visitor, name: str) -> None:
    """Open a page by its path, or by navigating to it."""
    page = visitor.page
    if name == "/admin/nowhere/":
        page.goto(visitor.url + name)
        visitor.complaints.clear()  # that it is not there
    elif name.startswith("/"):
        visitor.open(name)
    if name.startswith("/"):
        return
    verb, _, what = name.partition(" ")
    if verb == "confirm":
        visitor.open(f"{SERVICES}?binary=nova-compute&cell=cell1&per_page=25")
        for box in page.locator("input.row-select").all()[:3]:
            box.check()
        page.click(f".row-actions button[value={what}]")
        return
    if verb == "undone":
        visitor.disable("cell=cell4&q=cmp02", "to be undone")
        results = page.url
        page.click("a:has-text('Undo')")
        page.click("button[name=confirm]")
        page.goto(results)
        if what == "entry":
            page.click("a:has-text('undone')")
            page.click("a:has-text('undoes')")
        page.locator(".badge", has_text="undone").first.wait_for()
        return
    if verb == "note":
        go_to(visitor, "first hypervisor")
        host, cell = (page.input_value(f"#history input[name={name}]") for name in ("host", "cell"))
        visitor.open(f"/admin/notes/?host={host}&cell={cell}")
        return
    path = {
        "hypervisor": f"{NODES}?cell=cell1&q=cmp01",
        "service": f"{SERVICES}?cell=cell1&q=cmp01",
        "entry": "/admin/audit/entry/",
        "user": "/admin/auth/user/",
    }[what]
    visitor.open(path)
    page.locator("#result_list tbody th a").first.click()


def check_page(page: Page) -> None:
    """Check the page that is shown, in every size and theme."""
    problems = []
    for width in SIZES:
        page.set_viewport_size({"width": width, "height": 900})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.evaluate(COLOURS_CHANGED)
            found = accessibility_violations(page) if width != max(SIZES) else []
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                found.append("wider than the screen")
            if width == min(SIZES) and page.evaluate(SCROLLING):
                found.append("a list is wider than the screen")
            problems += [f"{width} {theme}: {problem}" for problem in found]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_and_within_the_policy(name: str, administrator: Visitor) -> None:
    administrator.complaints.clear()
    page = administrator.page
    page.set_viewport_size({"width": 1280, "height": 900})
    go_to(administrator, name)
    page.wait_for_load_state("networkidle")
    check_page(page)
    assert not administrator.complaints


def test_login_page_is_accessible(visitor: Visitor) -> None:
    check_page(visitor.open("/admin/login/"))
