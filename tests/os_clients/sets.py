"""The sets of calls: each begins with the fleet as it was recorded."""

from tests.conformance.fleet import Rows
from tests.os_clients.calls import (
    NOVACLIENT_VERSIONS,
    SDK_VERSIONS,
    VERSIONS,
    Call,
    Subjects,
    ansible_calls,
    novaclient_calls,
    openstack_calls,
    sdk_calls,
)
from tests.os_clients.running import CONNECT_NOVACLIENT, CONNECT_SDK

#: Names of the sets: the client and its version, none for what it does unless told.
SETS = (
    *(f"openstack {version}".strip() for version in VERSIONS),
    *(f"openstacksdk {version}".strip() for version in SDK_VERSIONS),
    *(f"novaclient {version}" for version in NOVACLIENT_VERSIONS),
    "ansible",
)


def calls_of(name: str, rows: Rows, endpoint: str) -> list[Call]:
    """The calls of a set, to an endpoint."""
    subjects = Subjects.of(rows)
    client, _, version = name.partition(" ")
    if client == "openstack":
        return openstack_calls(subjects, version)
    if client == "openstacksdk":
        return sdk_calls(subjects, version, CONNECT_SDK)
    if client == "ansible":
        return ansible_calls(subjects)
    return novaclient_calls(subjects, version, CONNECT_NOVACLIENT, endpoint)
