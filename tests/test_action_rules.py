"""For every action and every state of a service, the console offers what the API allows.

The states are generated.  Each is written into a cell, the console's preview is read, and then
the API is called.
"""

import datetime
import html
import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.journal import Actor
from audit.models import Channel, Entry
from cells.models import HostMapping
from hypervisors.models import ComputeNode, Instance, Migration
from services import actions
from services.actions import (
    ACTIONS,
    DELETE,
    DISABLE,
    FORCE_UP,
    Change,
    Refused,
    ServiceAction,
    actions_for,
)
from services.changes import state_of
from services.exceptions import Conflict
from services.facts import Facts, count_facts
from services.locate import ref_to
from services.models import Service
from tests.clients import Answer, ApiClient
from tests.clouds import Cloud

ACT = "/admin/services/service/act/"
CELL = "cell2"
ACTOR = Actor("ann", Channel.COMMAND)

STATUSES = (
    *Migration.FINISHED,
    *(None, "queued", "pre-migrating", "migrating", "post-migrating", "finished"),
)
TYPES = ("live-migration", "migration", "resize", "evacuation")


@dataclass(frozen=True)
class MigrationState:
    """A migration from or to the host, which names the host's node, another one or none."""

    status: str | None
    type: str
    incoming: bool
    node: str | None

    def row(self, host: str) -> Migration:
        node = host if self.node == "the host's" else self.node
        columns = {"status": self.status, "migration_type": self.type}
        if self.incoming:
            return Migration(dest_compute=host, dest_node=node, source_compute="x", **columns)
        return Migration(source_compute=host, source_node=node, dest_compute="x", **columns)


@dataclass(frozen=True)
class State:
    compute: bool = True
    disabled: bool = False
    forced_down: bool = False
    up: bool = True
    server: bool = False
    mapped: bool = True
    uuid: bool = True
    migration: MigrationState | None = None


MIGRATIONS = tuple(
    MigrationState(*values)
    for values in itertools.product(STATUSES, TYPES, (False, True), ("the host's", "another", None))
)
#: The properties of a service, of its servers and of its identifiers.
FLAGS = ("compute", "disabled", "forced_down", "up", "server", "mapped", "uuid")
ROWS = tuple(
    State(**dict[str, Any](zip(FLAGS, values, strict=True)))
    for values in itertools.product((False, True), repeat=len(FLAGS))
)


def cases() -> Iterator[tuple[ServiceAction, State]]:
    """Every action in every state without migrations, the actions that migrations can block with
    every migration, and some of all the rest.
    """
    yield from itertools.product(ACTIONS.values(), ROWS)
    for migration in MIGRATIONS:
        yield DELETE, State(migration=migration)
        yield FORCE_UP, State(forced_down=True, migration=migration)
    some = random.Random(9)
    for row, action in itertools.product(ROWS, ACTIONS.values()):
        yield action, replace(row, migration=some.choice(MIGRATIONS))


@dataclass
class Case:
    """A separate service for an action, in some state, and the outcome."""

    action: ServiceAction
    state: State
    id: int
    service: Service = field(init=False)
    blockers: list[str] = field(init=False)

    @property
    def host(self) -> str:
        return f"host-{self.id}"

    def __post_init__(self) -> None:
        now = timezone.now()
        state = self.state
        self.service = Service(
            id=self.id,
            uuid=f"00000000-0000-4000-8000-{self.id:012d}" if state.uuid else None,
            host=self.host,
            binary="nova-compute" if state.compute else "nova-conductor",
            topic="compute" if state.compute else "conductor",
            disabled=state.disabled,
            disabled_reason="fan" if state.disabled else None,
            forced_down=state.forced_down,
            last_seen_up=now if state.up else now - datetime.timedelta(days=1),
        )


def write(cloud: Cloud, cases: list[Case]) -> None:
    """Write the rows of the cases into the cell, and the mappings of those hosts that have one."""
    alias = cloud.cell(CELL).alias
    Service.objects.using(alias).bulk_create(case.service for case in cases)
    numbers: dict[str, Any] = dict.fromkeys(
        ("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used"), 1
    ) | {"hypervisor_type": "QEMU", "hypervisor_version": 1, "cpu_info": ""}
    ComputeNode.objects.using(alias).bulk_create(
        ComputeNode(id=case.id, host=case.host, hypervisor_hostname=case.host, **numbers)
        for case in cases
        if case.state.compute
    )
    Instance.objects.using(alias).bulk_create(
        Instance(id=case.id, uuid=f"{case.id}", host=case.host)
        for case in cases
        if case.state.server
    )
    Migration.objects.using(alias).bulk_create(
        case.state.migration.row(case.host) for case in cases if case.state.migration
    )
    HostMapping.objects.bulk_create(
        HostMapping(host=case.host, cell_id=cloud.cell(CELL).id)
        for case in cases
        if case.state.mapped
    )


def preview(cloud: Cloud, console: Client, cases: list[Case]) -> None:
    """Note the console's blockers for each of the cases, which share an action."""
    keys = {case.service.uuid or f"{cloud.cell(CELL).uuid}:{case.id}": case for case in cases}
    form = {"action": cases[0].action.name, "key": list(keys)}
    page = console.post(ACT, form).content.decode()
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
    assert len(rows) == len(cases)
    for row in rows:
        [key] = re.findall(r'name="key" value="([^"]+)"', row)
        keys[key].blockers = [
            " ".join(html.unescape(re.sub("<[^>]+>", " ", text)).split())
            for text in re.findall(r'<li class="blocker">(.*?)</li>', row, re.DOTALL)
        ]


