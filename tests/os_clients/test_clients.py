"""The clients print of the portal what they print of a real nova-api."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User

from tests.cloud_servers import RECORDED as CLOUD
from tests.cloud_servers import Keystone, keystone_conf
from tests.clouds import Cloud
from tests.conformance import fleet
from tests.conformance.fleet import Rows
from tests.conformance.nova import SERVICE_DOWN_TIME
from tests.os_clients.running import (
    RECORDED,
    python_of,
    run,
    with_keystone,
    with_password,
    with_token,
)
from tests.os_clients.sets import SETS, calls_of
from tests.servers import PortalServer, serve

PASSWORD = "a long enough password"
OPENSTACK = [name for name in SETS if name.startswith("openstack")]

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.skipif(
        not all(python_of(name).exists() for name in SETS),
        reason="the clients are not installed: make clients",
    ),
]


@pytest.fixture
def rows(cloud: Cloud) -> Rows:
    """The fleet of recorded answers, in the databases."""
    rows = fleet.load()
    fleet.World(rows).fill()
    return rows


@pytest.fixture
def keystone() -> Iterator[Keystone]:
    server = Keystone()
    with server.running():
        yield server


@pytest.fixture
def server(cloud: Cloud, rows: Rows, keystone: Keystone, tmp_path: Path) -> Iterator[PortalServer]:
    """The portal, attached to the cloud of the Keystone, in whose catalog it is."""
    (tmp_path / "nova.conf").write_text(keystone_conf(keystone, tmp_path / "policy.yaml"))
    (tmp_path / "policy.yaml").write_text("{}")
    environment = {
        "NOVA_CONFIG_FILES": str(tmp_path / "nova.conf"),
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "DATABASE_URL": cloud.portal_url,
        "SERVICE_DOWN_TIME": str(SERVICE_DOWN_TIME),
        "CELL_DEADLINE": "10",
        "VAR_DIR": str(tmp_path),
    }
    with serve(environment, tmp_path / "gunicorn.log") as server:
        catalog = CLOUD["token of admin"]["body"]["token"]["catalog"]
        recorded = next(each for each in catalog if each["type"] == "compute")
        endpoints = [each | {"url": server.compute_url} for each in recorded["endpoints"]]
        keystone.changes = {"catalog": [recorded | {"endpoints": endpoints}]}
        yield server


#: The environment of a client, by the name of its way to log in.
LogIn = Callable[[str], dict[str, str]]


@pytest.fixture
def log_in(server: PortalServer, keystone: Keystone, admin_token: str) -> LogIn:
    def settings_of(way: str) -> dict[str, str]:
        if way == "admin_token":
            return with_token(server.compute_url, admin_token)
        if way == "password":
            return with_keystone(f"{keystone.url}/v3", "admin", "oracle")
        # The served portal does not know the quick hashes of tests.
        hashed = PBKDF2PasswordHasher().encode(PASSWORD, "salt-of-the-test")
        User.objects.create(username="ops", is_superuser=True, password=hashed)
        return with_password(server.compute_url, "ops", PASSWORD)

    return settings_of


@pytest.mark.parametrize(
    ("way", "name"),
    [
        *(("admin_token", name) for name in SETS),
        *(("http_basic", name) for name in OPENSTACK),
        *(("password", name) for name in (*OPENSTACK, "novaclient 2.53", "ansible")),
    ],
)
def test_clients_print_what_they_print_of_nova(
    rows: Rows, server: PortalServer, log_in: LogIn, way: str, name: str
) -> None:
    expected = json.loads(RECORDED.read_text())[name]
    calls = calls_of(name, rows, server.compute_url)
    found = run(python_of(name), calls, log_in(way))
    differing = [
        f"{call}:\n--- nova-api\n{expected[call]}\n--- portal\n{found[call]}"
        for call in expected
        if expected[call] != found[call]
    ]
    assert found.keys() == expected.keys()
    assert not differing, "\n".join(differing)
