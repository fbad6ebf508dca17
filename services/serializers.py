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

    binary = CharField(allow_null=True)
    host = CharField(allow_null=True)
    id = Versioned({"2.1": IntegerField(), "2.53": UUIDField(source="uuid", allow_null=True)})
    zone = Computed("topic", "host", "@zones", compute=availability_zone, shown_as=CharField())
    status = Computed("disabled", compute=status, shown_as=CharField())
    state = Computed(
        "forced_down",
        "last_seen_up",
        "created_at",
        "@up_window",
        compute=state,
        shown_as=CharField(),
    )
    updated_at = Computed("updated_at", compute=nova_time, shown_as=CharField(allow_null=True))
    disabled_reason = CharField(allow_null=True)
    forced_down = Versioned({"2.11": BooleanField(allow_null=True)})
