"""How services are shown, by microversion."""

import datetime
from collections.abc import Mapping

from django.conf import settings
from rest_framework.serializers import BooleanField, CharField, IntegerField, UUIDField

from portal.microversions import Versioned
from portal.serializers import Derived, VersionedSerializer
from services.models import is_up


def nova_time(value: datetime.datetime | None) -> str | None:
    """A time as Nova writes it: UTC without a zone, always six digits of seconds."""
    return None if value is None else value.replace(tzinfo=None).isoformat(timespec="microseconds")


def state(
    forced_down: bool | None,
    last_seen_up: datetime.datetime | None,
    created_at: datetime.datetime | None,
    now: datetime.datetime,
) -> str:
    """``up`` or ``down``."""
    return "up" if is_up(forced_down, last_seen_up, created_at, now) else "down"


def status(disabled: bool | None) -> str:
    """``enabled`` or ``disabled``."""
    return "disabled" if disabled else "enabled"


def zone(topic: str | None, host: str | None, zones: Mapping[str, str]) -> str:
    """The availability zone: of compute services by host, of all others the internal one."""
    if topic != "compute":
        return settings.INTERNAL_AVAILABILITY_ZONE
    return zones.get(host or "", settings.DEFAULT_AVAILABILITY_ZONE)


STATE_OF = ("forced_down", "last_seen_up", "created_at", "@now")


class ServiceSerializer(VersionedSerializer):
    """A service in os-services."""

    id = Versioned({"2.1": IntegerField(), "2.53": UUIDField(source="uuid", allow_null=True)})
    binary = CharField()
    host = CharField()
    zone = Derived("topic", "host", "@zones", by=zone, shows=CharField())
    status = Derived("disabled", by=status, shows=CharField())
    state = Derived(*STATE_OF, by=state, shows=CharField())
    updated_at = Derived("updated_at", by=nova_time, shows=CharField(allow_null=True))
    disabled_reason = CharField(allow_null=True)
    forced_down = Versioned({"2.11": BooleanField()})
