"""Finding services by host, uuid or integer id, for the console's search."""

from collections.abc import Callable
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cells.fields import flag
from cells.locate import key_from
from cells.registry import Cell
from cells.statements import Statement
from portal.console.search import MAX_FETCHED, Found, Hit, Term
from services.models import API_BINARIES, Service

KIND = gettext_lazy("service")


def find_services(term: Term) -> Callable[[Cell], Found]:
    """The services of hosts whose name begins with the term, and those with its uuid or id."""
    exact = Q(host__iexact=term.text)
    if term.uuid:
        exact |= Q(uuid=term.uuid)
    if term.number:
        exact |= Q(id=term.number)
    rows: Any = Service.objects.exclude(binary__in=API_BINARIES).annotate(exact=flag(exact))
    rows = rows.filter(exact | Q(host__istartswith=term.text)).order_by("-exact", "host", "id")
    statement = Statement(rows.values_list("id", "uuid", "host", "binary")[:MAX_FETCHED])

    def find(cell: Cell) -> Found:
        return Found([_hit(cell, term, *row) for row in statement.rows(cell.alias)])

    return find


def _hit(
    cell: Cell, term: Term, row_id: int, uuid: str | None, host: str | None, binary: str | None
) -> Hit:
    if row_id == term.number:
        why, is_exact = _("id %(id)d in its cell") % {"id": row_id}, True
    elif uuid is not None and uuid == term.uuid:
        why, is_exact = _("uuid"), True
    else:
        why, is_exact = _("host"), term.is_text(host)
    return Hit(
        kind=KIND,
        name=_("%(binary)s on %(host)s") % {"binary": binary, "host": host},
        cell=cell,
        url=reverse("admin:services_service_change", args=[key_from(cell, uuid, row_id)]),
        why=why,
        is_exact=is_exact,
        host=host,
    )
