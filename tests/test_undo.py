"""Taking back an action: each service gets its own former state, by the same preview and rules."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from audit.models import Entry
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud

ACT = "/admin/services/service/act/"
AUDIT = "/admin/audit/entry/"


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def page(response: Any) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def post(client: Client, **form: Any) -> str:
    return page(client.post(ACT, form, follow=True))


def undo_link(html: str) -> str:
    """The first link of a page that offers to take something back."""
    found = re.search(r'href="([^"]*action=undo[^"]*)"', html)
    assert found, html
    return found[1].replace("&amp;", "&")


def confirmed(client: Client, url: str, **form: Any) -> str:
    """The results after the form of this preview has been sent as it is, with ``form`` added."""
    preview = page(client.get(url))
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', preview)
    data: dict[str, Any] = {"confirm": "1", **form}
    for name, value in fields:
        data.setdefault(name, []).append(value)
    return page(client.post(ACT, data, follow=True))


def state(cloud: Cloud, cell: str, service: Service) -> tuple[Any, ...]:
    row = Service.objects.using(cloud.cell(cell).alias).get(id=service.id)
    return bool(row.disabled), row.disabled_reason, bool(row.forced_down)


def test_each_service_gets_its_own_reason_again(cloud: Cloud, console: Client) -> None:
    broken, _ = cloud.host(
        "cell1", "broken", service={"disabled": True, "disabled_reason": "RMA 20391"}
    )
    quiet, _ = cloud.host("cell2", "quiet", service={"disabled": True})
    fresh, _ = cloud.host("cell2", "fresh", service={"uuid": None})
    keys = [broken.uuid, quiet.uuid, f"{cloud.cell('cell2').uuid}:{fresh.id}"]
    done = post(console, action="disable", key=keys, reason="patch night", replace="1", confirm="1")
    assert state(cloud, "cell1", broken) == (True, "patch night", False)
    url = undo_link(done)
    preview = page(console.get(url))
    assert "This takes back “disable” by ann" in preview
    assert "with its former reason “RMA 20391”" in preview
    assert "Restore 3 services</button>" in preview
    restored = confirmed(console, url)
    assert "done</span> 3" in restored
    assert state(cloud, "cell1", broken) == (True, "RMA 20391", False)
    assert state(cloud, "cell2", quiet) == (True, None, False)
    assert state(cloud, "cell2", fresh) == (False, None, False)
    undone = Entry.objects.filter(action="undo")
    assert {one.undoes for one in undone} == set(
        Entry.objects.filter(action="disable").values_list("id", flat=True)
    )
    # What was undone can be done again, and nothing is left to undo twice.
    assert "That was undone by ann already." in page(console.get(url, follow=True))
    confirmed(console, undo_link(restored))
    assert state(cloud, "cell1", broken) == (True, "patch night", False)


def test_what_was_changed_since_is_left_alone(
    cloud: Cloud, console: Client, api: ApiClient
) -> None:
    mine, _ = cloud.host("cell1", "mine")
    theirs, _ = cloud.host("cell1", "theirs")
    keys = [mine.uuid, theirs.uuid]
    url = undo_link(post(console, action="disable", key=keys, reason="fan", confirm="1"))
    api.put(f"/os-services/{theirs.uuid}", {"status": "disabled", "disabled_reason": "psu"}, "2.53")
    assert "changed again since then, kept</span> 1" in page(console.get(url))
    confirmed(console, url)
    assert state(cloud, "cell1", mine) == (False, None, False)
    assert state(cloud, "cell1", theirs) == (True, "psu", False)
    confirmed(console, url, replace="1")
    assert state(cloud, "cell1", theirs) == (False, None, False)


def test_the_rules_of_the_actions_hold(cloud: Cloud, console: Client) -> None:
    """An evacuated host is not forced up, and one is forced down by its typed name only."""
    service, _ = cloud.host("cell1", "cmp-1")
    typed = {f"host:{service.uuid}": "cmp-1"}
    down = undo_link(post(console, action="force-down", key=service.uuid, confirm="1", **typed))
    migration = cloud.add_migration("cell1", "cmp-1", status="done", migration_type="evacuation")
    assert "blocked</span> 1" in page(console.get(down))
    confirmed(console, down)
    assert state(cloud, "cell1", service) == (False, None, True)
    migration.status = "completed"
    migration.save()
    up = undo_link(confirmed(console, down))
    assert state(cloud, "cell1", service) == (False, None, False)
    assert "Fence the host first." in page(console.get(up))
    assert "No host name was typed" in confirmed(console, up)
    confirmed(console, up, **typed)
    assert state(cloud, "cell1", service) == (False, None, True)


def test_a_bulk_action_is_one_entry_that_opens(
    cloud: Cloud, console: Client, api: ApiClient
) -> None:
    services = [cloud.host("cell1", f"host-{number}")[0] for number in range(3)]
    cloud.add_instance("cell1", "host-1")
    api.put(f"/os-services/{services[0].uuid}", {"status": "disabled"}, "2.53")
    keys = [one.uuid for one in services]
    post(console, action="delete", key=keys, confirm="1", **{f"host:{k}": "" for k in keys})
    post(console, action="disable", key=keys[1:], reason="fan", confirm="1")
    shown = page(console.get(AUDIT))
    assert shown.count("2 services") == 1
    assert re.search(r"done</span> 2", shown)
    assert shown.count('class="field-when"') == 2  # and the one of the API
    # Whoever looks for a host finds its entry, and the CSV file has all.
    assert "host-2 nova-compute" in page(console.get(f"{AUDIT}?q=host-2"))
    assert b"".join(console.get(f"{AUDIT}export.csv")).decode().count("host-") == 3
    head = Entry.objects.get(bulk_position=1)
    opened = page(console.get(f"{AUDIT}{head.pk}/change/"))
    assert "Undo for 2 services…" in opened
    assert "host-2</a>" in opened
    # Three clicks from the audit: the entry, undo, restore.
    confirmed(console, undo_link(opened))
    assert state(cloud, "cell1", services[2]) == (False, None, False)
    assert state(cloud, "cell1", services[0]) == (True, None, False)
    assert "undone" in page(console.get(f"{AUDIT}{head.pk}/change/"))


def test_the_page_of_a_host_offers_it(cloud: Cloud, console: Client, api: ApiClient) -> None:
    service, node = cloud.host("cell1", "cmp-1")
    api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
    for url in (
        f"/admin/services/service/{service.uuid}/",
        f"/admin/hypervisors/computenode/{node.uuid}/",
    ):
        link = undo_link(page(console.get(url)))
    confirmed(console, link)
    assert state(cloud, "cell1", service) == (False, None, False)


@pytest.mark.any_engine
def test_who_may_undo_what(cloud: Cloud, console: Client) -> None:
    service, _ = cloud.host("cell1", "cmp-1")
    url = undo_link(post(console, action="disable", key=service.uuid, confirm="1"))
    bob = User.objects.create_user("bob", is_staff=True)
    client = Client()
    client.force_login(bob)
    assert client.get(url).status_code == 403
    admin = Group.objects.get_or_create(name="admin")[0]
    admin.permissions.clear()
    bob.groups.add(admin)
    assert client.get(url).status_code == 400  # it is not his, and he may not see the audit
    bob.user_permissions.add(Permission.objects.get(codename="view_entry"))
    assert client.get(url).status_code == 200
    for query in ("", "&entry=x", "&entry=999", "&request=req-none"):
        assert console.get(f"{ACT}?action=undo{query}").status_code == 400


def test_what_is_undone_says_so_and_is_not_offered_again(
    cloud: Cloud, console: Client, api: ApiClient
) -> None:
    service, _ = cloud.host("cell1", "cmp-1")
    form = {"action": "disable", "key": service.uuid, "reason": "fan", "confirm": "1"}
    results = console.post(ACT, form)["Location"]
    entry = Entry.objects.get(action="disable")
    opened = f"{AUDIT}{entry.pk}/change/"
    url = undo_link(page(console.get(opened)))
    confirmed(console, url)
    undo = Entry.objects.get(action="undo")
    link = rf'<a href="{AUDIT}{undo.pk}/change/">(?:(?!</a>).)*undone</span> by ann at <time'
    for shown in (opened, results, f"/admin/services/service/{service.uuid}/"):
        html = page(console.get(shown))
        assert re.search(link, html), shown
        assert f"entry={entry.pk}" not in html, shown
    html = page(console.get(f"{AUDIT}{undo.pk}/change/"))
    back = rf"<a href=\"{opened}\"> undoes ann's “disable” of <time"
    assert re.search(back, html)
    # An address that was kept is answered, too, and so is who was slower.
    assert "That was undone by ann already." in page(console.get(url, follow=True))
    # What is in force again can be taken back again.
    confirmed(console, undo_link(html))
    assert state(cloud, "cell1", service) == (True, "fan", False)
    html = page(console.get(opened))
    assert undo_link(html) == url
    assert "undone</span>" not in html
    assert "undone</span> by ann" in page(console.get(f"{AUDIT}{undo.pk}/change/"))


def test_of_a_bulk_action_the_rest_is_offered(cloud: Cloud, console: Client) -> None:
    services = [cloud.host("cell1", f"host-{number}")[0] for number in range(3)]
    keys = [one.uuid for one in services]
    post(console, action="disable", key=keys, reason="fan", confirm="1")
    first, second, third = Entry.objects.order_by("bulk_position")
    confirmed(console, f"{ACT}?action=undo&entry={second.pk}")
    # Meanwhile somebody disables it again, which is nobody's to take back here.
    post(console, action="disable", key=keys[1], reason="psu", confirm="1")
    html = page(console.get(f"{AUDIT}{first.pk}/change/"))
    assert "Undo for 2 services…" in html
    assert html.count("undone</span> by ann") == 1
    confirmed(console, undo_link(html), replace="1")
    assert [state(cloud, "cell1", one)[0] for one in services] == [False, True, False]
    html = page(console.get(f"{AUDIT}{third.pk}/change/"))
    assert f"request={third.request_id}" not in html
    assert html.count("undone</span> by ann") == 4


def test_results_tell_how_much_of_a_bulk_action_is_undone(cloud: Cloud, console: Client) -> None:
    keys = [cloud.host("cell1", f"host-{number}")[0].uuid for number in range(3)]
    form = {"action": "disable", "key": keys, "reason": "fan", "confirm": "1"}
    results = console.post(ACT, form)["Location"]
    html = page(console.get(results))
    assert "undone" not in html
    confirmed(console, f"{ACT}?action=undo&entry={Entry.objects.get(bulk_position=2).pk}")
    html = page(console.get(results))
    assert "1 of 3 undone" in html
    assert "undone</span> by" not in html
    confirmed(console, undo_link(html))
    html = page(console.get(results))
    assert "of 3 undone" not in html
    assert "undone</span> by ann" in html
    assert "action=undo" not in html


def test_who_may_not_see_the_audit_is_told_without_a_link(cloud: Cloud) -> None:
    admin = Group.objects.get_or_create(name="admin")[0]
    admin.permissions.clear()
    user, client = User.objects.create_user("bob"), Client()
    user.groups.add(admin)
    client.force_login(user)
    service, _ = cloud.host("cell1", "cmp-1")
    results = client.post(ACT, {"action": "disable", "key": service.uuid, "confirm": "1"})
    confirmed(client, undo_link(page(client.get(results["Location"]))))
    html = page(client.get(results["Location"]))
    assert "undone</span> by bob at <time" in html
    assert AUDIT not in html
