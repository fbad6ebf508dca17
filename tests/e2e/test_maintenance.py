"""A host is emptied and returned in a browser; the demo's simulator moves its servers."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visitor, accessibility_violations

NAME = "c1-r02-cmp03"


@pytest.mark.parametrize("width", [1280, 360])
def test_pages_are_accessible(operator: Visitor, width: int) -> None:
    operator.page.set_viewport_size({"width": width, "height": 900})
    for path in ("/admin/maintenance/maintenance/", "/admin/maintenance/calendar/"):
        assert accessibility_violations(operator.open(path)) == [], path
    page = operator.open(f"/admin/hypervisors/computenode/?q={NAME}")
    page.locator("#result_list tbody th a").click()
    page.locator("#maintenance button[value=retire]").click()
    assert accessibility_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_host_is_emptied_and_returned(operator: Visitor) -> None:
    page = operator.open(f"/admin/services/service/?q={NAME}&binary=nova-compute")
    page.locator("input.row-select").first.check()
    page.click(".row-actions button[value=empty]")
    page.fill("#id_reason", "firmware")
    page.check("#id_move_stopped")
    page.click("button[name=confirm]")
    page.wait_for_url("**/change/")
    # It keeps itself fresh until it has come to an end.
    done = page.locator("dd .badge", has_text=re.compile("(empty|failed)$"))
    expect(done.first).to_be_visible(timeout=90_000)
    assert accessibility_violations(page) == []
    page.get_by_role("button", name="Return the host").click()
    expect(page.locator("dd .badge", has_text="done").first).to_be_visible(timeout=30_000)
