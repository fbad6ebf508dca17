"""What is known of the services of a cell that does not answer: the hosts mapped to it."""

from collections.abc import Mapping, Sequence

from django.db import DatabaseError

from cells.executors import CellUnavailable
from cells.models import HostMapping
from cells.registry import Cell, cell_ids_of_hosts
from services.models import NOVA_COMPUTE


def compute_hosts_in(
    missing: Sequence[CellUnavailable], query: Mapping[str, str]
) -> dict[Cell, list[str]]:
    """The hosts mapped to each of these cells, as far as ``query`` (``host``, ``binary``) asks for
    their nova-compute.  As last read while the API database does not answer.
    """
    if not missing or query.get("binary") not in (None, "", NOVA_COMPUTE):
        return {}
    cell_ids = {away.cell.id for away in missing}
    mappings = HostMapping.objects.filter(cell_id__in=cell_ids)
    if query.get("host"):
        mappings = mappings.filter(host__same_text=query["host"])
    hosts: dict[int, list[str]] = {}
    try:
        pairs = list(mappings.order_by("id").values_list("cell_id", "host"))
    except DatabaseError:
        pairs = [
            (cell_id, host)
            for host, cell_id in cell_ids_of_hosts().items()
            if cell_id in cell_ids and query.get("host") in (None, "", host)
        ]
    for cell_id, host in pairs:
        hosts.setdefault(cell_id, []).append(host)
    return {away.cell: hosts.get(away.cell.id, []) for away in missing}
