"""The console's workflows, in a browser."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import DEMO_PASSWORD, SERVICES, Portal, Visitor, column, demo_portal, visit
from tests.servers import free_port

NODES = "/admin/hypervisors/computenode/"


def follow(page: Page, what: Locator | str) -> None:
    """Click a link or button and wait for the next page."""
    with page.expect_navigation():
        (page.locator(what) if isinstance(what, str) else what).click()


def open_filters(page: Page) -> None:
    """Filters are open on demand, and stay open for the lists that are visited next.

    They are fetched then, and lead to lists that need not count for them.
    """
    if page.locator("#filters").get_attribute("open") is None:
        page.click("#filters > summary")
    link = page.locator(".filter a").first
    link.wait_for()
    assert "_facets" not in (link.get_attribute("href") or "_facets")


def key_in_url(page: Page) -> str:
    """The key of the row whose page is shown."""
    return page.url.partition("?")[0].rstrip("/").rpartition("/")[2]


def total(page: Page) -> int:
    """The number of rows that the list reports."""
    found = re.search(r"of (\d+)", page.locator(".summary").inner_text())
    assert found is not None
    return int(found[1])


def test_overview_shows_health_and_refreshes(operator: Visitor) -> None:
    page = operator.open("/admin/")
    assert page.locator(".verdict .badge").count() == 1
    assert page.locator(".tile").count() == 4
    assert page.locator("#overview table tbody tr").count() == 5  # cell0 and four cells
    assert page.locator("#overview svg.bar").count() >= 3 + 3 * 4
    page.locator("#freshness").wait_for(state="visible")
    page.evaluate("document.getElementById('overview').dataset.every = '1'")
    page.reload()
    page.add_init_script("document.addEventListener('DOMContentLoaded', () => {"
                         "document.getElementById('overview').dataset.every = '1'})")  # fmt: skip
    with page.expect_response("**/admin/overview/") as fetched:
        page.reload()
    assert fetched.value.ok
    assert "Updated" in page.locator("#freshness").inner_text()


def test_overview_says_why_it_is_not_up_to_date(operator: Visitor) -> None:
    page = operator.page
    page.add_init_script("""
        document.addEventListener("DOMContentLoaded", () => {
          const part = document.getElementById("overview");
          if (part) { part.dataset.every = "1"; }
        });
    """)
    operator.open("/admin/")
    alert = page.locator("#freshness [role=alert]")
    page.route("**/admin/overview/", lambda route: route.abort())
    expect(alert).to_have_text("It cannot be updated.")
    page.unroute("**/admin/overview/")
    expect(alert).to_have_text("")
    assert {*operator.complaints} == {"Failed to load resource: net::ERR_FAILED"}
    operator.complaints.clear()
    page.context.clear_cookies()
    expect(alert).to_have_text("Your session has expired.")
    page.click("#freshness a")
    assert page.url.endswith("/admin/login/?next=/admin/")


def test_overview_does_not_refresh_while_hidden(operator: Visitor) -> None:
    page = operator.page
    page.add_init_script("""
        Object.defineProperty(document, "hidden", {get: () => window.pretendHidden !== false});
        document.addEventListener("DOMContentLoaded", () => {
          const part = document.getElementById("overview");
          if (part) { part.dataset.every = "1"; }
        });
    """)
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    operator.open("/admin/")
    page.wait_for_timeout(3000)
    assert not [url for url in fetched if url.endswith("/admin/overview/")]
    with page.expect_response("**/admin/overview/"):
        page.evaluate("window.pretendHidden = false;"
                      "document.dispatchEvent(new Event('visibilitychange'))")  # fmt: skip


def test_hypervisors_of_all_cells_in_one_list(operator: Visitor) -> None:
    page = operator.open(f"{NODES}?per_page=500")
    everything = total(page)
    assert len(set(column(page, "cell"))) == 4
    names = column(page, "name")
    assert names == sorted(names)
    follow(page, "thead th.column-name a")
    assert column(page, "name") == names[::-1]
    follow(page, "thead th.column-vcpus a")
    used = [int(share) for text in column(page, "vcpus") for share in re.findall(r"(\d+) %", text)]
    assert len(used) > 1
    assert used == sorted(used)
    # A filter, which leaves as many rows as its count.
    open_filters(page)
    choice = page.locator(".filter a", has_text="az1").first
    promised = int(choice.locator(".count").inner_text())
    follow(page, choice)
    assert total(page) == promised < everything
    assert set(column(page, "zone")) == {"az1"}
    follow(page, ".chip")
    assert total(page) == everything
    # A search, and a choice of columns.
    page.fill("#searchbar", "cmp01")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert 0 < total(page) < everything
    page.click("summary:has-text('Columns')")
    page.locator("input[name=columns]").evaluate_all(
        "(boxes) => boxes.forEach((box) => {"
        "box.checked = ['name', 'cell', 'uuid'].includes(box.value)})"
    )
    page.select_option("#per-page", "25")
    follow(page, ".menu-body button:has-text('Show')")
    assert page.locator("#result_list thead th").count() == 4  # and the boxes that select
    assert "q=cmp01" in page.url
    operator.open(NODES)  # they are remembered
    assert page.locator("#result_list thead th").count() == 4
    page.click("summary:has-text('Columns')")
    follow(page, ".menu-body button:has-text('As it was')")
    assert page.locator("#result_list thead th").count() > 4


def test_view_is_saved_under_a_name(operator: Visitor) -> None:
    page = operator.open(f"{NODES}?state=down&o=-memory")
    rows = total(page)
    page.click("summary:has-text('Saved')")
    page.fill("#save-name", "down, fullest first")
    follow(page, ".save button")
    assert page.locator(".toast").inner_text().startswith("Saved")
    operator.open(NODES)
    page.click("summary:has-text('Saved')")
    follow(page, "a:has-text('down, fullest first')")
    assert "state=down" in page.url
    assert total(page) == rows
    page.click("summary:has-text('Saved')")
    follow(page, "button[aria-label^=Delete]")
    assert page.locator("a:has-text('down, fullest first')").count() == 0


def test_csv_has_the_whole_filtered_list(operator: Visitor, tmp_path: Path) -> None:
    page = operator.open(f"{NODES}?cell=cell2&per_page=25")
    rows = total(page)
    with page.expect_download() as download:
        page.click("a:has-text('CSV')")
    path = tmp_path / "list.csv"
    download.value.save_as(path)
    with path.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == rows > 25
    assert {line["cell"] for line in lines} == {"cell2"}


def test_page_of_a_hypervisor(operator: Visitor) -> None:
    page = operator.open(f"{NODES}?cell=cell1&q=cmp01")
    follow(page, page.locator("#result_list tbody th a").first)
    uuid = key_in_url(page)
    buttons = page.locator("button.copy")
    buttons.nth(0).click()
    assert page.evaluate("navigator.clipboard.readText()") == uuid
    page.locator(f"button.copy[data-copy='openstack hypervisor show {uuid}']").click()
    assert page.evaluate("navigator.clipboard.readText()").endswith(uuid)
    page.click("summary:has-text('features')")
    assert page.locator(".tags li", has_text="avx2").is_visible()
    assert page.locator(".act button").count() >= 2
    assert page.locator("#servers tbody tr").count() >= 1
    assert page.locator("#history").count() == 1
    name = page.locator("h1").inner_text()
    operator.open(f"{NODES}{uuid}/")
    follow(page, "a[rel=next]")
    assert page.locator("h1").inner_text() > name
    follow(page, "a[rel=prev]")
    assert page.locator("h1").inner_text() == name


def test_a_row_keeps_its_list(operator: Visitor) -> None:
    page = operator.open(f"{NODES}?cell=cell1&o=-name")
    names = column(page, "name")
    follow(page, page.locator("#result_list tbody th a").first)
    follow(page, "a[rel=next]")
    assert page.locator("h1").inner_text() == names[1]
    follow(page, "a[rel=prev]")
    assert page.locator("h1").inner_text() == names[0]
    follow(page, ".breadcrumbs a:has-text('Hypervisors')")
    assert column(page, "name") == names


def test_disable_and_enable_several(operator: Visitor) -> None:
    page = operator.open(f"{SERVICES}?cell=cell3&binary=nova-compute&status=enabled&state=up")
    boxes = page.locator("input.row-select")
    keys = [boxes.nth(n).get_attribute("value") for n in range(3)]
    for number in range(3):
        boxes.nth(number).check()
    follow(page, ".row-actions button[value=disable]")
    assert page.locator("tbody tr").count() == 3
    page.fill("#reason", "kernel upgrade")
    follow(page, "button[name=confirm]")
    assert page.locator("tbody .badge.good").count() == 3
    for key in keys:
        operator.open(f"{SERVICES}{key}/")
        assert "kernel upgrade" in page.locator(".cards").inner_text()
    follow(page, ".act button[value=enable]")
    assert "kernel upgrade" in page.locator(".facts").inner_text()  # the reason is removed
    follow(page, "button[name=confirm]")
    operator.open(f"{SERVICES}{keys[-1]}/")
    assert "enabled" in page.locator(".cards").inner_text()
    assert "kernel upgrade" in page.locator("#history").inner_text()


def test_a_session_that_ends_loses_no_selection(operator: Visitor) -> None:
    page = operator.open(f"{SERVICES}?binary=nova-compute&per_page=500")
    page.check("#select-all")
    selected = page.locator("input.row-select:checked").count()
    assert selected > 100
    follow(page, ".row-actions button[value=disable]")
    page.fill("#reason", "all fans of the hall")
    page.context.clear_cookies(name="sessionid")
    follow(page, "button[name=confirm]")
    page.fill("#id_username", "admin")
    page.fill("#id_password", DEMO_PASSWORD)
    follow(page, "input[type=submit]")
    assert page.input_value("#reason") == "all fans of the hall"
    assert page.locator("input[name=key]").count() == selected
    follow(page, page.get_by_text("Cancel"))
    assert "per_page=500" in page.url


def test_forcing_down_asks_for_the_host_name(operator: Visitor) -> None:
    page = operator.open(f"{SERVICES}?cell=cell4&binary=nova-compute&status=enabled&state=up")
    hosts = column(page, "host")[:2]
    for number in range(2):
        page.locator("input.row-select").nth(number).check()
    follow(page, ".row-actions button[value=force-down]")
    assert "Fence the host first" in page.locator(".banner").inner_text()
    assert "still reports" in page.locator("tbody").inner_text()
    fields = page.locator("tbody input[type=text]")
    fields.nth(0).fill(hosts[0])
    fields.nth(1).fill("another")
    follow(page, "button[name=confirm]")
    assert page.locator("tbody tr").nth(0).locator(".badge.good").count() == 1
    assert "not typed" in page.locator("tbody tr").nth(1).inner_text()
    operator.open(f"{SERVICES}?q={hosts[0]}")
    assert "forced down" in column(page, "state")[0]
    follow(page, page.locator("#result_list tbody th a").first)
    follow(page, ".act button[value=force-up]")
    follow(page, "button[name=confirm]")
    assert page.locator("tbody .badge.good").count() == 1


def test_delete_shows_blockers(operator: Visitor) -> None:
    page = operator.open(f"{SERVICES}?q=c1-r01-cmp01&binary=nova-compute")
    follow(page, page.locator("#result_list tbody th a").first)
    follow(page, ".act button[value=delete]")
    assert "on it" in page.locator(".blocker").inner_text()
    assert page.locator("button[name=confirm]").count() == 0


def test_problems_explain_cause_and_fix(operator: Visitor, portal: Portal) -> None:
    page = operator.open("/admin/problems/?now=1")
    problems = page.locator(".problem").all()
    shown = {problem.get_attribute("id"): problem.inner_text() for problem in problems}
    assert all("Why it matters" in text and "What to do" in text for text in shown.values())
    report = json.loads(portal.manage("check_fleet", "--json"))
    assert {problem["name"] for problem in report["problems"]} == set(shown)
    follow(page, "#no-uuid a:has-text('Show them in the list')")
    assert total(page) == 27


def test_cells_never_show_a_password(operator: Visitor) -> None:
    page = operator.open("/admin/cells/cellmapping/")
    assert page.locator("tbody tr").count() == 5
    assert "sqlite3" in page.locator("tbody").inner_text()
    follow(page, "a:has-text('Check now')")
    assert page.locator(".badge.good").count() == 5


def test_audit_is_searched_and_exported(operator: Visitor, tmp_path: Path) -> None:
    disabled = operator.disable("cell=cell1&q=cmp02", "a new fan")
    other = operator.disable("cell=cell1&q=cmp03", "a new disk")
    assert disabled != other
    page = operator.open("/admin/audit/entry/")
    assert page.locator("#result_list tbody tr").count() >= 2
    page.fill("#searchbar", disabled)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert [text.split()[0] for text in column(page, "service")] == [disabled]
    with page.expect_download() as download:
        page.click("a:has-text('CSV')")
    path = tmp_path / "audit.csv"
    download.value.save_as(path)
    with path.open() as file:
        (line,) = csv.DictReader(file)
    assert (line["username"], line["host"], line["outcome"]) == ("admin", disabled, "done")
    assert json.loads(line["after"])["disabled_reason"] == "a new fan"


def test_token_is_shown_once(operator: Visitor) -> None:
    page = operator.open("/admin/portal/apitoken/add/")
    page.fill("#id_name", "for a script")
    follow(page, "input[name=_save]")
    token = page.locator(".messagelist code").first.inner_text()
    assert len(token) > 30
    operator.open("/admin/portal/apitoken/")
    assert token not in page.content()


def test_reader_is_offered_no_actions(viewer: Visitor) -> None:
    page = viewer.open(f"{SERVICES}?binary=nova-compute&cell=cell1")
    assert total(page) > 0
    assert page.locator(".row-actions").count() == 0
    assert page.locator("input.row-select").count() == 0
    follow(page, page.locator("#result_list tbody th a").first)
    key = key_in_url(page)
    assert page.locator(".act").count() == 0
    for path in (NODES, "/admin/problems/", "/admin/cells/cellmapping/", "/admin/audit/entry/"):
        viewer.open(path)
    response = page.goto(f"{viewer.url}{SERVICES}act/?action=disable&key={key}")
    assert response is not None
    assert response.status == 403
    viewer.complaints.clear()  # the browser notes the 403


def test_times_are_in_the_viewers_zone(browser: Browser, portal: Portal) -> None:
    context = browser.new_context(timezone_id="Asia/Tokyo")
    visitor = visit(context, portal.url)
    page = visitor.log_in()
    time = page.locator(".verdict time")
    assert time.get_attribute("title", timeout=5000)
    utc, local = time.get_attribute("title") or "", time.inner_text()
    assert utc.endswith("UTC")
    hours = (int(local[11:13]) - int(utc[11:13])) % 24
    assert hours == 9
    context.close()


@pytest.fixture
def without_javascript(browser: Browser, portal: Portal) -> Iterator[Visitor]:
    context = browser.new_context(java_script_enabled=False)
    visitor = visit(context, portal.url)
    visitor.log_in()
    yield visitor
    context.close()
    assert not visitor.complaints


def test_everything_works_without_javascript(without_javascript: Visitor) -> None:
    page = without_javascript.open("/admin/")
    assert "UTC" in page.locator(".verdict time").inner_text()
    without_javascript.open(f"{NODES}?o=-memory&state=up")
    page.click("#filters > summary")
    follow(page, "#filters .filter-columns a")
    follow(page, page.locator(".filter a", has_text="cell2"))
    follow(page, page.locator("#result_list tbody th a").first)
    follow(page, ".act button[value=disable]")
    page.fill("#reason", "without a script")
    follow(page, "button[name=confirm]")
    assert page.locator("tbody .badge.good").count() == 1
    follow(page, "tbody th a")
    follow(page, ".act button[value=enable]")
    follow(page, "button[name=confirm]")
    assert page.locator("tbody .badge.good").count() == 1


@pytest.fixture
def dead_cell() -> Iterator[Portal]:
    """A separate portal, in which the database of cell2 refuses connections."""
    url = f"postgresql://nova:secret@127.0.0.1:{free_port()}/nova_cell2"
    with demo_portal(
        "from cells.models import CellMapping;"
        f"CellMapping.objects.filter(name='cell2').update(database_connection={url!r})"
    ) as portal:
        yield portal


def test_dead_cell_is_a_banner_with_its_cause(
    dead_cell: Portal, browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(accept_downloads=True)
    visitor = visit(context, dead_cell.url)
    page = visitor.log_in()
    for path in ("/admin/", NODES, SERVICES, "/admin/problems/?now=1"):
        visitor.open(path)
        banner = page.locator(".banner").inner_text()
        assert "cell2" in banner
        assert "refused" in banner
        assert "secret" not in page.content()
    visitor.open(NODES)
    assert "(incomplete)" in page.locator(".summary").inner_text()
    assert set(column(page, "cell")) <= {"cell1", "cell3", "cell4"}
    with page.expect_download() as download:
        page.click("a:has-text('CSV')")
    file = tmp_path / "list.csv"
    download.value.save_as(file)
    assert file.read_text().splitlines()[-1].startswith('"# incomplete: cell2 did not answer')
    visitor.open("/admin/cells/cellmapping/")
    row = page.locator("tbody tr", has_text="cell2")
    assert row.locator(".badge.bad").count() == 1
    context.close()


def test_api_in_a_browser(operator: Visitor) -> None:
    page = operator.open("/v2.1/os-hypervisors?microversion=2.53")
    page.select_option("#microversion", "2.1")
    follow(page, ".microversion button")
    assert "X-OpenStack-Nova-API-Version: 2.1" in page.locator("pre").inner_text()
    page.select_option("#microversion", "2.53")
    follow(page, ".microversion button")
    follow(page, page.locator("pre a").first)
    assert '"hypervisor": {' in page.locator("pre").inner_text()
