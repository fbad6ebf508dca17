"""Leaving a note at a host, and clearing it."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_POST

from audit.models import Note
from audit.notes import NoteForm
from cells.registry import all_cells
from portal.console.site import console

#: What of a note is found again by who has to log in before it can be left.
FORM_FIELDS = ("host", "cell", "back", *NoteForm.base_fields)


def leave(request: HttpRequest) -> HttpResponse:
    """Leave a note at the host of a cell that the form names; one with mistakes is shown again."""
    is_sent = request.method == "POST"
    params = request.POST if is_sent else request.GET
    if not request.user.has_perm("audit.add_note"):
        raise PermissionDenied
    host, cell_uuid = params.get("host", ""), params.get("cell", "")
    if not 0 < len(host) <= 255 or cell_uuid not in {cell.uuid for cell in all_cells()}:
        raise BadRequest(gettext_noop("no such host"))
    chosen: dict[str, Any] = {"data": params} if is_sent else {"initial": params.dict()}
    form = NoteForm(**chosen, auto_id="note-%s")
    if form.is_valid():
        note: Any = form.save(commit=False)
        note.host, note.cell_uuid, note.username = host, cell_uuid, request.user.get_username()
        note.save()
        messages.success(request, _("The note was left at %(host)s.") % {"host": host})
        return _back(request)
    context = {
        **console.each_context(request),
        "title": _("Leave a note at %(host)s") % {"host": host},
        "form": form,
        "host": host,
        "cell_uuid": cell_uuid,
        "back": _back_url(params),
    }
    return TemplateResponse(request, "admin/audit/leave_note.html", context)


@require_POST
def clear(request: HttpRequest, note_id: int) -> HttpResponse:
    """Clear a note, which stays in the host's history."""
    if not request.user.has_perm("audit.change_note"):
        raise PermissionDenied
    cleared = {"cleared_at": timezone.now(), "cleared_by": request.user.get_username()}
    if Note.objects.filter(id=note_id, cleared_at=None).update(**cleared):
        messages.success(request, _("The note was cleared."))
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(_back_url(request.POST))


def _back_url(params: QueryDict) -> str:
    """The page of this console that the form was on."""
    url = params.get("back", "")
    is_own = url.startswith("/") and url_has_allowed_host_and_scheme(url, None)
    return url if is_own else reverse("admin:index")
