"""How hypervisors are shown, by microversion."""

from rest_framework.serializers import CharField, IntegerField, JSONField, UUIDField

from hypervisors.models import cpu_info, uptime
from portal.api.serializers import Computed, VersionedSerializer
from portal.microversions import Versioned, before
from services.models import state, status


class HypervisorSerializer(VersionedSerializer):
    """A hypervisor in a list.  Its state and status are those of its service."""

    id = Versioned(
        {
            "2.1": IntegerField(help_text="The id, which repeats from cell to cell."),
            "2.53": UUIDField(source="uuid", allow_null=True, help_text="The uuid."),
        }
    )
    hypervisor_hostname = CharField(allow_null=True, help_text="Its own name.")
    state = Computed(
        "service__forced_down",
        "service__last_seen_up",
        "service__created_at",
        "@up_window",
        compute=state,
        shown_as=CharField(help_text="up or down, as its service is."),
    )
    status = Computed(
        "service__disabled",
        compute=status,
        shown_as=CharField(help_text="enabled or disabled, as its service is."),
    )


class HypervisorServiceSerializer(VersionedSerializer):
    """The service of a hypervisor, within its details."""

    id = Versioned(
        {
            "2.1": IntegerField(source="service__id", help_text="The id of the service."),
            "2.53": UUIDField(
                source="service__uuid",
                allow_null=True,
                help_text="The uuid of the service; null until it has been given one.",
            ),
        }
    )
    host = CharField(help_text="The host.")
    disabled_reason = CharField(
        source="service__disabled_reason", allow_null=True, help_text="Why the service is disabled."
    )


class HypervisorDetailSerializer(HypervisorSerializer):
    """A hypervisor in full.  Memory in MiB, disk in GiB."""

    hypervisor_type = CharField(help_text="Such as QEMU.")
    hypervisor_version = IntegerField(help_text="Its version as a number: 8.2.0 is 8002000.")
    host_ip = CharField(allow_null=True, help_text="The address of the host.")
    service = HypervisorServiceSerializer()
    vcpus = before("2.88", IntegerField(help_text="Processors."))
    memory_mb = before("2.88", IntegerField(help_text="Memory in MiB."))
    local_gb = before("2.88", IntegerField(help_text="Disk in GiB."))
    vcpus_used = before("2.88", IntegerField(help_text="Processors given to servers."))
    memory_mb_used = before("2.88", IntegerField(help_text="Memory in use, in MiB."))
    local_gb_used = before("2.88", IntegerField(help_text="Disk given to servers, in GiB."))
    free_ram_mb = before("2.88", IntegerField(allow_null=True, help_text="Free memory in MiB."))
    free_disk_gb = before("2.88", IntegerField(allow_null=True, help_text="Free disk in GiB."))
    current_workload = before(
        "2.88", IntegerField(allow_null=True, help_text="Servers being built, moved or removed.")
    )
    running_vms = before(
        "2.88", IntegerField(allow_null=True, help_text="Servers on it, running or not.")
    )
    disk_available_least = before(
        "2.88",
        IntegerField(
            allow_null=True,
            help_text="Disk in GiB that is free even if all images grow to their full size.",
        ),
    )
    cpu_info = Versioned(
        {
            "2.1": CharField(help_text="The processors, as JSON in a string."),
            "2.28": Computed(
                "cpu_info", compute=cpu_info, shown_as=JSONField(help_text="The processors.")
            ),
            "2.88": None,
        }
    )
    uptime = Versioned(
        {
            "2.88": Computed(
                "stats",
                compute=uptime,
                shown_as=CharField(allow_null=True, help_text="What uptime says on the host."),
            )
        }
    )


class HypervisorUptimeSerializer(HypervisorSerializer):
    """A hypervisor with its uptime, which has a resource of its own before 2.88."""

    uptime = Computed(
        "stats",
        compute=uptime,
        shown_as=CharField(allow_null=True, help_text="What uptime says on the host."),
    )
