"""Metrics of services: ``openstack_nova_agent_state``, as openstack-exporter names it."""

from typing import Any, NamedTuple

from django.utils import timezone

from cells.availability_zones import host_zones, zones_in
from cells.registry import Cell
from cells.statements import Statement
from portal.metrics import CellReader, Family, Read, Samples, escape, written
from services.models import (
    API_BINARIES,
    Service,
    Zones,
    availability_zone,
    state_expression,
    status,
)

AGENT_STATE = Family(
    "openstack_nova_agent_state",
    "Whether a service is up (1) or down (0).",
    ("id", "hostname", "service", "adminState", "zone", "disabledReason"),
)
WITHOUT_UUID = Family("nova_cell_services_without_uuid", "Live services that have no uuid yet.")


class Rendered(NamedTuple):
    """The samples of a cell, and what they were made of."""

    label: str
    zones: dict[str, str]
    rows: list[tuple[Any, ...]]
    samples: list[Samples]


#: What each cell's services looked like at the last scrape: most often they still do.
_rendered: dict[Cell, Rendered] = {}


def begin() -> Read:
    """A reader of each cell's services, in one query."""
    host_zones.ensure()
    services: Any = (
        Service.objects.exclude(binary__in=API_BINARIES)
        .order_by()
        .values_list(
            "uuid",
            "host",
            "binary",
            "topic",
            "disabled",
            "disabled_reason",
            state_expression(timezone.now()),
        )
    )
    statement = Statement(services)

    def read(cell: Cell, label: str) -> list[Samples]:
        rows, zones = statement.rows(cell.alias), zones_in(cell)
        last = _rendered.get(cell)
        if last is None or last[:3] != (label, zones, rows):
            last = _rendered[cell] = Rendered(label, zones, rows, render(label, Zones(zones), rows))
        return last.samples

    return read


def render(label: str, zones: Zones, rows: list[tuple[Any, ...]]) -> list[Samples]:
    """The samples of these rows."""
    name = AGENT_STATE.name
    states = [
        f'{name}{{cell="{label}",id="{uuid or ""}",hostname="{escape(host)}",'
        f'service="{escape(binary)}",adminState="{status(disabled)}",'
        f'zone="{escape(availability_zone(topic, host, zones))}",'
        f'disabledReason="{escape(reason)}"}} {int(state == "up")}\n'
        for uuid, host, binary, topic, disabled, reason, state in rows
    ]
    without_uuid = sum(row[0] is None for row in rows)
    counted = f'{WITHOUT_UUID.name}{{cell="{label}"}} {without_uuid}\n'
    return [written("".join(states).encode()), written(counted.encode())]


READER = CellReader((AGENT_STATE, WITHOUT_UUID), begin, host_zones.refresh)
