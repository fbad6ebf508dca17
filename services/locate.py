"""Finding the service that an action is about."""

from dataclasses import dataclass

from django.utils.translation import gettext_noop

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
            words = gettext_noop("Could not find binary %(binary)s on host %(host)s.")
            return Missing(words % {"binary": self.binary, "host": self.host})
        return Missing(gettext_noop("Service %(name)s could not be found.") % {"name": self})


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
        words = gettext_noop("Service id %(id)s refers to multiple services.")
        raise Invalid(words % {"id": ref}) from None
    except MayBeMissing as error:
        words = gettext_noop("It may be in a cell that does not answer: %(cause)s")
        raise Unavailable(words % {"cause": error}) from None


def _by_host(ref: ServiceRef) -> Found[Service]:
    """The service of that host in the cell that the host is mapped to."""
    mapping = HostMapping.objects.filter(host__same_text=ref.host).first()
    if mapping is None:
        words = gettext_noop("Host '%(host)s' is not mapped to any cell")
        raise Missing(words % {"host": ref.host})
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
