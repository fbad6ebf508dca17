"""Comfort: keys, menus, toasts, lists that refresh themselves, and what fits a screen."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import SERVICES, Visitor, column

NODES = "/admin/hypervisors/computenode/"
OUTLINE = """
(element) => {
  const of = (style) => style.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => part / 255).map(
      (part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const style = getComputedStyle(element);
  let under = element.parentElement;
  while (under.parentElement && of(getComputedStyle(under).backgroundColor)[3] === 0) {
    under = under.parentElement;
  }
  const colours = [style.outlineColor, getComputedStyle(under).backgroundColor];
  const [one, other] = colours.map(of).map(light);
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  return [style.outlineStyle, parseFloat(style.outlineWidth), ratio];
}
"""


def test_keys_move_select_and_search(operator: Visitor) -> None:
    page = operator.open(f"{SERVICES}?cell=cell1")
    hosts = column(page, "host")
    for key in "jjjk":
        page.keyboard.press(key)
    row = page.locator("tr.current")
    assert row.locator("th").inner_text() == hosts[1]
    page.keyboard.press("x")
    assert row.locator("input.row-select").is_checked()
    page.keyboard.press("/")
    page.keyboard.type("jx?")
    assert page.locator("#searchbar").input_value() == "jx?"
    page.locator("#searchbar").blur()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.uncheck("#keys-on")
    page.keyboard.press("Escape")
    page.keyboard.press("j")  # they are off in this browser
    assert page.locator("tr.current th").inner_text() == hosts[1]
    page.click("#show-keys")
    page.check("#keys-on")
    page.keyboard.press("Escape")
    with page.expect_navigation():
        page.keyboard.press("j")
        page.keyboard.press("Enter")
    assert hosts[2] in page.locator("h1").inner_text()


def test_menus_close(operator: Visitor) -> None:
    page = operator.open(NODES)
    summary = page.locator("summary:has-text('Columns')")
    summary.click()
    page.keyboard.press("Escape")
    assert page.locator("details.menu[open]").count() == 0
    assert summary.evaluate("(element) => element === document.activeElement")
    summary.click()
    page.click("summary:has-text('Saved')")
    assert page.locator("details.menu[open]").count() == 1
    page.click("h1")
    assert page.locator("details.menu[open]").count() == 0


def test_what_was_done_is_a_toast(operator: Visitor) -> None:
    page = operator.open(f"{NODES}?state=up")
    page.click("summary:has-text('Saved')")
    page.fill("#save-name", "a toast")
    with page.expect_navigation():
        page.click(".save button")
    toast = page.locator("#toasts .toast")
    assert "Saved as" in toast.inner_text()
    assert page.locator(".messagelist li").count() == 0
    toast.locator("button").click()
    assert toast.count() == 0
    page.click("summary:has-text('Saved')")
    with page.expect_navigation():
        page.click("button[aria-label='Delete a toast']")


def test_a_list_refreshes_itself_if_that_is_wanted(operator: Visitor) -> None:
    page = operator.page
    page.add_init_script("""
        document.addEventListener("DOMContentLoaded", () => {
          const list = document.getElementById("list");
          if (list) { list.dataset.every = "1"; }
        });
    """)
    operator.open(f"{SERVICES}?cell=cell2")
    fetched: list[str] = []
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: fetched.append(request.url))
    page.wait_for_timeout(2200)
    assert not fetched
    page.keyboard.press("j")
    with page.expect_response("**cell=cell2"):
        page.check("#refresh-list")
    expect(page.locator("#freshness")).to_contain_text("Updated")
    assert page.locator("tr.current").count() == 1  # the row stays
    page.locator("input.row-select").first.check()
    expect(page.locator("#freshness")).to_contain_text("Paused")
    fetched.clear()
    page.wait_for_timeout(2200)
    assert not fetched
    assert page.locator("input.row-select").first.is_checked()
    page.uncheck("#refresh-list")


@pytest.mark.parametrize("path", [NODES, SERVICES])
def test_a_list_fits_the_screen_and_keeps_its_head(operator: Visitor, path: str) -> None:
    page = operator.open(path)
    table = page.locator("#result_list")
    wrapped = table.locator("tbody th:not(.long) a").evaluate_all(
        "(links) => links.filter((link) => link.getClientRects().length > 1).length"
    )
    assert wrapped == 0
    assert page.locator(".results").evaluate("(part) => part.scrollWidth - part.clientWidth") <= 0
    page.evaluate("window.scrollTo(0, 1500)")
    head = table.locator("thead th").nth(1).bounding_box()
    assert head is not None
    assert head["y"] == 0


def test_filters_come_before_the_list_on_a_phone(operator: Visitor) -> None:
    page = operator.page
    page.set_viewport_size({"width": 360, "height": 740})
    operator.open(NODES)
    summary = page.locator("#filters > summary")
    box = summary.bounding_box()
    assert box is not None
    assert box["y"] < 500
    assert not page.locator(".filter").count()
    summary.click()
    page.locator(".filter").first.wait_for()


def test_actions_are_at_hand_on_a_phone(operator: Visitor) -> None:
    """Not below the last of a hundred rows, and without covering what is selected."""
    page = operator.page
    page.set_viewport_size({"width": 360, "height": 740})
    operator.open(SERVICES)
    page.locator("input.row-select").nth(1).check()
    expect(page.locator(".row-actions button").first).to_be_in_viewport()
    box = page.locator(".row-actions").bounding_box()
    assert box is not None
    assert box["height"] < 60
    page.locator(".row-actions button[value=retire]").click()  # it scrolls to it
    assert page.locator("main h1").inner_text().startswith("Retire")


def test_a_long_word_in_a_reason_widens_no_list(operator: Visitor) -> None:
    page = operator.page
    host = operator.disable("cell=cell2", "https://tickets.example.net/" + "OPS-20391" * 24)
    page.set_viewport_size({"width": 1280, "height": 900})
    for path in (f"{NODES}?q={host}", f"/admin/audit/entry/?q={host}"):
        operator.open(path)
        widths = page.locator("body, .results").evaluate_all(
            "(elements) => elements.map((one) => [one.scrollWidth, one.clientWidth])"
        )
        assert all(inner <= outer for inner, outer in widths), (path, widths)


def test_filters_of_djangos_own_lists_are_opened_on_demand(operator: Visitor) -> None:
    page = operator.page
    page.set_viewport_size({"width": 1280, "height": 900})
    operator.open("/admin/audit/entry/")
    assert not page.locator(".filter").first.is_visible()
    page.click("#filters > summary")
    assert page.locator(".filter").first.is_visible()


def focus_rings(page: Page) -> list[str]:
    """What is focused by the first Tabs, where its ring cannot be told from what is under it."""
    faint = []
    for _number in range(24):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        style, width, contrast = focused.evaluate(OUTLINE)
        if style == "none" or width < 2 or contrast < 3:
            faint.append(
                f"{focused.evaluate('(e) => e.outerHTML')[:80]}: {style} {width} {contrast}"
            )
    return faint


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_has_the_focus_is_seen(operator: Visitor, scheme: str) -> None:
    operator.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    assert focus_rings(operator.open(SERVICES)) == []
