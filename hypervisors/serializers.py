"""How hypervisors are shown, by microversion."""

from rest_framework.serializers import CharField, IntegerField, JSONField, UUIDField

from hypervisors.models import cpu_info, uptime
from portal.api.serializers import Computed, VersionedSerializer
from portal.microversions import Versioned, before
from services.models import state, status


class HypervisorSerializer(VersionedSerializer):
    """A hypervisor in a list.  Its state and status are those of its service."""

    id = Versioned({"2.1": IntegerField(), "2.53": UUIDField(source="uuid", allow_null=True)})
    hypervisor_hostname = CharField(allow_null=True)
    state = Computed(
        "service__forced_down",
        "service__last_seen_up",
        "service__created_at",
        "@up_window",
        compute=state,
        shown_as=CharField(),
    )
    status = Computed("service__disabled", compute=status, shown_as=CharField())


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


class HypervisorDetailSerializer(HypervisorSerializer):
    """A hypervisor in full.  Memory in MiB, disk in GiB."""

    hypervisor_type = CharField()
    hypervisor_version = IntegerField()
    host_ip = CharField(allow_null=True)
    service = HypervisorServiceSerializer()
    vcpus = before("2.88", IntegerField())
    memory_mb = before("2.88", IntegerField())
    local_gb = before("2.88", IntegerField())
    vcpus_used = before("2.88", IntegerField())
    memory_mb_used = before("2.88", IntegerField())
    local_gb_used = before("2.88", IntegerField())
    free_ram_mb = before("2.88", IntegerField(allow_null=True))
    free_disk_gb = before("2.88", IntegerField(allow_null=True))
    current_workload = before("2.88", IntegerField(allow_null=True))
    running_vms = before("2.88", IntegerField(allow_null=True))
    disk_available_least = before("2.88", IntegerField(allow_null=True))
    cpu_info = Versioned(
        {
            "2.1": CharField(),
            "2.28": Computed("cpu_info", compute=cpu_info, shown_as=JSONField()),
            "2.88": None,
        }
    )
    uptime = Versioned(
        {"2.88": Computed("stats", compute=uptime, shown_as=CharField(allow_null=True))}
    )


class HypervisorUptimeSerializer(HypervisorSerializer):
    """A hypervisor with its uptime, which has a resource of its own before 2.88."""

    uptime = Computed("stats", compute=uptime, shown_as=CharField(allow_null=True))
