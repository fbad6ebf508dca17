"""Acting on services in the console: nothing of a colleague's is lost, and what follows is said."""

import datetime
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from cells.models import AggregateHost
from cells.registry import Cell
from services.facts import facts_by_key
from services.models import Service
from tests.clouds import Cloud

SERVICES = "/admin/services/service/"
ACT = f"{SERVICES}act/"
RMA = {"disabled": True, "disabled_reason": "dead disk, RMA 20391"}


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def post(client: Client, action: str, *services: Service, **form: Any) -> str:
    """The page after an action has been asked for or (``confirm="1"``) confirmed."""
    keys = [service.uuid for service in services]
    response = client.post(ACT, {"action": action, "key": keys, **form}, follow=True)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def now_in(cloud: Cloud, cell: str, service: Service) -> Service:
    row: Service = Service.with_deleted.using(cloud.cell(cell).alias).get(id=service.id)
    return row


def test_a_reason_is_kept_unless_it_is_to_be_replaced_by_another(
    cloud: Cloud, console: Client
) -> None:
    broken, _ = cloud.host("cell1", "broken", service=RMA)
    fresh, _ = cloud.host("cell2", "fresh")
    preview = post(console, "disable", broken, fresh, reason="kernel")
    assert "already disabled, kept</span> 1" in preview
    assert "Disable 1 of 2 services</button>" in preview
    done = post(console, "disable", broken, fresh, reason="kernel", confirm="1")
    assert "left as they were</span> 1" in done
    assert now_in(cloud, "cell1", broken).disabled_reason == RMA["disabled_reason"]
    assert now_in(cloud, "cell2", fresh).disabled_reason == "kernel"
    assert list(Entry.objects.values_list("host", flat=True)) == ["fresh"]
    # An empty reason erases none, ticked or not; another one replaces it if that is asked for.
    post(console, "disable", broken, replace="1", confirm="1")
    assert now_in(cloud, "cell1", broken).disabled_reason == RMA["disabled_reason"]
    post(console, "disable", broken, reason="scrapped", replace="1", confirm="1")
    assert now_in(cloud, "cell1", broken).disabled_reason == "scrapped"
    assert 'name="confirm"' in post(console, "disable", broken)
    before = Entry.objects.get(host="broken").before or {}
    assert before["disabled_reason"] == RMA["disabled_reason"]


