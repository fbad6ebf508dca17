"""What is known of the services of a cell that does not answer: the hosts mapped to it."""

from collections.abc import Mapping, Sequence

from cells.executors import CellUnavailable
from cells.models import HostMapping
from cells.registry import Cell
from services.models import NOVA_COMPUTE


def compute_hosts_in(
    missing: Sequence[CellUnavailable], query: Mapping[str, str]
) -> dict[Cell, list[str]]:
    """The hosts mapped to each of these cells, as far as ``query`` (``host``, ``binary``) asks for
    their nova-compute.
    """
    if not missing or query.get("binary") not in (None, "", NOVA_COMPUTE):
        return {}
    mappings = HostMapping.objects.filter(cell_id__in=[away.cell.id for away in missing])
    if query.get("host"):
        mappings = mappings.filter(host__same_text=query["host"])
    hosts: dict[int, list[str]] = {}
    for cell_id, host in mappings.order_by("id").values_list("cell_id", "host"):
        hosts.setdefault(cell_id, []).append(host)
    return {away.cell: hosts.get(away.cell.id, []) for away in missing}
