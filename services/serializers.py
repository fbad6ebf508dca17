"""How services are shown, by microversion."""

from rest_framework.serializers import BooleanField, CharField, IntegerField, UUIDField

from portal.api.serializers import Computed, VersionedSerializer, nova_time
from portal.microversions import Versioned
from services.models import availability_zone, state, status

BACKFILL_WARNING = (
    "services without a uuid are listed with a null id; run: manage.py backfill_service_uuids"
)


class ServiceSerializer(VersionedSerializer):
    """A service in os-services."""

    binary = CharField(allow_null=True, help_text="The binary, such as nova-compute.")
    host = CharField(allow_null=True, help_text="The host that it runs on.")
    id = Versioned(
        {
            "2.1": IntegerField(help_text="The id, which repeats from cell to cell."),
            "2.53": UUIDField(
                source="uuid",
                allow_null=True,
                help_text="The uuid; null until the service has been given one.",
            ),
        }
    )
    zone = Computed(
        "topic",
        "host",
        "@zones",
        compute=availability_zone,
        shown_as=CharField(help_text="The availability zone of the host."),
    )
    status = Computed(
        "disabled",
        compute=status,
        shown_as=CharField(help_text="enabled or disabled: whether the host is scheduled to."),
    )
    state = Computed(
        "forced_down",
        "last_seen_up",
        "created_at",
        "@up_window",
        compute=state,
        shown_as=CharField(help_text="up or down, by its last heartbeat and forced_down."),
    )
    updated_at = Computed(
        "updated_at",
        compute=nova_time,
        shown_as=CharField(allow_null=True, help_text="When the record last changed, in UTC."),
    )
    disabled_reason = CharField(allow_null=True, help_text="Why it is disabled.")
    forced_down = Versioned(
        {
            "2.11": BooleanField(
                allow_null=True, help_text="Whether an operator said that it is down."
            )
        }
    )
