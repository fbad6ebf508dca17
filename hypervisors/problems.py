"""What can be wrong with a compute node, as conditions for lists; the whole is in ``fleet``."""

import datetime
import time

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from cells.registry import Cell, cell_ids_of_hosts, compute_cells
from cells.scatter_gather import AcrossCells
from hypervisors.models import ComputeNode
from portal.console.filters import Label
from services.models import up_at
from services.problems import service_flags

NO_SERVICE, UNMAPPED, STALE = "no-service", "unmapped", "stale"


def node_flags(now: datetime.datetime) -> dict[str, tuple[Label, Q]]:
    """The problems of a compute node that its cell's database knows of: name and condition."""
    stale_before = now - datetime.timedelta(hours=settings.NODE_STALE_HOURS)
    return {
        NO_SERVICE: (_("compute node without a service"), Q(service__id=None)),
        STALE: (
            _("service up but node stale"),
            up_at(now, "service__") & Q(updated_at__lt=stale_before),
        ),
        **service_flags(now, "service__"),
    }


class _Unmapped:
    """Hosts that no mapping names, by cell; looked for again when they are older than a minute."""

    SECONDS = 60

    def __init__(self) -> None:
        self.hosts: dict[Cell, list[str]] = {}
        self.read_at = float("-inf")

    def read(self) -> None:
        nodes = ComputeNode.objects.filter(host__isnull=False).order_by()
        answers = AcrossCells(
            nodes.values_list("host", flat=True).distinct(), compute_cells()
        ).all()
        mapped = cell_ids_of_hosts()
        self.hosts = {
            cell: sorted(host for host in hosts if host not in mapped)
            for cell, hosts in answers.by_cell.items()
        }
        self.read_at = time.monotonic()


_unmapped = _Unmapped()


def find_unmapped_hosts() -> None:
    """Bring what ``unmapped_hosts_in`` knows up to date."""
    if time.monotonic() - _unmapped.read_at > _Unmapped.SECONDS:
        _unmapped.read()


def unmapped_hosts_in(cell: Cell) -> list[str]:
    """The hosts of the cell's compute nodes that are mapped to no cell, as last looked for."""
    return _unmapped.hosts.get(cell, [])
