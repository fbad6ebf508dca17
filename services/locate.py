"""Finding the service that an action is about."""

from dataclasses import dataclass

from cells.locate import Ambiguous, Found, MayBeMissing, NotFound, by_id, by_uuid
from cells.models import HostMapping
from cells.registry import Cell, cell_with_id, forget_cells
from cells.scatter_gather import AcrossCells
from services.exceptions import Invalid, Missing, Unavailable
from services.models import Service


@dataclass(frozen=True)
class ServiceRef:
    """Which service is meant: by ``uuid``, by ``host`` and ``binary``, or by ``id``.

    With ``cell``, ``id`` is that cell's; without it the id must be the only one of all cells.
    ``text`` is how the caller wrote it, for messages.
    """

    uuid: str = ""
    host: str = ""
    binary: str = ""
    id: int | None = None
    cell: Cell | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.uuid or (str(self.id) if self.id is not None else self.host)

    def missing(self) -> Missing:
        """The refusal that says that there is no such service, in Nova's words."""
        if self.binary:
            return Missing(f"Could not find binary {self.binary} on host {self.host}.")
        return Missing(f"Service {self} could not be found.")


def ref_to(cell: Cell, service: Service) -> ServiceRef:
    """What names a service that was read: its uuid, or its cell and id while it has none."""
    return ServiceRef(uuid=service.uuid) if service.uuid else ServiceRef(id=service.id, cell=cell)


def find(ref: ServiceRef) -> Found[Service]:
    """The service that is meant.  Raises ``Missing``, ``Invalid`` or ``Unavailable``."""
    services = AcrossCells(Service.objects.all(), [ref.cell] if ref.cell else None)
    try:
        if ref.uuid:
            return by_uuid(services, ref.uuid)
        if ref.id is not None:
            return by_id(services, ref.id)
        return _by_host(ref)
    except NotFound:
        raise ref.missing() from None
    except Ambiguous:
        raise Invalid(f"Service id {ref} refers to multiple services.") from None
    except MayBeMissing as error:
        raise Unavailable(f"It may be in a cell that does not answer: {error}") from None


def _by_host(ref: ServiceRef) -> Found[Service]:
    """The service of that host in the cell that the host is mapped to."""
    mapping = HostMapping.objects.filter(host__same_text=ref.host).first()
    if mapping is None:
        raise Missing(f"Host '{ref.host}' is not mapped to any cell")
    cell = cell_with_id(mapping.cell_id)
    if cell is None:  # a cell that was mapped after the mappings were last read
        forget_cells()
        cell = cell_with_id(mapping.cell_id)
    rows = Service.objects.filter(host__same_text=ref.host, binary__same_text=ref.binary)
    answers = AcrossCells(rows, [cell] if cell else []).ask(lambda queryset: queryset.first())
    if answers.missing:
        raise MayBeMissing(answers.missing)
    for answered, row in answers.by_cell.items():
        if row is not None:
            return Found(answered, row)
    raise NotFound(ref.host)
