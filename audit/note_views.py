"""Leaving a note at a host, and clearing it."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_POST

from audit.models import Note
from audit.notes import NoteForm
from cells.registry import all_cells


@require_POST
def leave(request: HttpRequest) -> HttpResponse:
    """Leave a note at the host of a cell that the form names."""
    if not request.user.has_perm("audit.add_note"):
        raise PermissionDenied
    host, cell_uuid = request.POST.get("host", ""), request.POST.get("cell", "")
    if not 0 < len(host) <= 255 or cell_uuid not in {cell.uuid for cell in all_cells()}:
        raise BadRequest(gettext_noop("no such host"))
    form = NoteForm(request.POST)
    if form.is_valid():
        note: Any = form.save(commit=False)
        note.host, note.cell_uuid, note.username = host, cell_uuid, request.user.get_username()
        note.save()
        messages.success(request, _("The note was left at %(host)s.") % {"host": host})
    else:
        for name, errors in form.errors.items():
            label = form.fields[name].label or name
            messages.error(request, f"{label}: {' '.join(map(str, errors))}")
    return _back(request)


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
    """To the page of this console that the form was on."""
    url = request.POST.get("back", "")
    if not url.startswith("/") or not url_has_allowed_host_and_scheme(url, {request.get_host()}):
        url = reverse("admin:index")
    return HttpResponseRedirect(url)
