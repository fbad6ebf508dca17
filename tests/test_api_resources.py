"""Adding a read-only resource takes its own classes and a registration."""

import importlib
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import pytest
from django.test import Client
from django.urls import clear_url_caches
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, IntegerField

import portal.urls
from cells.models import Aggregate
from portal.api.endpoints import endpoint
from portal.api.responses import NovaResponse
from portal.api.routers import router
from portal.api.serializers import VersionedSerializer
from portal.api.views import NovaViewSet
from portal.microversions import Versioned
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine


class RackSerializer(VersionedSerializer):
    id = IntegerField()
    name = CharField()
    uuid = Versioned({"2.53": CharField()})


class RackViewSet(NovaViewSet):
    """Aggregates under another name, and under the same policy rules."""

    queryset = Aggregate.objects.order_by("id")
    serializer_class = RackSerializer
    lookup_fields = Versioned({"2.1": "id"})
    policy_base = "os_compute_api:os-aggregates"
    collection_name, member_name = "racks", "rack"

    @endpoint("index")
    def list(self, request: Request, **kwargs: Any) -> Response:
        """All racks."""
        plan = self.get_plan()
        rows = self.get_queryset().values_list(*plan.columns)
        return NovaResponse({"racks": plan.render(rows, {})})

    @endpoint("show")
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """One rack."""
        plan = self.get_plan()
        [rack] = plan.render([attrgetter(*plan.columns)(self.get_object())], {})
        return NovaResponse({"rack": rack})


@pytest.fixture
def aggregate(cloud: Cloud) -> Iterator[Aggregate]:
    """An aggregate; os-racks is registered."""

    def load_routes() -> None:
        importlib.reload(portal.urls)
        clear_url_caches()

    registered = list(router.registry)
    router.register("os-racks", RackViewSet)
    load_routes()
    yield cloud.add_aggregate("north")
    router.registry[:] = registered
    del router._urls  # type: ignore[attr-defined]
    load_routes()


def test_it_is_served_like_other_resources(aggregate: Aggregate, api: ApiClient) -> None:
    shown = {"id": aggregate.id, "name": "north"}
    assert api.get("/os-racks", "2.52").body == {"racks": [shown]}
    shown["uuid"] = aggregate.uuid
    answer = api.get(f"/os-racks/{aggregate.id}", "2.53")
    assert answer.body == {"rack": shown}
    assert answer.headers["OpenStack-API-Version"] == "compute 2.53"
    for id in ("999", "x"):
        assert api.get(f"/os-racks/{id}", "2.53")["itemNotFound"]["code"] == 404
    assert api.send("POST", "/os-racks").body is None  # Nova's router, not ours
    assert api.anonymous().get("/os-racks").status == 401
    refusal = api.as_user("bob", "member").get("/os-racks")
    assert "os_compute_api:os-aggregates:index" in refusal.text


def test_it_is_in_the_browsable_api(
    aggregate: Aggregate, api: ApiClient, admin_client: Client
) -> None:
    url = "/v2.1/os-racks?microversion=2.53"
    page = admin_client.get(url, headers={"Accept": "text/html"}).content.decode()
    assert f'href="{url}"' in page
    assert f'href="/v2.1/os-racks/{aggregate.id}?microversion=2.53"' in page
