"""The changes that docs/extending.md describes.

It names the tests of those that are not here.
"""

from typing import Any

import django_filters
import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from rest_framework import authentication
from rest_framework.request import Request
from rest_framework.serializers import IntegerField

from hypervisors import report
from portal.api.serializers import VersionedSerializer
from portal.api.views import NovaViewSet
from portal.console.columns import column
from portal.console.filters import filterset_filters
from portal.console.site import console
from portal.microversions import Version, Versioned
from services import problems
from services.admin import ServiceAdmin
from services.filters import ServiceFilterSet
from services.models import Service
from services.schemas import list_query
from services.serializers import ServiceSerializer
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine


class CountingSerializer(ServiceSerializer):
    report_count = Versioned({"2.105": IntegerField()})


def test_a_field_is_one_step() -> None:
    assert "report_count" not in CountingSerializer.fields_at(Version(2, 104))
    plan = CountingSerializer.plan(Version(2, 105))
    assert "report_count" in plan.columns
    serializer: type[VersionedSerializer] = CountingSerializer
    assert list(serializer.fields_at(Version(2, 105)))[-1] == "report_count"


class ReportsAdmin(ServiceAdmin):
    list_display = (*ServiceAdmin.list_display, "reports")  # type: ignore[assignment]

    @column(description="Reports", ordering="report_count", export=["report_count"], numeric=True)
    def reports(self, service: Service) -> int:
        return service.report_count


def test_a_column_is_one_method(cloud: Cloud, rf: RequestFactory) -> None:
    for number in (3, 20, 100):
        cloud.host("cell1", f"host{number}", service={"report_count": number})
    request = rf.get("/", {"columns": "host,reports", "o": "-reports"})
    request.user = User(username="ann", is_superuser=True, is_active=True)
    listed = ReportsAdmin(Service, console).get_changelist_instance(request)
    assert [row.report_count for row in listed.result_list] == [100, 20, 3]


class TopicFilterSet(ServiceFilterSet):
    topic = django_filters.CharFilter(lookup_expr="same_text", strip=False)


def test_a_filter_is_one_declaration() -> None:
    query: Any = list_query(TopicFilterSet).at(Version(2, 75))
    assert set(query["properties"]) == {"host", "binary", "topic"}
    assert query["additionalProperties"] is False
    *_, of_topic = filterset_filters(TopicFilterSet)
    assert (of_topic.parameter_name, str(of_topic.title)) == ("topic", "Topic")


def test_a_problem_is_one_declaration(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    never_counted = problems.RowProblem(
        name="never-counted",
        severity="warning",
        title="Services that never reported",
        label="never reported",
        why="They may not have been started.",
        fix="Start them.",
        condition=lambda now, prefix="": problems._where(prefix, report_count=0),
    )
    cloud.host("cell1", "a", service={"report_count": 0})
    cloud.host("cell2", "b", service={"report_count": 5})
    for module, name in ((report, "SERVICE_PROBLEMS"), (report, "PROBLEMS")):
        monkeypatch.setattr(module, name, (*getattr(module, name), never_counted))
    results = {result.problem.name: result for result in report.check_fleet().results}
    found = results["never-counted"]
    assert (found.count, found.findings[0].subject) == (1, "nova-compute on a")


class BadgeAuthentication(authentication.BaseAuthentication):
    """A smart card's number in a header."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        if request.headers.get("X-Badge") != "4711":
            return None
        return User.objects.get(username="badge"), None


def test_a_way_of_authenticating_is_one_class_and_one_setting(
    cloud: Cloud, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_superuser("badge")
    visitor = api.anonymous()
    assert visitor.get("/os-services", X_Badge="4711").status == 401
    classes = [BadgeAuthentication, *NovaViewSet.authentication_classes]
    monkeypatch.setattr(NovaViewSet, "authentication_classes", classes)  # what the setting fills
    assert visitor.get("/os-services", X_Badge="4711").status == 200
    assert visitor.get("/os-services", X_Badge="4712").status == 401
    assert Client().get("/v2.1/os-services").status_code == 401
