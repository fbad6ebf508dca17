"""State, status and zone of a service: Python and query expressions agree."""

import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypervisors.models import ComputeNode
from services.models import (
    Service,
    Zones,
    availability_zone,
    availability_zone_expression,
    host_zone_expression,
    is_up,
    state,
    state_expression,
    status,
    status_expression,
    up_at,
    up_window,
)
from tests.clouds import Cloud

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
ZONES = Zones({"host-1": "north", "host-2": "south", "host-3": "north"}, "nova", "internal")

FLAG = st.sampled_from([None, False, True])
#: Around and exactly at the ends of the window, in whole seconds, as MySQL stores.
TIME = st.one_of(
    st.none(),
    st.integers(-65, 65).map(lambda seconds: NOW + datetime.timedelta(seconds=seconds)),
    st.sampled_from([NOW - datetime.timedelta(days=9), NOW + datetime.timedelta(days=9)]),
)
ROW = st.fixed_dictionaries(
    {
        "topic": st.sampled_from([None, "compute", "conductor", ""]),
        "forced_down": FLAG,
        "disabled": FLAG,
        "last_seen_up": TIME,
        "created_at": TIME,
    }
)

ON_EVERY_ENGINE = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@ON_EVERY_ENGINE
@given(rows=st.lists(ROW, max_size=20))
def test_query_expressions_agree_with_python(cloud: Cloud, rows: list[dict[str, Any]]) -> None:
    alias = cloud.cell("cell1").alias
    services, nodes = Service.objects.using(alias), ComputeNode.objects.using(alias)
    for written in (services, nodes):
        written.all().delete()
    services.bulk_create(
        Service(host=f"host-{number}", binary="nova-compute", **row)
        for number, row in enumerate(rows)
    )
    node = cloud.add_node("cell1", "host-without-service")
    node.delete()
    nodes.bulk_create(
        ComputeNode(**_columns(node), host=f"host-{number}", hypervisor_hostname=str(number))
        for number in range(len(rows) + 1)
    )
    window = up_window(NOW)

    up = set(services.filter(up_at(NOW)).values_list("pk", flat=True))
    asked = services.annotate(
        asked_state=state_expression(NOW),
        asked_status=status_expression(),
        asked_zone=availability_zone_expression(ZONES),
    )
    for service in asked:
        columns = (service.forced_down, service.last_seen_up, service.created_at, window)
        assert service.is_up(NOW) == is_up(*columns) == (service.pk in up)
        assert service.asked_state == state(*columns)
        assert service.asked_status == status(service.disabled) == service.status
        assert service.asked_zone == availability_zone(service.topic, service.host, ZONES)

    asked_nodes = nodes.select_related("service").annotate(
        asked_state=state_expression(NOW, "service__"),
        asked_status=status_expression("service__"),
        asked_zone=host_zone_expression(ZONES),
    )
    assert len(asked_nodes) == len(rows) + 1
    for found in asked_nodes:
        assert found.asked_zone == availability_zone("compute", found.host, ZONES)
        if found.service is None:
            assert found.asked_state is found.asked_status is None
            continue
        service = found.service
        columns = (service.forced_down, service.last_seen_up, service.created_at, window)
        assert found.asked_state == state(*columns)
        assert found.asked_status == service.status


def _columns(node: ComputeNode) -> dict[str, Any]:
    own = {"id", "uuid", "host", "hypervisor_hostname"}
    names = {field.attname for field in node._meta.concrete_fields if field.column} - own
    return {name: getattr(node, name) for name in names}


def test_state_is_evaluated_at_the_current_time(cloud: Cloud) -> None:
    service = cloud.add_service("cell1", "a")
    assert service.state == "up"
    service.last_seen_up = NOW - datetime.timedelta(days=9)
    assert service.state == "down"
    assert service.is_up(service.last_seen_up)
