"""Compiled serializers against a plain walk over the fields."""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from hypervisors.serializers import HypervisorDetailSerializer, HypervisorSerializer
from portal.api.serializers import Computed, VersionedSerializer
from portal.microversions import HISTORY, MAX_VERSION, Version, Versioned
from services.models import Zones, up_window
from services.serializers import ServiceSerializer

NOW = datetime.datetime(2026, 6, 1, 12, 0, 0)  # noqa: DTZ001 - as stored
CONTEXT = {"up_window": up_window(NOW), "zones": Zones({"compute-1": "north"})}

TEXT = st.one_of(st.none(), st.text(max_size=20))
TIME = st.one_of(
    st.none(),
    st.datetimes(NOW - datetime.timedelta(minutes=3), NOW + datetime.timedelta(minutes=3)),
)
FLAG = st.sampled_from([None, False, True])
NUMBER = st.one_of(st.none(), st.integers(-1, 2**31 - 1))
JSON = st.sampled_from([None, "", "{}", '{"a": [1]}', '{"uptime": " 1:02 up"}', "[1]", "not json"])
UUID = st.one_of(st.none(), st.uuids().map(str))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "uuid": UUID,
    "host": st.sampled_from([None, "compute-1", "compute-2"]),
    "topic": st.sampled_from([None, "compute", "conductor"]),
    "forced_down": FLAG,
    "disabled": FLAG,
    "last_seen_up": TIME,
    "created_at": TIME,
    "updated_at": TIME,
    "cpu_info": JSON,
    "stats": JSON,
    "binary": TEXT,
    "disabled_reason": TEXT,
    "hypervisor_hostname": TEXT,
    "hypervisor_type": TEXT,
    "host_ip": TEXT,
}


def walked(fields: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row rendered field by field, each by DRF's own field."""
    shown: dict[str, Any] = {}
    for name, field in fields.items():
        if isinstance(field, dict):
            shown[name] = walked(field, row)
        elif isinstance(field, Computed):
            inputs = [
                CONTEXT[name[1:]] if name.startswith("@") else row[name] for name in field.inputs
            ]
            shown[name] = field.compute(*inputs)
        else:
            value = row[field.source or name]
            shown[name] = None if value is None else field.to_representation(value)
    return shown


@pytest.mark.parametrize("version", [*dict(HISTORY), MAX_VERSION], ids=str)
@pytest.mark.parametrize(
    "serializer", [ServiceSerializer, HypervisorSerializer, HypervisorDetailSerializer]
)
@given(data=st.data())
def test_a_plan_renders_as_a_walk_over_the_fields(
    serializer: type[VersionedSerializer], version: Version, data: st.DataObject
) -> None:
    plan = serializer.plan(version, first=("id", "uuid"))
    rows = [
        {
            column: data.draw(VALUES.get(column.removeprefix("service__"), NUMBER), column)
            for column in plan.columns
        }
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    tuples = [tuple(row[column] for column in plan.columns) for row in rows]
    assert plan.render(tuples, CONTEXT) == [
        walked(serializer.declared_at(version), row) for row in rows
    ]


def test_columns_are_fetched_once_and_first_ones_first() -> None:
    plan = ServiceSerializer.plan(Version(2, 53), first=("id", "uuid"))
    assert plan.columns[:2] == ["id", "uuid"]
    assert len(plan.columns) == len(set(plan.columns))


def test_a_plan_is_compiled_once() -> None:
    assert ServiceSerializer.plan(Version(2, 53)) is ServiceSerializer.plan(Version(2, 53))


# --- the fields of each version, as in the API reference ------------------------------------------

SERVICE = "id binary host zone status state updated_at disabled_reason".split()  # noqa: SIM905
SHORT = "id hypervisor_hostname state status".split()  # noqa: SIM905
KEPT = {*SHORT, "hypervisor_type", "hypervisor_version", "host_ip", "service"}
CAPACITY = {
    *("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used"),
    *("free_ram_mb", "free_disk_gb", "current_workload", "running_vms", "disk_available_least"),
}


@pytest.mark.parametrize(
    ("serializer", "version", "names"),
    [
        (ServiceSerializer, "2.1", {*SERVICE}),
        (ServiceSerializer, "2.10", {*SERVICE}),
        (ServiceSerializer, "2.11", {*SERVICE, "forced_down"}),
        (ServiceSerializer, "2.104", {*SERVICE, "forced_down"}),
        (HypervisorSerializer, "2.1", {*SHORT}),
        (HypervisorSerializer, "2.104", {*SHORT}),
        (HypervisorDetailSerializer, "2.1", KEPT | CAPACITY | {"cpu_info"}),
        (HypervisorDetailSerializer, "2.87", KEPT | CAPACITY | {"cpu_info"}),
        (HypervisorDetailSerializer, "2.88", KEPT | {"uptime"}),
        (HypervisorDetailSerializer, "2.104", KEPT | {"uptime"}),
    ],
)
def test_the_fields_of_a_version(
    serializer: type[VersionedSerializer], version: str, names: set[str]
) -> None:
    assert set(serializer.fields_at(Version.parse(version))) == names


@pytest.mark.parametrize(("version", "shown"), [("2.52", 7), ("2.53", "u-7")])
def test_ids_become_uuids(version: str, shown: int | str) -> None:
    plan = ServiceSerializer.plan(Version.parse(version))
    row = dict.fromkeys(plan.columns) | {"id": 7, "uuid": "u-7"}
    assert plan.render([tuple(row[column] for column in plan.columns)], CONTEXT)[0]["id"] == shown


def test_a_field_keeps_its_place_when_it_changes() -> None:
    class Changing(VersionedSerializer):
        first = serializers.CharField()
        second = Versioned(
            {"2.1": serializers.IntegerField(), "2.53": serializers.UUIDField(source="uuid")}
        )
        third = serializers.CharField()

    for version in ("2.1", "2.53"):
        assert list(Changing.fields_at(Version.parse(version))) == ["first", "second", "third"]
    row = ("a", str(uuid.uuid4()), "c")
    plan = Changing.plan(Version.parse("2.53"))
    assert plan.columns == ["first", "uuid", "third"]
    assert plan.render([row], {}) == [{"first": "a", "second": row[1], "third": "c"}]
