"""Asking nova-compute for its host's uptime, which only some drivers report with the node.

One call per request, and never for a list: Nova asks each hypervisor of a list in turn.
"""

from audit.journal import Actor
from cells.registry import Cell
from cloud import clients
from services.trait_sync import identity_of


def ask_uptime(cell: Cell, host: str, actor: Actor) -> str | None:
    """What ``uptime`` prints on the host; ``None`` where there is no message bus to ask over.

    Raises a ``CloudError``, among them ``NotSupported``.
    """
    rpc = clients.compute_rpc()
    if rpc is None or not rpc.has_transport(cell):
        return None
    return rpc.get_host_uptime(cell, host, identity_of(actor), actor.request_id)
