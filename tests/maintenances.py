"""Requesting maintenances in tests, and carrying them on without waiting."""

import datetime
from collections.abc import Callable, Sequence
from typing import Any

from django.utils import timezone

from audit.journal import Actor
from audit.models import Channel
from cells.locate import key_of
from hypervisors.models import Instance
from maintenance import control, engine
from maintenance.models import Maintenance
from maintenance.plans import PLANS, Options, Preflight, preflights
from services.facts import facts_by_key
from services.locate import ServiceRef, find
from services.models import NOVA_COMPUTE
from tests.clouds import Cloud

ACTOR = Actor("ann", Channel.COMMAND)
PAST = datetime.timedelta(hours=1)


def checked(plan: str, *hosts: str, **options: Any) -> list[Preflight]:
    """The preflights of a plan for these hosts."""
    chosen = PLANS[plan]
    found = [find(ServiceRef(host=host, binary=NOVA_COMPUTE)) for host in hosts]
    keys = [key_of(one.cell, one.row) for one in found]
    facts = facts_by_key(keys, chosen.decided_by, placement=chosen.asks_placement).facts.values()
    return preflights(chosen, facts, Options(**{"reason": "work", **options}))


def start(plan: str, *hosts: str, **options: Any) -> list[Maintenance]:
    """Request the maintenance of these hosts."""
    chosen = Options(**{"reason": "work", **options})
    return control.start(PLANS[plan], checked(plan, *hosts, **options), chosen, ACTOR)


def step(maintenance: Maintenance) -> None:
    """Make the next step now, whatever became of the worker that made the last."""
    now = timezone.now()
    rows = Maintenance.objects.filter(pk=maintenance.pk).exclude(due_at=None)
    rows.update(due_at=now, lease_until=now - PAST)
    engine.advance.call(maintenance.pk)
    maintenance.refresh_from_db()


def carry_on(
    *maintenances: Maintenance,
    until: Callable[[], bool] = lambda: False,
    steps: int = 200,
) -> None:
    """Make steps until nothing happens by itself any more, or ``until`` is true."""
    for _ in range(steps):
        if until() or all(one.due_at is None for one in maintenances):
            return
        for one in maintenances:
            step(one)
    raise AssertionError([(str(one), one.state, one.message) for one in maintenances])


def fates(maintenance: Maintenance) -> dict[str, str]:
    """The fate of each server by its name."""
    return dict(maintenance.servers.values_list("name", "fate"))


def add_servers(cloud: Cloud, host: str, states: Sequence[str], cell: str = "cell1") -> list[Any]:
    """Servers on ``host``, one in each of these states."""
    return [
        cloud.add_instance(
            cell, host, vm_state=state, display_name=f"{state}-{number}", memory_mb=512, vcpus=1
        )
        for number, state in enumerate(states)
    ]


def on_host(cloud: Cloud, host: str, cell: str = "cell1") -> int:
    """How many servers the cell has on ``host``."""
    count: int = Instance.objects.using(cloud.cell(cell).alias).filter(host=host).count()
    return count
