"""The console's frame, for any list: columns, filters, saved views, navigation."""

import re
from html import unescape

import django_filters
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.test import Client, RequestFactory

from audit.models import Entry
from hypervisors.admin import HypervisorAdmin
from hypervisors.models import ComputeNode
from portal.console.columns import UndeclaredRead, column
from portal.console.filters import filterset_filters
from portal.console.site import Console
from portal.console.site import console as site
from portal.models import ApiToken, SavedView
from services.admin import ServiceAdmin
from services.filters import ServiceFilterSet
from services.models import Service
from tests.clouds import Cloud
from tests.test_console_lists import NODES, SERVICES, page

pytestmark = pytest.mark.any_engine


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_pages_are_compressed_and_answers_of_the_api_are_not(console: Client) -> None:
    page = console.get(NODES, headers={"accept-encoding": "gzip"})
    assert page["Content-Encoding"] == "gzip"
    for path in ("/", "/v2.1", "/v2.1/os-services"):
        answer = console.get(path, headers={"accept-encoding": "gzip", "accept": "*/*"})
        assert answer.headers["Content-Type"] == "application/json"
        assert "Content-Encoding" not in answer.headers
        assert "Accept-Encoding" not in answer.headers.get("Vary", "")


def test_each_column_declares_what_it_reads(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a", service={"disabled": True, "disabled_reason": "fan"})
    cloud.host("cell1", "b", service={"forced_down": True, "uuid": None})
    service, _node = cloud.host("cell1", "c")
    service.delete()
    for path, model_admin in ((NODES, HypervisorAdmin), (SERVICES, ServiceAdmin)):
        for name in map(str, model_admin.list_display):
            html = page(console, f"{path}?columns={name}&o=-{name}")
            assert f"column-{name}" in html
        assert len(b"".join(console.get(f"{path}export.csv")).splitlines()) == 1 + 3 - (
            path == SERVICES
        )


class Careless(ServiceAdmin):
    """Two columns that read undeclared fields."""

    list_display = (*ServiceAdmin.list_display, "reports", "kinship")  # type: ignore[assignment]

    @column(description="Reports")
    def reports(self, service: Service) -> int:
        return service.report_count

    @column(description="Kinship")
    def kinship(self, service: Service) -> int:
        return service.compute_nodes.count()


@pytest.mark.parametrize("name", ["reports", "kinship"])
def test_a_column_cannot_read_undeclared_fields(
    name: str, cloud: Cloud, rf: RequestFactory
) -> None:
    cloud.host("cell1", "a")
    request = rf.get("/", {"columns": f"host,{name}"})
    request.user = User(is_superuser=True, is_active=True)
    changelist = Careless(Service, site).get_changelist_instance(request)
    with pytest.raises(UndeclaredRead, match=name):
        changelist.table()


def test_incomplete_columns_are_errors_at_startup() -> None:
    class Unlisted(HypervisorAdmin):
        @column(description="Stats", reads=["stats"])
        def stats(self, node: ComputeNode) -> str | None:
            return node.stats

    class Undecorated(HypervisorAdmin):
        list_display = (*HypervisorAdmin.list_display, "mapped")  # type: ignore[assignment]

        def mapped(self, node: ComputeNode) -> int | None:
            return node.mapped

    class Misspelt(HypervisorAdmin):
        list_display = (*HypervisorAdmin.list_display, "workload")  # type: ignore[assignment]

        @column(description="Workload", reads=["service__workload"])
        def workload(self, node: ComputeNode) -> None: ...

    for model_admin, error in (
        (Unlisted, ImproperlyConfigured),
        (Undecorated, ImproperlyConfigured),
        (Misspelt, FieldDoesNotExist),
    ):
        with pytest.raises(error, match=r"stats|mapped|workload"):
            model_admin(ComputeNode, site)


def test_filter_of_the_api_is_a_filter_of_the_console(cloud: Cloud, console: Client) -> None:
    class WithTopic(ServiceFilterSet):
        topic = django_filters.CharFilter(lookup_expr="same_text")

    (binary, topic) = filterset_filters(WithTopic, exclude=["host"])
    assert (binary.title, topic.title, topic.parameter_name) == ("Binary", "Topic", "topic")
    cloud.host("cell1", "a")
    html = page(console, f"{SERVICES}?binary=nova-compute")
    assert "Binary: nova-compute" in re.sub(r"\s+", " ", html)


def test_views_are_saved_for_their_list_and_user(cloud: Cloud, console: Client) -> None:
    query = "state=down&o=-memory&p=3"
    saved = console.post(f"{NODES}views/", {"name": " down ", "query": query})
    assert saved["Location"] == f"{NODES}?state=down&o=-memory"
    other_view = {"name": "down", "query": "state=down"}
    kept = console.post(f"{NODES}views/", other_view, follow=True).content.decode()
    assert "There is a view “down” already; it was kept." in kept
    assert SavedView.objects.get().query == "state=down&o=-memory"
    console.post(f"{NODES}views/", {**other_view, "replace": "1"})
    view = SavedView.objects.get()
    assert (view.name, view.query, str(view.user)) == ("down", "state=down", "operator")
    assert "Delete down" in page(console, NODES)
    assert "Delete down" not in page(console, SERVICES)
    assert (
        "A name is required"
        in console.post(f"{NODES}views/", {"name": " "}, follow=True).content.decode()
    )
    response = console.post(f"{NODES}views/", {"name": "x" * 101}, follow=True)
    assert "at most 100" in response.content.decode()
    assert SavedView.objects.count() == 1
    assert console.get(f"{NODES}views/").status_code == 405
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    assert "Delete down" not in page(other, NODES)
    for client, path in ((other, NODES), (console, SERVICES)):
        client.post(f"{path}views/{view.id}/delete/")
        assert SavedView.objects.exists()
    console.post(f"{NODES}views/{view.id}/delete/")
    assert not SavedView.objects.exists()


def test_views_are_shared_and_changed_by_their_owner(cloud: Cloud, console: Client) -> None:
    console.post(f"{NODES}views/", {"name": "down", "query": "state=down", "share": "1"})
    view = SavedView.objects.get()
    viewer, root = Client(), Client()
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_computenode"))
    viewer.force_login(user)
    root.force_login(User.objects.create_superuser("root"))
    shown = page(viewer, NODES)
    assert 'href="?state=down">down</a>' in shown
    assert "shared by operator" in shown
    assert "Delete down" not in shown
    for what in ("share", "delete"):
        assert viewer.post(f"{NODES}views/{view.id}/{what}/").status_code == 403
    assert SavedView.objects.get().is_shared
    assert "Make down private" in page(root, NODES)
    root.post(f"{NODES}views/{view.id}/share/", {"shared": "0"})
    assert "state=down" not in page(viewer, NODES).partition('class="save"')[0].partition("menu")[2]
    assert not SavedView.objects.get().is_shared


def test_columns_are_remembered_for_each_user(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "a")
    data = {
        "columns": ["ip", "name", "nonsense"],
        "per_page": "25",
        "query": "?state=up&columns=ip",
    }
    assert console.post(f"{NODES}columns/", data)["Location"] == f"{NODES}?state=up"

    def columns(client: Client, query: str = "") -> list[str]:
        head = page(client, f"{NODES}{query}").partition("<thead>")[2].partition("</thead>")[0]
        return re.findall(r'class="column-(\w+)', head)

    assert columns(console) == ["name", "ip"]
    assert columns(console, "?columns=cell") == ["cell"]  # the URL prevails
    assert "columns=name%2Cip" in page(console, NODES)  # a saved view keeps them
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    own = columns(other)
    assert "ip" not in own
    console.post(f"{NODES}columns/", {"reset": "1"})
    assert columns(console) == own


def test_a_row_keeps_the_list_that_it_was_opened_from(cloud: Cloud, console: Client) -> None:
    for name, cell in (("a", "cell1"), ("b", "cell2"), ("d", "cell2")):
        cloud.host(cell, name, service={"disabled": True})
    cloud.host("cell1", "c")
    query = "o=-name&status=disabled"
    links = re.findall(r'<th scope="row"><a href="([^"]*)"', page(console, f"{NODES}?{query}"))
    third, second, first = map(unescape, links)
    shown = page(console, second)
    assert f'href="{NODES}?{query.replace("&", "&amp;")}"' in shown  # the breadcrumb
    steps = [unescape(link) for link in re.findall(r'href="([^"]*)" rel="', shown)]
    assert [console.get(step)["Location"] for step in steps] == [third, first]
    # The row has left the list since: its place tells what comes next.
    Service.objects.using(cloud.cell("cell2").alias).filter(host="b").update(disabled=False)
    assert console.get(steps[1])["Location"] == first.replace("at=3", "at=2")
    last = re.findall(r'href="([^"]*)" rel="next"', page(console, first))
    answer = console.get(unescape(last[0]), follow=True)
    assert answer.redirect_chain[-1][0] == first.replace("at=3", "at=2")
    assert "no further row" in answer.content.decode()


@pytest.mark.parametrize(("language", "first"), [("en", "Overview"), ("de", "Übersicht")])
def test_all_breadcrumbs_begin_with_the_overview(
    cloud: Cloud, console: Client, language: str, first: str
) -> None:
    service, node = cloud.host("cell1", "a")
    console.post(f"{SERVICES}act/", {"action": "disable", "key": service.uuid, "confirm": "1"})
    group = Group.objects.create(name="night shift")
    user, token = User.objects.get(), ApiToken.objects.issue(User.objects.get())[0]
    entry = Entry.objects.latest("id")
    chosen = {"action": "delete_selected", "_selected_action": group.pk}
    lists = (
        "auth/user/", "auth/group/", "portal/apitoken/", "audit/entry/", "cells/cellmapping/",
        "maintenance/maintenance/", "services/service/", "hypervisors/computenode/",
    )  # fmt: skip
    pages = (
        *lists, "auth/", "auth/user/add/", "auth/group/add/", "portal/apitoken/add/",
        f"auth/user/{user.pk}/change/", f"auth/user/{user.pk}/password/",
        f"auth/user/{user.pk}/delete/", f"auth/user/{user.pk}/history/",
        f"auth/group/{group.pk}/change/", f"audit/entry/{entry.pk}/change/",
        f"portal/apitoken/{token.pk}/change/", f"services/service/{service.uuid}/",
        f"services/service/act/?action=disable&key={service.uuid}", "services/service/backfill/",
        f"hypervisors/computenode/{node.uuid}/", "maintenance/calendar/", "problems/",
        f"maintenance/start/?action=empty&key={service.uuid}", "overview/cells/", "search/?q=none",
        "password_change/", "password_change/done/",
    )  # fmt: skip
    headers = {"Accept-Language": language}
    answers = {path: console.get(f"/admin/{path}", headers=headers) for path in pages}
    answers["many"] = console.post("/admin/auth/group/", chosen, headers=headers)
    answers["bye"] = console.post("/admin/logout/", headers=headers)
    for path, answer in answers.items():
        assert answer.status_code == 200, path
        html = answer.content.decode()
        assert html.count('class="languages"') == 1, path
        (crumbs,) = re.findall(r'<div class="breadcrumbs">(.*?)</div>', html, re.DOTALL)
        start, *more = (part.strip() for part in re.sub(r"<[^>]*>", "", crumbs).split("&rsaquo;"))
        assert start == first, path
        assert all(more), path
        assert len({start, *more}) == 1 + len(more), path


def test_navigation_has_the_pages_that_apps_register(
    cloud: Cloud, console: Client, rf: RequestFactory
) -> None:
    entries = re.findall(r'<li>\s*<a href="(/admin/[^"?]*)"', page(console, "/admin/"))
    assert entries[:10] == [
        "/admin/", NODES, SERVICES, "/admin/problems/", "/admin/maintenance/maintenance/",
        "/admin/cells/cellmapping/", "/admin/audit/entry/", "/admin/portal/apitoken/",
        "/admin/auth/user/", "/admin/auth/group/",
    ]  # fmt: skip
    own = Console()
    own.register_page("Second", "admin:problems", permissions=["services.view_service"], order=2)
    own.register_page("First", "admin:index", permissions=[], order=1)
    request = rf.get("/admin/problems/")
    for user, labels in (
        (User.objects.create_user("a"), ["First"]),
        (User.objects.get(username="operator"), ["First", "Second"]),
    ):
        request.user = user
        pages = own.each_context(request)["console_pages"]
        assert [page["label"] for page in pages] == labels
