"""How aggregates are shown, by microversion."""

from rest_framework.serializers import (
    BooleanField,
    CharField,
    DictField,
    IntegerField,
    ListField,
    UUIDField,
)

from portal.api.serializers import Computed, VersionedSerializer, nova_time
from portal.microversions import Versioned


def hosts_of(id: int, hosts: dict[int, list[str]]) -> list[str]:
    """The hosts in the aggregate with this id."""
    return hosts.get(id, [])


def metadata_of(id: int, metadata: dict[int, dict[str, str]]) -> dict[str, str]:
    """What is said of the aggregate with this id."""
    return metadata.get(id, {})


def zone_of(id: int, metadata: dict[int, dict[str, str]]) -> str | None:
    """The availability zone that the aggregate makes of its hosts, if it does."""
    return metadata_of(id, metadata).get("availability_zone")


class AggregateSerializer(VersionedSerializer):
    """An aggregate.  Deleted ones leave no row, so none is shown as deleted."""

    id = IntegerField()
    uuid = Versioned({"2.41": UUIDField(allow_null=True)})
    name = CharField(allow_null=True)
    hosts = Computed("id", "@hosts", compute=hosts_of, shown_as=ListField(child=CharField()))
    metadata = Computed(
        "id", "@metadata", compute=metadata_of, shown_as=DictField(child=CharField())
    )
    created_at = Computed("created_at", compute=nova_time, shown_as=CharField(allow_null=True))
    updated_at = Computed("updated_at", compute=nova_time, shown_as=CharField(allow_null=True))
    deleted_at = Computed(compute=lambda: None, shown_as=CharField(allow_null=True))
    deleted = Computed(compute=lambda: False, shown_as=BooleanField())
    availability_zone = Computed(
        "id", "@metadata", compute=zone_of, shown_as=CharField(allow_null=True)
    )
