"""The description of the API as a page, and the forms of the browsable API."""

import json

from playwright.sync_api import expect

from tests.e2e.conftest import Visitor


def test_the_description_is_shown_and_can_be_tried(operator: Visitor) -> None:
    page = operator.open("/docs/?microversion=2.53")
    blocks = page.locator(".opblock")
    expect(blocks.first).to_be_visible(timeout=30_000)
    assert blocks.count() >= 8
    page.locator("#operations-os-services-list_os_services .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text(
        "200", timeout=30_000
    )


def test_a_service_is_changed_by_the_form_below_the_list(operator: Visitor) -> None:
    listed = json.loads(
        operator.open("/v2.1/os-services?microversion=2.53&binary=nova-compute")
        .locator("section.answer pre")
        .inner_text()
        .partition("\n\n")[2]
    )
    service = next(
        each for each in listed["services"] if each["id"] and each["host"].endswith("cmp13")
    )
    page = operator.open("/v2.1/os-services?microversion=2.53")
    page.fill("#put-id", service["id"])
    page.select_option("#put-status", "disabled")
    page.fill("#put-disabled_reason", "by the form")
    page.get_by_role("button", name="PUT").click()
    answer = page.locator("#put-answer")
    expect(answer).to_contain_text("HTTP 200", timeout=10_000)
    expect(answer).to_contain_text('"disabled_reason": "by the form"')
    page.select_option("#put-status", "enabled")
    page.fill("#put-disabled_reason", "")
    page.get_by_role("button", name="PUT").click()
    expect(answer).to_contain_text('"disabled_reason": null', timeout=10_000)
