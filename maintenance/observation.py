"""What a cell says of a host's servers and their migrations: two queries, however many."""

import datetime
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from django.db.models import Q
from django.utils import timezone

from cells.registry import Cell
from cells.scatter_gather import ask_cells
from hypervisors.models import Instance, Migration

INSTANCE_FIELDS = ("id", "uuid", "display_name", "host", "vm_state", "task_state", "power_state")


@dataclass
class Observation:
    """Servers by uuid, and the migrations of each, latest first."""

    instances: dict[str, Instance]
    migrations: dict[str, list[Migration]] = field(default_factory=dict)

    def latest_migration(self, server: str) -> int:
        """The id of the server's latest migration; 0 if it never had one."""
        return max((migration.id for migration in self.migrations.get(server, ())), default=0)

    def migration_after(self, server: str, migration_id: int) -> Migration | None:
        """The server's latest migration, if it is later than ``migration_id``."""
        latest = next(iter(self.migrations.get(server, ())), None)
        return latest if latest is not None and latest.id > migration_id else None


def observe(cell: Cell, host: str, servers: Collection[str] = ()) -> Observation:
    """The servers on ``host``, and those with these uuids wherever they are.

    Raises ``CellUnavailable``.
    """
    answers = ask_cells([cell], lambda cell: _read(cell, host, servers))
    for missing in answers.missing:
        raise missing
    return answers.by_cell[cell]


def _read(cell: Cell, host: str, servers: Collection[str]) -> Observation:
    rows = Instance.objects.using(cell.alias).filter(Q(host=host) | Q(uuid__in=servers))
    instances = {row.uuid: row for row in rows.only(*INSTANCE_FIELDS).order_by("id")}
    wanted = set(instances) | set(servers)
    migrations: dict[str, list[Migration]] = defaultdict(list)
    of_servers = Migration.objects.using(cell.alias).filter(instance_uuid__in=wanted)
    for migration in of_servers.order_by("-id"):
        migrations[migration.instance_uuid or ""].append(migration)
    return Observation(instances, dict(migrations))


def migrations_of_host(cell: Cell, host: str, stale: datetime.timedelta) -> tuple[int, int]:
    """How many migrations from or to ``host`` are going on, and how many others have not ended.

    Those are resizes that wait for their confirmation, and what Nova has not touched for longer
    than ``stale``.  Raises ``CellUnavailable``.
    """
    recently = timezone.now() - stale

    def read(cell: Cell) -> tuple[int, int]:
        of_host = Q(source_compute=host) | Q(dest_compute=host)
        rows = Migration.objects.db_manager(cell.alias).in_progress().filter(of_host)
        is_going_on = Q(updated_at__gte=recently) | Q(created_at__gte=recently)
        total, going_on = rows.count(), rows.filter(is_going_on).exclude(status="finished").count()
        return going_on, total - going_on

    answers = ask_cells([cell], read)
    for missing in answers.missing:
        raise missing
    return answers.by_cell[cell]
