"""The clients print of the portal what they print of a real nova-api."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User

from tests.clouds import Cloud
from tests.conformance import fleet
from tests.conformance.fleet import Rows
from tests.conformance.nova import SERVICE_DOWN_TIME
from tests.os_clients.running import PYTHON, RECORDED, run, with_password, with_token
from tests.os_clients.sets import SETS, calls_of
from tests.servers import PortalServer, serve

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.skipif(not PYTHON.exists(), reason="the clients are not installed: make clients"),
]


@pytest.fixture
def rows(cloud: Cloud) -> Rows:
    """The fleet of recorded answers, in the databases."""
    rows = fleet.load()
    fleet.World(rows).fill()
    return rows


@pytest.fixture
def server(cloud: Cloud, rows: Rows, tmp_path: Path) -> Iterator[PortalServer]:
    environment = {
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "DATABASE_URL": cloud.portal_url,
        "SERVICE_DOWN_TIME": str(SERVICE_DOWN_TIME),
        "CELL_DEADLINE": "10",
        "VAR_DIR": str(tmp_path),
    }
    with serve(environment, tmp_path / "gunicorn.log") as server:
        yield server


@pytest.mark.parametrize("name", SETS)
def test_clients_print_what_they_print_of_nova(
    rows: Rows, server: PortalServer, admin_token: str, name: str
) -> None:
    expected = json.loads(RECORDED.read_text())[name]
    calls = calls_of(name, rows, server.compute_url)
    found = run(calls, with_token(server.compute_url, admin_token))
    differing = [
        f"{call}:\n--- nova-api\n{expected[call]}\n--- portal\n{found[call]}"
        for call in expected
        if expected[call] != found[call]
    ]
    assert found.keys() == expected.keys()
    assert not differing, "\n".join(differing)


def test_the_same_with_http_basic(rows: Rows, server: PortalServer) -> None:
    # The served portal does not know the quick hashes of tests.
    hashed = PBKDF2PasswordHasher().encode("a long enough password", "salt-of-the-test")
    User.objects.create(username="ops", is_superuser=True, password=hashed)
    expected = json.loads(RECORDED.read_text())["openstack 2.53"]
    calls = calls_of("openstack 2.53", rows, server.compute_url)
    login = with_password(server.compute_url, "ops", "a long enough password")
    assert run(calls, login) == expected
