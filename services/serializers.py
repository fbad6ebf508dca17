"""How services are shown, by microversion."""

import datetime

from rest_framework.serializers import BooleanField, CharField, IntegerField, UUIDField

from portal.api.serializers import Computed, VersionedSerializer
from portal.microversions import Versioned
from services.models import availability_zone, state, status


def nova_time(value: datetime.datetime | None) -> str | None:
    """A time as Nova writes it: UTC without a zone, always six digits of seconds."""
    if value is None:
        return None
    if value.tzinfo is not None:
        value = value.replace(tzinfo=None)
    return value.isoformat(timespec="microseconds")


STATE_OF = ("forced_down", "last_seen_up", "created_at", "@up_window")


class ServiceSerializer(VersionedSerializer):
    """A service in os-services."""

    binary = CharField()
    host = CharField()
    id = Versioned({"2.1": IntegerField(), "2.53": UUIDField(source="uuid", allow_null=True)})
    zone = Computed("topic", "host", "@zones", by=availability_zone, shows=CharField())
    status = Computed("disabled", by=status, shows=CharField())
    state = Computed(*STATE_OF, by=state, shows=CharField())
    updated_at = Computed("updated_at", by=nova_time, shows=CharField(allow_null=True))
    disabled_reason = CharField(allow_null=True)
    forced_down = Versioned({"2.11": BooleanField()})
