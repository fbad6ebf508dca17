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

    id = IntegerField(help_text="The id, in the API database: the same for all cells.")
    uuid = Versioned({"2.41": UUIDField(allow_null=True, help_text="The uuid.")})
    name = CharField(allow_null=True, help_text="The name.")
    hosts = Computed(
        "id",
        "@hosts",
        compute=hosts_of,
        shown_as=ListField(child=CharField(), help_text="The hosts in it."),
    )
    metadata = Computed(
        "id",
        "@metadata",
        compute=metadata_of,
        shown_as=DictField(child=CharField(), help_text="What is said of it."),
    )
    created_at = Computed(
        "created_at",
        compute=nova_time,
        shown_as=CharField(allow_null=True, help_text="When it was made, in UTC."),
    )
    updated_at = Computed(
        "updated_at",
        compute=nova_time,
        shown_as=CharField(allow_null=True, help_text="When it last changed, in UTC."),
    )
    deleted_at = Computed(
        compute=lambda: None, shown_as=CharField(allow_null=True, help_text="Always null.")
    )
    deleted = Computed(compute=lambda: False, shown_as=BooleanField(help_text="Always false."))
    availability_zone = Computed(
        "id",
        "@metadata",
        compute=zone_of,
        shown_as=CharField(allow_null=True, help_text="The availability zone that it makes."),
    )
