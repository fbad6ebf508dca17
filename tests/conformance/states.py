"""Abnormal states of the cloud in which answers are recorded."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from cells.databases import alias_of
from cells.models import CellMapping
from cells.registry import forget_cells
from services.models import Service
from tests.conformance.catalogue import NOBODY, get
from tests.conformance.messages import Request
from tests.conformance.picks import Picks
from tests.engines import CELLS

#: Nothing listens on this port, so a connection is refused at once.
NOWHERE = "postgresql+psycopg2://nova@127.0.0.1:1/nova_cell2"
CELL_DOWN, WITHOUT_UUIDS = "cell2 is down", "services without a uuid"
PATH = "/v2.1/os-hypervisors"


def cell_down() -> None:
    """cell2 is unreachable."""
    CellMapping.objects.filter(uuid=CELLS["cell2"]).update(database_connection=NOWHERE)
    forget_cells()


def without_uuids() -> None:
    """The services of cell1 have no uuid yet."""
    Service.with_deleted.using(alias_of(CELLS["cell1"])).update(uuid=None)


def in_states(picks: Picks) -> Iterator[Request]:
    """The requests to send in each of the states."""
    for state, requests in (
        (CELL_DOWN, requests_with_cell_down(picks)),
        (WITHOUT_UUIDS, requests_without_uuids(picks)),
    ):
        for request in requests:
            yield replace(request, state=state)


def requests_with_cell_down(picks: Picks) -> Iterator[Request]:
    here, gone = (
        picks.plain(),
        next(service for service in picks.computes() if service["cell"] == "cell2"),
    )
    assert here["cell"] == "cell1"
    for query in (
        "",
        *(f"?host={host}" for host in (here["host"], gone["host"], "nope")),
        *(f"?binary={binary}" for binary in ("nova-compute", "nova-conductor", "nope")),
        f"?host={gone['host']}&binary=nova-compute",
        f"?host={gone['host']}&binary=nova-conductor",
    ):
        versions = ("2.1", "2.52", "2.53", "2.68", "2.69", "2.75", "2.104")
        yield from get(CELL_DOWN, f"/v2.1/os-services{query}", versions)
    late = picks.unique("compute_nodes")[0]
    for path in ("", "/detail"):
        yield from get(CELL_DOWN, f"{PATH}{path}", ("2.1", "2.33", "2.53", "2.88"))
    for query in ("?limit=3", "?limit=40", f"?limit=2&marker={late['uuid']}", "?with_servers=true"):
        yield from get(CELL_DOWN, f"{PATH}{query}", ("2.33", "2.53", "2.88"))
    yield from get(CELL_DOWN, f"{PATH}/statistics", ("2.1", "2.87"))
    yield from get(CELL_DOWN, f"{PATH}/c1-r01/search", ("2.1",))
    yield from get(CELL_DOWN, f"{PATH}?hypervisor_hostname_pattern=c1-r01", ("2.53",))
    yield from get(CELL_DOWN, f"{PATH}/{late['id']}", ("2.1",))
    for uuid in (
        picks.node_of(here)["uuid"],
        picks.node_of(gone)["uuid"],
        late["uuid"],
        NOBODY,
    ):
        yield from get(CELL_DOWN, f"{PATH}/{uuid}", ("2.53", "2.88"))


def requests_without_uuids(picks: Picks) -> Iterator[Request]:
    here = picks.plain()
    versions = ("2.1", "2.52", "2.53", "2.68", "2.69", "2.104")
    for query in ("", f"?host={here['host']}", "?binary=nova-scheduler"):
        yield from get(WITHOUT_UUIDS, f"/v2.1/os-services{query}", versions)
    for path in ("", "/detail"):
        yield from get(WITHOUT_UUIDS, f"{PATH}{path}", ("2.1", "2.33", "2.53", "2.88"))
    yield from get(WITHOUT_UUIDS, f"{PATH}?limit=3", ("2.33", "2.53", "2.88"))
    yield from get(WITHOUT_UUIDS, f"{PATH}/{picks.node_of(here)['uuid']}", ("2.53", "2.88"))


#: Functions that bring about each state, once the fleet has been written.
STATES: dict[str, Callable[[], None]] = {CELL_DOWN: cell_down, WITHOUT_UUIDS: without_uuids}
