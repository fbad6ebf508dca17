"""Finding hypervisors and servers, for the console's search."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cells.fields import flag
from cells.locate import MAX_ID, key_from
from cells.registry import Cell
from cells.statements import Statement
from hypervisors.models import ComputeNode, Instance
from portal.console.search import MAX_FETCHED, Found, Hit, Term

HYPERVISOR, SERVER = gettext_lazy("hypervisor"), gettext_lazy("server")

#: Nova has no index of the names of servers: so many of the newest are looked at in each cell.
NEWEST = 50_000
#: Nova's names of servers on their hosts, with ``instance_name_template``'s default.
NAME_ON_HOST = re.compile(r"instance-([0-9a-f]{8})", re.IGNORECASE)


def find_hypervisors(term: Term) -> Callable[[Cell], Found]:
    """Those whose name or host begins with the term, and those with its address, uuid or id."""
    exact = Q(hypervisor_hostname__iexact=term.text) | Q(host__iexact=term.text)
    if term.uuid:
        exact |= Q(uuid=term.uuid)
    if term.number:
        exact |= Q(id=term.number)
    if term.address:
        exact |= Q(host_ip=term.address)
    begins = Q(hypervisor_hostname__istartswith=term.text) | Q(host__istartswith=term.text)
    rows: Any = ComputeNode.objects.annotate(exact=flag(exact)).filter(exact | begins)
    rows = rows.order_by("-exact", "hypervisor_hostname", "id")
    columns = ("id", "uuid", "hypervisor_hostname", "host", "host_ip", "exact")
    statement = Statement(rows.values_list(*columns)[:MAX_FETCHED])

    def find(cell: Cell) -> Found:
        return Found([_hypervisor(cell, term, *row) for row in statement.rows(cell.alias)])

    return find


def _hypervisor(
    cell: Cell,
    term: Term,
    row_id: int,
    uuid: str | None,
    name: str | None,
    host: str | None,
    address: str | None,
    exact: int,
) -> Hit:
    if row_id == term.number:
        why = _("id %(id)d in its cell") % {"id": row_id}
    elif uuid and uuid == term.uuid:
        why = _("uuid")
    elif exact and not term.is_text(name) and not term.is_text(host):
        why = _("IP address")
    else:
        why = _("host")
    return Hit(
        kind=HYPERVISOR,
        name=name or uuid or str(row_id),
        cell=cell,
        url=_page(cell, uuid, row_id),
        why=why,
        is_exact=bool(exact),
        host=host,
        note=", ".join(filter(None, (host if host != name else "", address))),
    )


def _page(cell: Cell, uuid: str | None, row_id: int) -> str:
    return reverse("admin:hypervisors_computenode_change", args=[key_from(cell, uuid, row_id)])


# --- servers --------------------------------------------------------------------------------------

COLUMNS = ("id", "uuid", "display_name", "host", "node", "vm_state", "deleted")


def find_servers(term: Term) -> Callable[[Cell], Found]:
    """The server with that uuid, deleted or not, and those with that name or name on their host.

    Names are looked for among the newest servers of each cell only.
    """
    name_on_host = NAME_ON_HOST.fullmatch(term.text)
    row_id = int(name_on_host[1], 16) if name_on_host else 0
    everything: Any = Instance.with_deleted.values_list(*COLUMNS)
    if term.uuid:
        return _with_statement(Statement(everything.filter(uuid=term.uuid)), _("uuid"))
    if 0 < row_id <= MAX_ID:
        by_id = Statement(everything.filter(id=row_id, deleted=0))
        return _with_statement(by_id, _("name on its host"))
    newest = Instance.objects.order_by("-created_at").values_list("created_at", flat=True)
    boundary = Statement(newest[NEWEST : NEWEST + 1])
    named: Any = Instance.objects.filter(display_name__same_text=term.text).values_list(*COLUMNS)

    def find(cell: Cell) -> Found:
        oldest = boundary.rows(cell.alias)
        rows = named.using(cell.alias)
        if not oldest:
            return Found(_servers(cell, rows[:MAX_FETCHED], _("name")))
        rows = rows.filter(created_at__gt=oldest[0])
        remark = _("Only the %(n)d newest servers of a cell are looked for by name.")
        return Found(_servers(cell, rows[:MAX_FETCHED], _("name")), remark % {"n": NEWEST})

    return find


def _with_statement(statement: Statement, why: str) -> Callable[[Cell], Found]:
    return lambda cell: Found(_servers(cell, statement.rows(cell.alias), why))


def _servers(cell: Cell, rows: Iterable[Any], why: str) -> list[Hit]:
    servers = [Instance(**dict(zip(COLUMNS, row, strict=True))) for row in rows]
    pages = _pages_of_hosts(cell, {server.host for server in servers if server.host})
    return [
        Hit(
            kind=SERVER,
            name=str(server),
            cell=cell,
            url=_server_url(server, pages),
            why=why,
            is_exact=True,
            note=_note(server),
        )
        for server in servers
    ]


def _note(server: Instance) -> str:
    if server.deleted:
        return _("deleted")
    state = server.vm_state or ""
    if not server.host:
        return _("%(state)s, on no host") % {"state": state}
    return _("%(state)s, on %(host)s") % {"state": state, "host": server.host}


def _server_url(server: Instance, pages: dict[tuple[str, str | None], str]) -> str:
    """Its place on the page of its hypervisor; empty if it has none."""
    page = pages.get((server.host or "", server.node)) or pages.get((server.host or "", None))
    return (
        f"{page}?server={server.uuid}#server-{server.uuid}" if page and not server.deleted else ""
    )


def _pages_of_hosts(cell: Cell, hosts: set[str]) -> dict[tuple[str, str | None], str]:
    """The pages of the hypervisors of hosts, by host and name; without a name, of any of them."""
    if not hosts:
        return {}
    nodes = ComputeNode.objects.using(cell.alias).filter(host__in=hosts)
    pages: dict[tuple[str, str | None], str] = {}
    for row_id, uuid, host, name in nodes.values_list("id", "uuid", "host", "hypervisor_hostname"):
        pages[host, name] = pages[host, None] = _page(cell, uuid, row_id)
    return pages