def test_a_reason_given_since_the_preview_is_kept(
    cloud: Cloud, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = cloud.host("cell1", "a")

    def and_then_a_colleague(*args: Any, **options: Any) -> Any:
        found = facts_by_key(*args, **options)
        Service.objects.using(cloud.cell("cell1").alias).update(**RMA)
        return found

    monkeypatch.setattr("services.action_views.facts_by_key", and_then_a_colleague)
    html = post(console, "disable", service, reason="kernel", confirm="1")
    assert "its reason was kept" in html
    assert now_in(cloud, "cell1", service).disabled_reason == RMA["disabled_reason"]


def test_who_disabled_it_and_when_stands_beside_the_reason(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "a")
    post(console, "disable", service, reason="fan", confirm="1")
    post(console, "disable", service, reason="fan and disk", replace="1", confirm="1")
    beside = r"fan and disk</span> <span [^>]*><time [^>]*>disabled \d+ s ago</time>, ann"
    urls = (
        SERVICES,
        f"{SERVICES}{service.uuid}/",
        "/admin/hypervisors/computenode/",
        f"/admin/hypervisors/computenode/{node.uuid}/",
    )
    for url in urls:
        assert re.search(beside, console.get(url).content.decode()), url
    assert re.search(beside, post(console, "enable", service))
    rows = b"".join(console.get(f"{SERVICES}export.csv")).decode()
    assert "disabled_at,disabled_by" in rows
    assert ",ann," in rows
    # What was changed elsewhere since is not the audit's to tell.
    Service.objects.using(cloud.cell("cell1").alias).update(disabled_reason="by the client")
    for url in urls:
        assert not re.search(r"disabled \d+ s ago", console.get(url).content.decode()), url


def test_forced_down_but_reporting_is_red(cloud: Cloud, console: Client) -> None:
    long_ago = timezone.now() - datetime.timedelta(days=3)
    cloud.host("cell1", "alive", service={"forced_down": True})
    cloud.host("cell1", "dead", service={"forced_down": True, "last_seen_up": long_ago})
    html = re.sub(r"\s+", " ", console.get(SERVICES).content.decode())
    alive, dead = re.findall(r'<td class="column-state".*?</td>', html)
    assert 'class="badge bad"' in alive
    assert "forced down, but reporting" in alive
    assert re.search("last heartbeat [0-9]+ s ago", alive)
    assert 'class="badge off"' in dead
    assert "last heartbeat 3 days ago" in dead


def test_deleting_asks_for_the_host_and_says_what_is_left(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "cmp-1")
    cloud.add_aggregate("ssd", ["cmp-1", "cmp-2"])
    cloud.add_aggregate("rack r01", ["cmp-1"])
    preview = post(console, "delete", service)
    assert "Servers on it:" not in preview
    assert "taken out of the aggregates rack r01, ssd" in preview
    assert f"compute service delete {service.uuid}" in preview
    assert "nothing has been done" in post(console, "delete", service, confirm="1")
    assert now_in(cloud, "cell1", service).deleted == 0
    typed = {f"host:{service.uuid}": "cmp-1"}
    result = post(console, "delete", service, confirm="1", **typed)
    assert now_in(cloud, "cell1", service).deleted
    assert f"openstack resource provider show --allocations {node.uuid}" in result
    assert f"openstack resource provider delete {node.uuid}" in result
    assert "openstack aggregate add host &#x27;rack r01&#x27; cmp-1" in result
    assert (Entry.objects.get().before or {})["aggregates"] == ["rack r01", "ssd"]
    assert list(AggregateHost.objects.values_list("host", flat=True)) == ["cmp-2"]


def test_enter_does_not_execute_and_rows_are_on_demand(cloud: Cloud, console: Client) -> None:
    services = [cloud.host("cell1", f"host-{number}")[0] for number in range(12)]
    html = post(console, "disable", *services, reason="patch night")
    form = html.partition('class="confirm">')[2]
    first, second = re.findall(r"<button type=\"submit\"([^>]*)>", form)[:2]
    assert "confirm" not in first  # the button that Enter presses
    assert 'name="confirm"' in second
    assert form.index('name="confirm"') < form.index("<table")
    assert '<details class="on-demand"> <summary> 12 services in detail' in html
    assert 'value="patch night"' in html
    assert "--disable --disable-reason &#x27;patch night&#x27; host-3 nova-compute" in html
    assert not Entry.objects.exists()


def test_as_many_hosts_as_a_page_takes_can_be_forced_down(cloud: Cloud, console: Client) -> None:
    services = [cloud.host("cell1", f"host-{number}")[0] for number in range(3)]
    keys = [service.uuid for service in services] + [f"unknown-{n}" for n in range(497)]
    typed = {f"host:{key}": "host-1" for key in keys}
    response = console.post(ACT, {"action": "force-down", "key": keys, "confirm": "1", **typed})
    assert response.status_code == 302
    assert [now_in(cloud, "cell1", one).forced_down for one in services] == [False, True, False]
    assert Entry.objects.get().bulk_size == 0  # the audit names the only host that was named


def test_a_reason_that_is_too_long_is_shown_again_whole(cloud: Cloud, console: Client) -> None:
    service, _ = cloud.host("cell1", "a")
    reason = "because " * 40 + "of the fan"
    html = post(console, "disable", service, reason=reason, confirm="1")
    assert f"The reason has {len(reason)} characters" in html
    assert f'value="{reason}"' in html
    field = re.search(r'<input type="text" name="reason"[^>]*>', html)
    assert field is not None
    assert "maxlength" not in field[0]  # by which a browser cuts off what is pasted
    assert not now_in(cloud, "cell1", service).disabled


def test_nothing_typed_is_lost_when_a_cell_goes_away(
    cloud: Cloud, console: Client, dead_cell: Cell
) -> None:
    here, _ = cloud.host("cell1", "here")
    gone = Service(uuid="11111111-1111-1111-1111-111111111111")
    preview = post(console, "disable", here, gone, reason="fan")
    assert f'<input type="hidden" name="key" value="{gone.uuid}">' in preview
    nothing = post(console, "disable", gone, reason="fan")
    assert "Nothing was found in the responding cells." in nothing
    assert "None of the services exists any more" not in nothing
    assert "Update the preview" in nothing
    result = post(console, "disable", here, gone, reason="fan", replace="1", confirm="1")
    assert "not found in the cells that answer" in result
    again = result.partition(f'<form method="post" action="{ACT}"')[2].partition("</form>")[0]
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', again))
    assert (fields["action"], fields["key"], fields["reason"]) == ("disable", gone.uuid, "fan")
    assert fields["replace"] == "1"
    assert again.count('name="key"') == 1
    assert "Try again…" in again
    assert 'name="confirm"' not in again
    assert "Try again…" not in post(console, "enable", here, confirm="1")


def test_a_key_that_no_service_can_have_is_not_found(cloud: Cloud, console: Client) -> None:
    here, _ = cloud.host("cell1", "here")
    result = post(console, "disable", here, Service(uuid="</th>"), confirm="1")
    assert "not found in the cells that answer" in result
    assert "&lt;/th&gt;" in result
    assert now_in(cloud, "cell1", here).disabled
