"""Responses have the declared fields of each version, with their types and nulls."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from rest_framework import serializers

from aggregates.serializers import AggregateSerializer
from cells.models import Aggregate
from hypervisors.demo.fleet import Fleet
from hypervisors.serializers import (
    HypervisorDetailSerializer,
    HypervisorSerializer,
    HypervisorUptimeSerializer,
)
from portal.api.serializers import VersionedSerializer
from portal.microversions import HISTORY, MAX_VERSION, Version
from services.serializers import ServiceSerializer
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

VERSIONS = pytest.mark.parametrize("version", [*dict(HISTORY), MAX_VERSION], ids=str)
TYPES: dict[type[Any], dict[str, Any]] = {
    serializers.BooleanField: {"type": "boolean"},
    serializers.CharField: {"type": "string"},
    serializers.DictField: {"type": "object", "additionalProperties": {"type": "string"}},
    serializers.IntegerField: {"type": "integer"},
    serializers.JSONField: {},
    serializers.ListField: {"type": "array", "items": {"type": "string"}},
    serializers.UUIDField: {"type": "string", "format": "uuid"},
}


def schema(fields: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": {name: schema_of_field(field) for name, field in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def schema_of_field(field: Any) -> dict[str, Any]:
    if isinstance(field, dict):
        return schema(field)
    kind = TYPES[type(field)]
    return {"anyOf": [kind, {"type": "null"}]} if field.allow_null else kind


def check(serializer: type[VersionedSerializer], version: Version, objects: list[Any]) -> None:
    """Fail unless there are objects and each of them matches the declaration."""
    assert objects
    validator = Draft202012Validator(
        schema(serializer.fields_at(version)), format_checker=FormatChecker()
    )
    for shown in objects:
        validator.validate(shown)


@VERSIONS
def test_services(fleet: Fleet, api: ApiClient, version: Version) -> None:
    check(ServiceSerializer, version, api.get("/os-services", str(version))["services"])


@VERSIONS
def test_aggregates(fleet: Fleet, api: ApiClient, version: Version) -> None:
    check(AggregateSerializer, version, api.get("/os-aggregates", str(version))["aggregates"])


@VERSIONS
def test_hypervisors(fleet: Fleet, api: ApiClient, version: Version) -> None:
    for path, serializer in (
        ("/os-hypervisors", HypervisorSerializer),
        ("/os-hypervisors/detail", HypervisorDetailSerializer),
    ):
        check(serializer, version, api.get(path, str(version))["hypervisors"])


@VERSIONS
def test_one_hypervisor(cloud: Cloud, api: ApiClient, version: Version) -> None:
    _, node = cloud.host("cell1", "compute-1", node={"stats": '{"uptime": "up 3 days"}'})
    id = node.uuid if version >= (2, 53) else node.id
    shown = api.get(f"/os-hypervisors/{id}", str(version))["hypervisor"]
    check(HypervisorDetailSerializer, version, [shown])
    if version < (2, 88):
        shown = api.get(f"/os-hypervisors/{id}/uptime", str(version))["hypervisor"]
        check(HypervisorUptimeSerializer, version, [shown])


@VERSIONS
def test_columns_without_a_value(cloud: Cloud, api: ApiClient, version: Version) -> None:
    """Every column that is nullable in Nova's tables and not needed to find the node."""
    nulls = dict.fromkeys(
        [
            "hypervisor_hostname",
            "host_ip",
            "free_ram_mb",
            "free_disk_gb",
            "current_workload",
            "running_vms",
            "disk_available_least",
            "stats",
            "uuid",
        ]
    )
    service = dict.fromkeys(
        ["uuid", "disabled", "forced_down", "disabled_reason", "last_seen_up", "updated_at"]
    )
    cloud.host("cell1", "bare", service=service, node=nulls)
    unnamed = cloud.add_service("cell1", "unnamed")
    unnamed.host = unnamed.binary = unnamed.topic = None
    unnamed.save()
    check(ServiceSerializer, version, api.get("/os-services", str(version))["services"])
    Aggregate.objects.create(name=None, uuid=None, created_at=None)
    check(AggregateSerializer, version, api.get("/os-aggregates", str(version))["aggregates"])
    for path, serializer in (
        ("/os-hypervisors", HypervisorSerializer),
        ("/os-hypervisors/detail", HypervisorDetailSerializer),
    ):
        check(serializer, version, api.get(path, str(version))["hypervisors"])
