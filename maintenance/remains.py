"""What is left of a host after its service has been deleted."""

from cells.models import AggregateHost, HostMapping
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from hypervisors.models import ComputeNode
from services.models import NOVA_COMPUTE, Service


def remains_of(cell: Cell, host: str) -> list[str]:
    """What Nova's tables still have of the host, in words.  Raises ``CellUnavailable``."""

    def read(cell: Cell) -> list[str]:
        services = Service.objects.using(cell.alias).filter(host=host, binary=NOVA_COMPUTE)
        nodes = ComputeNode.objects.using(cell.alias).filter(host=host)
        return [f"service {service.uuid or service.id}" for service in services] + [
            f"compute node {node.uuid or node.id}" for node in nodes
        ]

    answers = ask_cells([cell], read)
    for missing in answers.missing:
        raise missing
    remains = answers.by_cell[cell]
    if HostMapping.objects.filter(host=host).exists():
        remains.append("host mapping")
    memberships = AggregateHost.objects.filter(host=host).select_related("aggregate")
    remains += [f"aggregate {membership.aggregate}" for membership in memberships]
    return remains
