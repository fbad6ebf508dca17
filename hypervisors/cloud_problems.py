"""What can be wrong with servers and with the cloud as a whole: hosts that are down under servers,
migrations that do not end well, services that were not upgraded, cells that do not answer.
"""

from collections.abc import Iterable, Iterator, Mapping

from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from cells.cache import CachedValue
from cells.registry import Cell, compute_cells
from cells.scatter_gather import ask_cells
from hypervisors.findings import Finding, FleetProblem, HostProblem
from hypervisors.snapshot import MigrationRow, Snapshot, servers_on_down_hosts

# --- hosts that are down with servers on them -----------------------------------------------------


def find_down_with_servers(snapshot: Snapshot) -> Iterator[Finding]:
    """The host with the most servers first."""
    found = [
        (servers, cell, host)
        for cell, hosts in snapshot.servers_on_down_hosts.items()
        for host, servers in hosts.items()
    ]
    for servers, cell, host in sorted(found, key=lambda one: -one[0]):
        remark = ngettext("%(n)d server", "%(n)d servers", servers) % {"n": servers}
        yield Finding.of_host(snapshot, cell, host, remark)


def read_down_with_servers() -> Mapping[Cell, Iterable[str]]:
    """The hosts of each cell that are down with servers on them."""
    now = timezone.now()
    return ask_cells(compute_cells(), lambda cell: servers_on_down_hosts(cell, now)).by_cell


DOWN_WITH_SERVERS = HostProblem(
    name="down-with-servers",
    severity="bad",
    title=_("Hosts that are down with servers on them"),
    label=_("down with servers on it"),
    why=_(
        "Nobody can stop, move or reach these servers through Nova, and they may be dead. The host "
        "with the most servers comes first."
    ),
    fix=_(
        "Find out whether the host is alive. If only nova-compute is down, start it. If the host "
        "is dead, fence it, force its service down and evacuate its servers."
    ),
    find=find_down_with_servers,
    hosts=CachedValue(read_down_with_servers, ttl=60),
)


# --- migrations -----------------------------------------------------------------------------------


def _find_migrations(snapshot: Snapshot, *, failed: bool) -> Iterator[Finding]:
    for cell, migrations in snapshot.migrations.items():
        for migration in migrations:
            if migration.has_failed == failed:
                host = migration.source or migration.dest or ""
                words = gettext("%(kind)s of server %(server)s")
                subject = words % {"kind": migration.kind, "server": migration.server}
                yield Finding.of_host(snapshot, cell, host, _progress(migration), subject)


def _progress(migration: MigrationRow) -> str:
    """From where to where, how far it came, and when that was."""
    words = gettext("%(source)s to %(dest)s, %(status)s since %(at)s UTC")
    return words % {
        "source": migration.source,
        "dest": migration.dest or "?",
        "status": migration.status,
        "at": f"{migration.at:%Y-%m-%d %H:%M}",
    }


def find_stuck_migrations(snapshot: Snapshot) -> Iterator[Finding]:
    return _find_migrations(snapshot, failed=False)


def find_failed_migrations(snapshot: Snapshot) -> Iterator[Finding]:
    return _find_migrations(snapshot, failed=True)


# --- services and cells ---------------------------------------------------------------------------


def find_outdated(snapshot: Snapshot) -> Iterator[Finding]:
    """The services that are up and of an older version than another of their kind."""
    newest: dict[str | None, int] = {}
    running = [
        (cell, service)
        for cell, services in snapshot.services.items()
        for service in services
        if service.is_up and service.version
    ]
    for _cell, service in running:
        version = service.version or 0
        newest[service.binary] = max(version, newest.get(service.binary, 0))
    for cell, service in running:
        if service.version != newest[service.binary]:
            words = gettext("version %(version)d, the newest is %(newest)d")
            versions = {"version": service.version, "newest": newest[service.binary]}
            yield Finding.of((cell, service))._replace(remark=words % versions)


def find_silent_cells(snapshot: Snapshot) -> Iterator[Finding]:
    for absence in {absence.cell: absence for absence in snapshot.missing}.values():
        yield Finding(absence.cell.name, (absence.cell,), remark=absence.cause)


CLOUD_PROBLEMS = (
    FleetProblem(
        name="migration-stuck",
        severity="warning",
        title=_("Migrations that do not get on"),
        why=_(
            "The server may be locked in between, takes up resources on both hosts, and neither of "
            "their services can be deleted. A resize waits for its confirmation."
        ),
        fix=_(
            "Look at the server and at the logs of both hosts. Confirm or revert a resize; abort a "
            "live migration (openstack server migration abort), or complete it by force."
        ),
        find=find_stuck_migrations,
    ),
    FleetProblem(
        name="migration-failed",
        severity="warning",
        title=_("Migrations that have failed lately"),
        why=_(
            "The server is still where it was, perhaps in error, and may hold an allocation twice."
        ),
        fix=_(
            "Read the server's fault and its events (openstack server event list), mend the cause "
            "and migrate it again."
        ),
        find=find_failed_migrations,
    ),
    FleetProblem(
        name="outdated",
        severity="warning",
        title=_("Services of an older version than others"),
        why=_(
            "As long as one is left, Nova holds back what needs the newer version everywhere. This "
            "is normal while an upgrade is going on, and forgotten hosts show afterwards."
        ),
        fix=_("Upgrade and restart them."),
        find=find_outdated,
    ),
    FleetProblem(
        name="silent-cell",
        severity="bad",
        title=_("Cells that do not answer"),
        why=_(
            "What is in them cannot be seen or changed, and nothing of them is in the other "
            "numbers. Their servers go on running."
        ),
        fix=_(
            "Look after the cell's database, and after the way to it; see the page of the cells."
        ),
        find=find_silent_cells,
    ),
)
