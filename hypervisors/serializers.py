"""How hypervisors are shown, by microversion."""

from functools import lru_cache
from typing import Any

import orjson
from rest_framework.serializers import CharField, IntegerField, JSONField, UUIDField

from portal.api.serializers import Computed, VersionedSerializer
from portal.microversions import Versioned
from services.models import state, status


@lru_cache(maxsize=4096)
def cpu_info(text: str | None) -> Any:
    """The column as an object; most hosts of a cloud share a few, so each is read once.

    A text that is no JSON is shown as no information.
    """
    try:
        return orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}


def uptime(stats: str | None) -> str | None:
    """The output of ``uptime`` that nova-compute left in the column, if it did."""
    try:
        value = orjson.loads(stats) if stats else {}
    except orjson.JSONDecodeError:
        return None
    found = value.get("uptime") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


class HypervisorSerializer(VersionedSerializer):
    """A hypervisor in a list.  Its state and status are those of its service."""

    id = Versioned({"2.1": IntegerField(), "2.53": UUIDField(source="uuid")})
    hypervisor_hostname = CharField()
    state = Computed(
        "service__forced_down",
        "service__last_seen_up",
        "service__created_at",
        "@up_window",
        by=state,
        shows=CharField(),
    )
    status = Computed("service__disabled", by=status, shows=CharField())


class HypervisorServiceSerializer(VersionedSerializer):
    """The service of a hypervisor, within its details."""

    id = Versioned(
        {
            "2.1": IntegerField(source="service__id"),
            "2.53": UUIDField(source="service__uuid", allow_null=True),
        }
    )
    host = CharField()
    disabled_reason = CharField(source="service__disabled_reason", allow_null=True)


def gone(field: Any) -> Versioned[Any]:
    """A field that there was up to 2.87."""
    return Versioned({"2.1": field, "2.88": None})


class HypervisorDetailSerializer(HypervisorSerializer):
    """A hypervisor in full.  Memory in MiB, disk in GiB."""

    hypervisor_type = CharField()
    hypervisor_version = IntegerField()
    host_ip = CharField(allow_null=True)
    service = HypervisorServiceSerializer()
    vcpus = gone(IntegerField())
    memory_mb = gone(IntegerField())
    local_gb = gone(IntegerField())
    vcpus_used = gone(IntegerField())
    memory_mb_used = gone(IntegerField())
    local_gb_used = gone(IntegerField())
    free_ram_mb = gone(IntegerField(allow_null=True))
    free_disk_gb = gone(IntegerField(allow_null=True))
    current_workload = gone(IntegerField(allow_null=True))
    running_vms = gone(IntegerField(allow_null=True))
    disk_available_least = gone(IntegerField(allow_null=True))
    cpu_info = Versioned(
        {
            "2.1": CharField(),
            "2.28": Computed("cpu_info", by=cpu_info, shows=JSONField()),
            "2.88": None,
        }
    )
    uptime = Versioned({"2.88": Computed("stats", by=uptime, shows=CharField(allow_null=True))})
