"""What a maintenance is about, and in whose name it acts."""

from audit.journal import Actor
from audit.models import Channel
from cells.registry import Cell, cell_with_uuid
from maintenance.models import Maintenance
from services.locate import ServiceRef


def cell_of(maintenance: Maintenance) -> Cell | None:
    """The cell of the host, unless its mapping is gone."""
    return cell_with_uuid(maintenance.cell_uuid)


def ref_of(maintenance: Maintenance) -> ServiceRef:
    """What names the service."""
    key = maintenance.service_key
    if ":" not in key:
        return ServiceRef(uuid=key, text=maintenance.host)
    return ServiceRef(id=int(key.rpartition(":")[2]), cell=cell_of(maintenance))


def actor_of(maintenance: Maintenance, username: str = "") -> Actor:
    """Who acts when the maintenance does: who requested it, or ``username``."""
    return Actor(
        username=username or maintenance.username,
        channel=Channel(maintenance.channel),
        request_id=maintenance.request_id,
        remote_address=maintenance.remote_address,
    )
