"""What an action would do to services, and what stands in its way, before it is carried out.

The rules themselves are in ``services.actions``, which checks them again; this only looks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cells.executors import CellUnavailable
from cells.locate import Found, by_keys
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from services.models import API_BINARIES, NOVA_COMPUTE, Service, up_window

ENABLE, DISABLE, FORCE_DOWN, FORCE_UP, DELETE = (
    "enable",
    "disable",
    "force-down",
    "force-up",
    "delete",
)


@dataclass
class Preview:
    """One service: what will happen (``effects``), what to think of first (``warnings``), and
    what forbids it (``obstacles``).
    """

    key: str
    found: Found[Service]
    effects: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    #: What was typed as the host's name.
    typed: str = ""

    @property
    def service(self) -> Service:
        return self.found.row

    @property
    def cell(self) -> Cell:
        return self.found.cell


@dataclass
class Previews:
    """The services that were found, the keys of those that are gone, and the silent cells."""

    services: list[Preview]
    gone: list[str]
    missing: list[CellUnavailable]


@dataclass
class _OnHosts:
    """What is on the hosts of some services of one cell, by the service's id."""

    servers: Counter[int] = field(default_factory=Counter)
    leaving: Counter[int] = field(default_factory=Counter)
    coming: Counter[int] = field(default_factory=Counter)
    evacuated: Counter[int] = field(default_factory=Counter)
    nodes: Counter[int] = field(default_factory=Counter)


def preview(action: str, keys: Iterable[str]) -> Previews:
    """Look at the services with these keys in all cells at once, with a few queries per cell."""
    wanted = list(dict.fromkeys(keys))
    rows = Service.objects.exclude(binary__in=API_BINARIES)
    found, missing = by_keys(rows, wanted)
    ids: dict[Cell, list[int]] = defaultdict(list)
    for one in found.values():
        if one.row.binary == NOVA_COMPUTE:
            ids[one.cell].append(one.row.id)
    answers = ask_cells(ids, lambda cell: _on_hosts(cell, ids[cell]))
    missing += [one for one in answers.missing if one.cell not in {old.cell for old in missing}]
    away = {one.cell for one in answers.missing}
    previews = [
        _described(action, Preview(key, one), answers.by_cell.get(one.cell, _OnHosts()))
        for key, one in found.items()
        if one.cell not in away
    ]
    return Previews(previews, [key for key in wanted if key not in found], missing)


def _on_hosts(cell: Cell, ids: Sequence[int]) -> _OnHosts:
    services = Service.objects.using(cell.alias).filter(id__in=ids).order_by()
    migration: Any = Service._meta.get_field("migrations_from").related_model

    def counted(relation: str, condition: Q) -> Counter[int]:
        number = Count(relation, filter=condition & Q(**{f"{relation}__deleted": 0}))
        rows = services.annotate(number=number).values_list("id", "number")
        return Counter({row_id: count for row_id, count in rows if count})

    moving = [
        ~Q(**{f"{relation}__status__in": migration.FINISHED})
        & Q(**{f"{relation}__status__isnull": False})
        for relation in ("migrations_from", "migrations_to")
    ]
    evacuated = Q(migrations_from__status="done", migrations_from__migration_type="evacuation")
    return _OnHosts(
        servers=counted("instances", Q()),
        leaving=counted("migrations_from", moving[0]),
        coming=counted("migrations_to", moving[1]),
        evacuated=counted("migrations_from", evacuated),
        nodes=counted("compute_nodes", Q()),
    )


def _described(action: str, shown: Preview, on_hosts: _OnHosts) -> Preview:
    service = shown.service
    compute = service.binary == NOVA_COMPUTE
    if not compute and action != DELETE:
        shown.obstacles.append(_("only nova-compute services can be changed"))
        return shown
    servers = on_hosts.servers[service.id]
    moving = on_hosts.leaving[service.id] + on_hosts.coming[service.id]
    heartbeat = service.last_seen_up
    since, until = up_window(timezone.now())
    reporting = heartbeat is not None and since <= heartbeat <= until
    on_it = ngettext("%(n)d server is on it", "%(n)d servers are on it", servers) % {"n": servers}
    migrating = ngettext(
        "%(n)d migration is in progress", "%(n)d migrations are in progress", moving
    ) % {"n": moving}
    describe = {
        ENABLE: _enable,
        DISABLE: _disable,
        FORCE_DOWN: _force_down,
        FORCE_UP: _force_up,
        DELETE: _delete,
    }[action]
    describe(
        shown,
        _Facts(
            servers=on_it if servers else "",
            moving=migrating if moving else "",
            reporting=reporting,
            evacuated=on_hosts.evacuated[service.id],
            nodes=on_hosts.nodes[service.id],
            compute=compute,
        ),
    )
    return shown


@dataclass(frozen=True)
class _Facts:
    """``servers`` and ``moving`` in words, empty when there are none."""

    servers: str
    moving: str
    reporting: bool
    evacuated: int
    nodes: int
    compute: bool


def _enable(shown: Preview, facts: _Facts) -> None:
    if not shown.service.disabled:
        shown.effects.append(_("nothing: it is enabled already"))
        return
    shown.effects.append(_("the scheduler will place servers on the host again"))
    if shown.service.disabled_reason:
        shown.effects.append(
            _("the reason “%(reason)s” is removed") % {"reason": shown.service.disabled_reason}
        )
    if not shown.service.is_up():
        shown.warnings.append(_("it is down: no server will be placed there until it is up"))


def _disable(shown: Preview, facts: _Facts) -> None:
    if shown.service.disabled:
        shown.effects.append(_("it is disabled already; only its reason changes"))
    else:
        shown.effects.append(_("the scheduler will place no more servers on the host"))
    if facts.servers:
        shown.effects.append(_("%(servers)s, and keep running") % {"servers": facts.servers})
    if facts.moving:
        shown.warnings.append(facts.moving)


def _force_down(shown: Preview, facts: _Facts) -> None:
    if shown.service.forced_down:
        shown.effects.append(_("nothing: it is forced down already"))
        return
    shown.effects.append(
        _("the service counts as down whatever it reports, and servers may be evacuated")
    )
    if facts.reporting:
        shown.warnings.append(
            _("it still reports: is the host really fenced? Evacuated servers would run twice")
        )
    if facts.servers:
        shown.warnings.append(facts.servers)
    if facts.moving:
        shown.warnings.append(facts.moving)


def _force_up(shown: Preview, facts: _Facts) -> None:
    if not shown.service.forced_down:
        shown.effects.append(_("nothing: it is not forced down"))
        return
    shown.effects.append(_("its heartbeats count again"))
    if facts.evacuated:
        shown.obstacles.append(
            ngettext(
                "%(n)d evacuation is done that the host has not noticed: restart nova-compute",
                "%(n)d evacuations are done that the host has not noticed: restart nova-compute",
                facts.evacuated,
            )
            % {"n": facts.evacuated}
        )


def _delete(shown: Preview, facts: _Facts) -> None:
    shown.effects.append(_("the service is removed"))
    if facts.compute:
        shown.effects.append(
            ngettext(
                "with it %(n)d hypervisor, the host's mapping and its places in aggregates",
                "with it %(n)d hypervisors, the host's mapping and its places in aggregates",
                facts.nodes,
            )
            % {"n": facts.nodes}
        )
    if facts.servers:
        shown.obstacles.append(facts.servers)
    if facts.moving:
        shown.obstacles.append(facts.moving)
    if facts.reporting:
        shown.warnings.append(
            _("it still reports: stop it first, or it will come back as a new service")
        )
