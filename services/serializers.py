"""How services are shown, by microversion."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from rest_framework.serializers import BooleanField, CharField, IntegerField, UUIDField

from portal.api.serializers import Computed, VersionedSerializer
from portal.microversions import Versioned
from services.models import Window, is_up


def nova_time(value: datetime.datetime | None) -> str | None:
    """A time as Nova writes it: UTC without a zone, always six digits of seconds."""
    if value is None:
        return None
    if value.tzinfo is not None:
        value = value.replace(tzinfo=None)
    return value.isoformat(timespec="microseconds")


def state(
    forced_down: bool | None,
    last_seen_up: datetime.datetime | None,
    created_at: datetime.datetime | None,
    window: Window,
) -> str:
    """``up`` or ``down``."""
    return "up" if is_up(forced_down, last_seen_up, created_at, window) else "down"


def status(disabled: bool | None) -> str:
    """``enabled`` or ``disabled``."""
    return "disabled" if disabled else "enabled"


@dataclass(frozen=True)
class Zones:
    """The availability zones of hosts that are in one, and of services that are not."""

    of_hosts: Mapping[str, str]
    default: str = field(default_factory=lambda: settings.DEFAULT_AVAILABILITY_ZONE)
    internal: str = field(default_factory=lambda: settings.INTERNAL_AVAILABILITY_ZONE)


def zone(topic: str | None, host: str | None, zones: Zones) -> str:
    """The availability zone: of compute services by host, of all others the internal one."""
    return zones.of_hosts.get(host or "", zones.default) if topic == "compute" else zones.internal


STATE_OF = ("forced_down", "last_seen_up", "created_at", "@up_window")


class ServiceSerializer(VersionedSerializer):
    """A service in os-services."""

    binary = CharField()
    host = CharField()
    id = Versioned({"2.1": IntegerField(), "2.53": UUIDField(source="uuid", allow_null=True)})
    zone = Computed("topic", "host", "@zones", by=zone, shows=CharField())
    status = Computed("disabled", by=status, shows=CharField())
    state = Computed(*STATE_OF, by=state, shows=CharField())
    updated_at = Computed("updated_at", by=nova_time, shows=CharField(allow_null=True))
    disabled_reason = CharField(allow_null=True)
    forced_down = Versioned({"2.11": BooleanField()})
