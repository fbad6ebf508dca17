"""The page from which services without a uuid are given one."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.journal import actor_of
from audit.models import Channel, Entry
from cells.registry import Cell
from portal.console.admin import AcrossCellsAdmin
from services import backfill_tasks
from services.backfill import services_without_uuid
from services.backfill_tasks import Backfill

URL_NAME = "services_service_backfill"
#: How many of the latest backfills that have ended are shown.
LATEST = 10


@dataclass(frozen=True)
class CellRow:
    """A cell: how many of its services have no uuid, and the backfill that is under way."""

    cell: Cell
    without_uuid: int
    backfill: Backfill | None


def backfill(request: HttpRequest, model_admin: AcrossCellsAdmin) -> HttpResponse:
    """Show how many services have no uuid; start backfills (of ``cell``, or of all) by POST."""
    if not request.user.has_perm("services.change_service"):
        raise PermissionDenied
    counts = services_without_uuid()
    under_way = backfill_tasks.running()
    rows = [
        CellRow(cell, count, under_way.get(cell.uuid))
        for cell, count in counts.by_cell.items()
        if count or cell.uuid in under_way
    ]
    if request.method == "POST":
        _start(request, rows)
        return HttpResponseRedirect(reverse(f"admin:{URL_NAME}"))
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "list_url": reverse("admin:services_service_changelist"),
        "title": _("Give uuids to services"),
        "rows": rows,
        "missing": counts.missing,
        "may_start": any(row.backfill is None for row in rows),
        "is_under_way": any(row.backfill is not None for row in rows),
        "stands_still": any(row.backfill and row.backfill.stands_still for row in rows),
    }
    if request.user.has_perm("audit.view_entry"):
        ended = Entry.objects.filter(action=backfill_tasks.ACTION)
        context["ended"] = list(ended.order_by("-at")[:LATEST])
    return TemplateResponse(request, "admin/services/service/backfill.html", context)


def _start(request: HttpRequest, rows: list[CellRow]) -> None:
    actor = actor_of(request, Channel.CONSOLE)
    wanted = request.POST.get("cell", "")
    started = 0
    for row in rows:
        if wanted not in ("", row.cell.uuid):
            continue
        if row.backfill is None:
            backfill_tasks.start(actor, row.cell, row.without_uuid)
            started += 1
        elif row.backfill.stands_still:
            backfill_tasks.go_on(row.backfill)
            started += 1
    if started:
        said = ngettext("Started in %(n)d cell.", "Started in %(n)d cells.", started)
        messages.success(request, said % {"n": started})
    else:
        messages.info(request, _("There is nothing to start."))
