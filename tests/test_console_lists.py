"""The console's lists and pages of one row, without a browser."""

import csv
import re
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

from audit.models import Entry
from cells.models import CellMapping
from cells.registry import Cell
from hypervisors.problems import unmapped_hosts
from hypervisors.report import latest_report
from services.models import Service
from tests.clouds import Cloud
from tests.counting import Queries

NODES, SERVICES = "/admin/hypervisors/computenode/", "/admin/services/service/"
Counting = Callable[[], AbstractContextManager[Queries]]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """No cached values from the previous test."""
    settings.CELL_MAPPINGS_TTL = 1e-9
    monkeypatch.setattr(unmapped_hosts, "ttl", 0)
    monkeypatch.setattr(latest_report, "ttl", 0)


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def keys(html: str) -> list[str]:
    """The values of the rows' checkboxes."""
    return re.findall(r'name="key" value="([^"]+)"', html)


def page(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, (url, response.status_code)
    return response.content.decode()


def test_rows_with_colliding_ids_have_distinct_keys(cloud: Cloud, console: Client) -> None:
    for number in range(1, 31):
        for cell in ("cell1", "cell2"):
            named = number % 3
            columns = {"id": number} | ({} if named else {"uuid": None})
            cloud.host(cell, f"{cell}-{number}", service=columns)
    html = page(console, f"{SERVICES}?per_page=100")
    found = keys(html)
    assert len(found) == len(set(found)) == 60
    assert sum(":" in key for key in found) == 20
    for key in found:
        shown = page(console, f"{SERVICES}{key}/")
        (service,) = [
            service
            for name in ("cell1", "cell2")
            for service in Service.objects.using(cloud.cell(name).alias)
            if key in (service.uuid, f"{cloud.cell(name).uuid}:{service.id}")
        ]
        assert f"<h1>nova-compute on {service.host}</h1>" in shown


@pytest.mark.parametrize(
    ("url", "of_cell", "of_empty_cell"),
    [
        # The number, keys, and full rows.
        ("?per_page=250", 3, 2),
        # Groups, keys, hosts for the zones, hosts without a mapping, and full rows.
        ("?per_page=250&_facets=True", 5, 4),
        # Groups, hosts for the zones, hosts without a mapping.
        ("filters/?per_page=250&_facets=True", 3, 3),
    ],
)
def test_queries_of_a_list_do_not_grow_with_its_rows(
    cloud: Cloud,
    console: Client,
    count_queries: Counting,
    url: str,
    of_cell: int,
    of_empty_cell: int,
) -> None:
    def count() -> dict[str, int]:
        page(console, f"{NODES}{url}")
        with count_queries() as queries:
            page(console, f"{NODES}{url}")
        return queries.counts()

    cloud.add_aggregate("az1", ["cell1-0"], zone="az1")
    for cell in ("cell1", "cell2"):
        cloud.host(cell, f"{cell}-0")
    few = count()
    for cell in ("cell1", "cell2"):
        for number in range(1, 60):
            cloud.host(cell, f"{cell}-{number}")
    many = count()
    assert many == few
    assert few["cell1"] == few["cell2"] == of_cell
    assert few["cell3"] == of_empty_cell


def test_full_rows_are_fetched_for_the_page_only(
    cloud: Cloud, console: Client, count_queries: Counting
) -> None:
    for number in range(80):
        cloud.host("cell1", f"host{number:02}")
    with count_queries() as queries:
        page(console, f"{NODES}?per_page=25&p=2")
    (whole,) = [sql for sql in queries.on("cell1") if "running_vms" in sql]
    assert whole.count("%s") <= 25 + 4  # the ids, and what the join compares with


def test_csv_reports_missing_cells(cloud: Cloud, console: Client, dead_cell: Cell) -> None:
    cloud.host("cell1", "=danger", node={"hypervisor_hostname": "=cmd()"})
    response = console.get(f"{NODES}export.csv")
    assert response.status_code == 200
    assert "cell2" in response["Warning"]
    text = b"".join(response).decode()
    lines = text.splitlines()
    assert lines[-1].startswith('"# incomplete: cell2') or lines[-1].startswith("# incomplete")
    (row,) = list(csv.DictReader(lines[:-1]))
    assert row["hypervisor_hostname"] == "'=cmd()"
    assert "secret" not in text


def test_row_that_may_be_in_a_dead_cell_is_a_503(
    cloud: Cloud, console: Client, dead_cell: Cell
) -> None:
    service, node = cloud.host("cell1", "alive")
    assert console.get(f"{NODES}{node.uuid}/").status_code == 200
    response = console.get(f"{SERVICES}11111111-1111-1111-1111-111111111111/")
    assert response.status_code == 503
    assert "cell2" in response.content.decode()
    assert console.get(f"{SERVICES}{service.uuid}/").status_code == 200


def test_unknown_row_redirects_to_the_list(cloud: Cloud, console: Client) -> None:
    response = console.get(f"{NODES}11111111-1111-1111-1111-111111111111/", follow=True)
    assert response.redirect_chain[-1][0] == NODES
    assert "No such hypervisor" in response.content.decode()


def test_invalid_parameters_are_tolerated(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a")
    for query in (
        "p=0", "p=-3", "p=999", "p=x", "per_page=x", "per_page=9999", "o=nothing", "o=-",
        "columns=nothing", "cell=nowhere", "zone=nowhere", "state=sideways", "problem=nothing",
        "q=%25_", "unknown=1", "e=1",
    ):  # fmt: skip
        for path in (NODES, SERVICES):
            assert console.get(f"{path}?{query}").status_code in (200, 302), (path, query)


def test_list_of_a_cloud_without_cells_is_sorted_by_cell(cloud: Cloud, console: Client) -> None:
    CellMapping.objects.all().delete()
    for order in ("cell", "-cell", "name"):
        assert "No results" in page(console, f"{NODES}?o={order}")
        assert "No results" in page(console, f"{SERVICES}?o={order}")


def test_overview_counts_services_that_are_forced_down(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a")
    cloud.add_service("cell1", "b", binary="nova-conductor", forced_down=True)
    html = re.sub(r"\s+", " ", page(console, "/admin/overview/"))
    (hypervisors,) = re.findall(r"Hypervisors</a></h2>.*?</section>", html)
    (services,) = re.findall(r"Services</a></h2>.*?</section>", html)
    assert "forced down</span> 1" in services
    assert "forced down" not in hypervisors


def test_reader_sees_everything_and_changes_nothing(cloud: Cloud) -> None:
    service, node = cloud.host("cell1", "a")
    reader = User.objects.create_user("reader", password="password of a reader")
    group, _ = Group.objects.get_or_create(name="reader")
    grant_views(group)
    reader.groups.add(group)
    client = Client()
    client.post("/admin/login/", {"username": "reader", "password": "password of a reader"})
    for path in (
        "/admin/", NODES, f"{NODES}{node.uuid}/", SERVICES, f"{SERVICES}{service.uuid}/",
        "/admin/problems/", "/admin/cells/cellmapping/", "/admin/audit/entry/",
    ):  # fmt: skip
        html = page(client, path)
        assert 'name="action"' not in html, path
        assert 'name="key"' not in html, path
    for action in ("enable", "disable", "force-down", "force-up", "delete"):
        data = {"action": action, "key": service.uuid or "", "confirm": "1"}
        assert client.post(f"{SERVICES}act/", data).status_code == 403
    row = Service.objects.using(cloud.cell("cell1").alias).get(id=service.id)
    assert not row.disabled
    assert not row.forced_down


def grant_views(group: Group) -> None:
    """What a migration gives the group; the tables of the tests are emptied after it."""
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.contenttypes.models import ContentType

    from portal.roles import grant

    ContentType.objects.clear_cache()
    for config in apps.get_app_configs():
        create_permissions(config, verbosity=0, using="default")
        grant(config, "default")
    group.refresh_from_db()


def test_other_users_are_denied(cloud: Cloud) -> None:
    User.objects.create_user("somebody", password="password of somebody")
    client = Client()
    for path in ("/admin/", NODES, f"{NODES}export.csv", "/admin/problems/", "/admin/overview/"):
        assert client.get(path).status_code == 302, path
    sent = {"username": "somebody", "password": "password of somebody"}
    assert client.post("/admin/login/", sent).status_code == 200  # asked again
    client.force_login(User.objects.get(username="somebody"))
    assert client.get(NODES).status_code == 302


def test_bulk_actions_continue_after_a_failure(cloud: Cloud, console: Client) -> None:
    free, _ = cloud.host("cell1", "free")
    busy, _ = cloud.host("cell2", "busy")
    nameless, _ = cloud.host("cell3", "nameless", service={"uuid": None})
    cloud.add_instance("cell2", "busy")
    third = f"{cloud.cell('cell3').uuid}:{nameless.id}"
    keys_of = [free.uuid, busy.uuid, third]
    shown = console.post(f"{SERVICES}act/", {"action": "delete", "key": keys_of}).content.decode()
    assert "1 server is on it" in shown
    assert Service.objects.using(cloud.cell("cell1").alias).filter(id=free.id).exists()
    typed = {f"host:{free.uuid}": "free", f"host:{third}": "nameless"}
    form = {"action": "delete", "key": keys_of, "confirm": "1"}
    html = console.post(f"{SERVICES}act/", form | typed, follow=True).content.decode()
    assert "hosting instances" in html
    left = {
        cell: list(Service.objects.using(cloud.cell(cell).alias).values_list("host", flat=True))
        for cell in ("cell1", "cell2", "cell3")
    }
    assert left == {"cell1": [], "cell2": ["busy"], "cell3": []}


def test_reason_is_at_most_255_characters(cloud: Cloud, console: Client) -> None:
    service, _ = cloud.host("cell1", "a")
    data = {"action": "disable", "key": service.uuid or "", "confirm": "1", "reason": "x" * 256}
    html = console.post(f"{SERVICES}act/", data).content.decode()
    assert "has 256 characters, and Nova keeps 255" in html
    row = Service.objects.using(cloud.cell("cell1").alias).get(id=service.id)
    assert not row.disabled
    console.post(f"{SERVICES}act/", data | {"reason": "ä" * 255})
    row.refresh_from_db()
    assert row.disabled_reason == "ä" * 255


def test_preview_takes_few_queries(cloud: Cloud, console: Client, count_queries: Counting) -> None:
    chosen = []
    for number in range(20):
        for cell in ("cell1", "cell2"):
            service, _ = cloud.host(cell, f"{cell}-{number}")
            chosen.append(service.uuid)
    with count_queries() as queries:
        console.post(f"{SERVICES}act/", {"action": "delete", "key": chosen})
    # The services, what is on their hosts, and the nodes that the commands name.
    assert queries.per_cell() == {"cell0": 1, "cell1": 3, "cell2": 3, "cell3": 1}


def test_results_link_back_only_to_the_console(cloud: Cloud, console: Client) -> None:
    service, _ = cloud.host("cell1", "a")
    for elsewhere in ("https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"):
        data = {"action": "disable", "key": service.uuid or "", "back": elsewhere}
        html = console.post(f"{SERVICES}act/", data).content.decode()
        assert "elsewhere.example" not in html
        assert "javascript:alert" not in html


def test_a_mistyped_host_can_be_typed_again(cloud: Cloud, console: Client) -> None:
    service, _ = cloud.host("cell1", "cmp-1")
    data = {"action": "force-down", "key": service.uuid or "", "confirm": "1"}
    html = console.post(
        f"{SERVICES}act/", data | {f"host:{service.uuid}": "CMP-1"}
    ).content.decode()
    assert "nothing has been done" in html
    assert 'value="CMP-1"' in html
    row = Service.objects.using(cloud.cell("cell1").alias).get(id=service.id)
    assert not row.forced_down
    console.post(f"{SERVICES}act/", data | {f"host:{service.uuid}": "cmp-1"})
    row.refresh_from_db()
    assert row.forced_down


def test_invalid_filters_of_the_audit_are_refused(cloud: Cloud, console: Client) -> None:
    for query in (
        "nothing=1",
        "at__year=x",
        "at__year=99999999999",
        "at__year=2026&at__month=2&at__day=30",
        "message__regex=(a%2B)%2B$",
        "username__iregex=x",
    ):
        for path in ("", "export.csv"):
            assert console.get(f"/admin/audit/entry/{path}?{query}").status_code == 400, query
    for path in ("/admin/auth/user/?username__regex=x", "/admin/portal/apitoken/?digest__lt=8"):
        assert console.get(path).status_code == 400, path


def test_filters_and_dates_of_the_audit_work(cloud: Cloud, console: Client) -> None:
    service, _ = cloud.host("cell1", "a")
    data = {"action": "disable", "key": service.uuid or "", "confirm": "1"}
    console.post(f"{SERVICES}act/", data)
    at = Entry.objects.filter(host="a").get().at
    dates = f"at__year={at.year}&at__month={at.month}&at__day={at.day}"
    for query in (dates, "outcome__exact=done", "action=disable", "channel__exact=console"):
        assert ">a nova-compute<" in page(console, f"/admin/audit/entry/?{query}"), query
    assert ">a nova-compute<" not in page(console, "/admin/audit/entry/?at__year=1999")


@pytest.mark.parametrize("path", ["audit/entry", "auth/user", "portal/apitoken", "auth/group"])
def test_a_search_has_a_limit_everywhere(cloud: Cloud, console: Client, path: str) -> None:
    html = page(console, f"/admin/{path}/?q={'x+' * 2000}")
    assert "Only the first 20 words are searched for" in html


def test_an_audit_entry_is_readable(cloud: Cloud, console: Client) -> None:
    service, _ = cloud.host("cell1", "a")
    data = {"action": "disable", "key": service.uuid or "", "confirm": "1", "reason": "fan"}
    console.post(f"{SERVICES}act/", data)
    html = page(console, f"/admin/audit/entry/{Entry.objects.get().pk}/change/")
    assert "disabled_reason: fan, forced_down: false, status: disabled" in html


def test_results_are_kept_per_tab(cloud: Cloud, console: Client) -> None:
    shown = []
    for host in ("a", "b"):
        service, _ = cloud.host("cell1", host)
        data = {"action": "disable", "key": service.uuid or "", "confirm": "1"}
        shown.append(console.post(f"{SERVICES}act/", data)["Location"])
    assert shown[0] != shown[1]
    for url, host in zip(shown, ("a", "b"), strict=True):
        assert f">{host}</a>" in page(console, url)
    assert console.get(f"{SERVICES}results/?of=nothing").status_code == 302


def test_an_action_without_a_selection_is_reported(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a")
    answer = console.post(f"{SERVICES}act/", {"action": "delete"}, follow=True)
    assert "No service was selected." in answer.content.decode()


def test_confirmation_counts_only_unblocked_services(cloud: Cloud, console: Client) -> None:
    keys_of = [cloud.host("cell1", host)[0].uuid for host in ("free", "busy")]
    cloud.add_instance("cell1", "busy")
    html = console.post(f"{SERVICES}act/", {"action": "delete", "key": keys_of}).content.decode()
    assert "Delete 1 of 2 services</button>" in html


def test_number_of_search_words_is_limited(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "host-1")
    html = page(console, f"{SERVICES}?q={'+'.join(['host'] * 20)}")
    assert "words are searched for" not in html
    html = page(console, f"{SERVICES}?q={'+'.join(['host'] * 500)}")
    assert "Only the first 20 words are searched for." in html
    assert len(keys(html)) == 1


def test_filters_do_not_count_dead_cells(cloud: Cloud, console: Client, dead_cell: Cell) -> None:
    cloud.host("cell1", "a")
    counts = re.findall(
        r'choice">(?:cell\d)</span>\s*<span class="count">([^<]*)',
        page(console, f"{NODES}?_facets=True"),
    )
    assert counts == ["0", "1", "not responding", "0"]


def test_pages_have_the_content_security_policy(cloud: Cloud, console: Client) -> None:
    for path in ("/admin/", NODES, "/v2.1/os-services"):
        response = console.get(path, headers={"accept": "text/html"})
        policy = response["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        html = response.content.decode()
        assert "<style" not in html
        assert " style=" not in html
        assert not re.search(r"<script(?![^>]*\bsrc=)", html)
        assert not re.search(r'\son\w+="', html)