def ask_api(api: ApiClient, case: Case) -> Answer | None:
    """Call the API; ``None`` if the API cannot identify the service."""
    bodies: dict[str, dict[str, Any]] = {
        "enable": {"status": "enabled"},
        "disable": {"status": "disabled"},
        "force-down": {"forced_down": True},
        "force-up": {"forced_down": False},
    }
    name = case.action.name
    if case.state.uuid:
        url = f"/os-services/{case.service.uuid}"
        return api.delete(url, "2.53") if name == "delete" else api.put(url, bodies[name], "2.53")
    if name == "delete":
        return api.delete(f"/os-services/{case.id}", "2.52")
    body = {"host": case.host, "binary": case.service.binary}
    if name.startswith("force"):
        body["forced_down"] = bodies[name]["forced_down"]
    url = f"/os-services/{'force-down' if name.startswith('force') else name}"
    answer = api.put(url, body, "2.52")
    if case.state.mapped or not case.state.compute:
        return answer
    assert answer.status == 404  # the API finds a host's cell by its mapping, the console does not
    return None


def carry_out(cloud: Cloud, api: ApiClient, case: Case) -> str:
    """Apply the action; returns the message of the refusal, or an empty text."""
    answer = ask_api(api, case)
    if answer is None:
        try:
            case.action.apply(ref_to(cloud.cell(CELL), case.service), ACTOR, "another reason")
        except Refused as refusal:
            return refusal.message
        return ""
    if answer.status in (200, 204):
        return ""
    assert answer.status in (400, 409), answer.text
    [fault] = answer.body.values()
    return str(fault["message"])


def test_the_console_offers_exactly_what_the_api_allows(cloud: Cloud, api: ApiClient) -> None:
    user = User.objects.create_superuser("ann")
    console = Client()
    console.force_login(user)
    every = 2 if cloud.engine == "sqlite" else 11  # the rules are the same; the SQL may differ
    chosen = list(cases())[::every]
    all_cases = [Case(action, state, number) for number, (action, state) in enumerate(chosen, 1)]
    write(cloud, all_cases)
    for action in ACTIONS.values():
        of_action = [case for case in all_cases if case.action is action]
        for start in range(0, len(of_action), 200):
            preview(cloud, console, of_action[start : start + 200])
    counts = {"offered": 0, "refused": 0, "no effect": 0}
    for case in all_cases:
        button = case.action in actions_for(user, case.service)
        message = carry_out(cloud, api, case)
        case_ = f"{case.action.name} of {case.state}: {case.blockers} and {message!r}"
        assert bool(case.blockers) == bool(message), case_
        if message:
            assert case.blockers[0].endswith(message), case_
        done = Service.objects.using(cloud.cell(CELL).alias).filter(id=case.id).first()
        changes = (
            done is None
            or state_of(done) != state_of(case.service)
            or case.action is DISABLE  # it sets at least the reason
        )
        assert (button and not case.blockers) == (not message and changes), case_
        counts["refused" if message else "offered" if changes else "no effect"] += 1
    assert min(counts.values()) > 10, counts


def test_a_migration_within_a_host_is_one(cloud: Cloud) -> None:
    service, _ = cloud.host(CELL, "cmp")
    cloud.add_migration(CELL, "cmp", dest_compute="cmp", dest_node="cmp")
    cloud.add_migration(CELL, "cmp", dest_compute="cmp-2", dest_node="cmp-2")
    [facts] = count_facts(cloud.cell(CELL), [service], ["migrations"], timezone.now())
    assert facts.migrations == 2
    with pytest.raises(KeyError):
        facts.servers  # noqa: B018 - it was not counted, so it must not read as 0


class Drain(ServiceAction):
    """A complete action, as it would be added to ``services/actions.py``."""

    name = "drain"
    label = "Drain"
    shows = ("servers",)
    decided_by = ("migrations",)

    def has_effect(self, service: Service) -> bool:
        return not service.disabled

    def blockers(self, facts: Facts) -> list[Refused]:
        busy = [Conflict("Wait for the migrations.")] if facts.migrations else []
        return [*super().blockers(facts), *busy]

    def effects(self, facts: Facts) -> list[str]:
        return [f"{facts.servers} servers will have to move"]

    def change(self, reason: str) -> Change:
        return Change(status="disabled", reason="to be drained")


def test_an_action_is_added_in_one_place(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buttons, pages, rules and audit need no further change."""
    drain = Drain()
    monkeypatch.setitem(actions.ACTIONS, drain.name, drain)
    console = Client()
    console.force_login(User.objects.create_superuser("ann"))
    free, _ = cloud.host(CELL, "free")
    busy, _ = cloud.host(CELL, "busy")
    cloud.add_instance(CELL, "free")
    cloud.add_migration(CELL, "busy")
    assert 'value="drain"' in console.get(f"/admin/services/service/{free.uuid}/").content.decode()
    assert 'value="drain"' in console.get("/admin/services/service/").content.decode()
    form = {"action": "drain", "key": [free.uuid, busy.uuid]}
    page = console.post(ACT, form).content.decode()
    assert "1 servers will have to move" in page
    assert "Wait for the migrations." in page
    assert "Drain 1 of 2 services</button>" in page
    page = console.post(ACT, {**form, "confirm": "1"}, follow=True).content.decode()
    assert "Drain: results" in page
    assert page.count("Wait for the migrations.") == 1
    recorded = Entry.objects.order_by("id").values_list("action", "host", "outcome")
    assert list(recorded) == [("drain", "free", "done"), ("drain", "busy", "refused")]
    rows = Service.objects.using(cloud.cell(CELL).alias).order_by("id")
    assert [row.disabled_reason for row in rows] == ["to be drained", None]
    page = console.get(f"/admin/services/service/{free.uuid}/").content.decode()
    assert 'value="drain"' not in page
