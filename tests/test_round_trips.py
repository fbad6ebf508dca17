"""How often a cell that is far away is waited for: round trips, as a proxy before it sees them."""

from collections.abc import Callable
from typing import Any

import pytest

from cells.probes import probe_cells
from hypervisors.models import ComputeNode
from portal.metrics import read_cells
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.counting import settle
from tests.servers import Proxy

pytestmark = pytest.mark.server


def round_trips(proxy: Proxy, do: Callable[[], Any]) -> int:
    """How many ``do`` takes."""
    settle()
    before = proxy.round_trips
    do()
    settle()
    return proxy.round_trips - before


@pytest.fixture
def services(cloud: Cloud) -> list[Service]:
    cloud.host("cell1", "other")
    cloud.add_aggregate("rack", ["cmp0", "cmp1"])
    return [cloud.host("cell2", f"cmp{number}")[0] for number in range(2)]


def test_changes(cloud: Cloud, api: ApiClient, services: list[Service]) -> None:
    """Found, locked with the beginning of the transaction, changed, committed; what forbids an
    action is one more, and so are the nodes that go with a service.
    """
    alias = cloud.cell("cell2").alias
    first, second = (f"/os-services/{service.uuid}" for service in services)

    def put(**body: Any) -> Callable[[], None]:
        def do() -> None:
            assert api.put(first, body, "2.53").status == 200

        return do

    def delete() -> None:
        assert api.delete(second, "2.53").status == 204

    with cloud.proxy("cell2") as proxy:
        api.get("/os-services", "2.53")
        put(status="enabled")()  # connects
        taken = [
            round_trips(proxy, put(status="disabled", disabled_reason="fan")),
            round_trips(proxy, put(status="enabled")),
            round_trips(proxy, put(forced_down=True)),
            round_trips(proxy, put(forced_down=False)),
            round_trips(proxy, delete),
        ]
    assert taken == [4, 4, 4, 5, 6]
    assert not ComputeNode.objects.using(alias).filter(host="cmp1").exists()


def test_checks(cloud: Cloud, services: list[Service]) -> None:
    with cloud.proxy("cell2") as proxy:
        cell = cloud.cell("cell2")

        def probe() -> None:
            [probed] = probe_cells([cell])
            assert probed.healthy
            assert probed.rows["services"] == 2

        probe()  # connects
        read_cells()
        assert round_trips(proxy, probe) == 2
        assert round_trips(proxy, read_cells) == 2
