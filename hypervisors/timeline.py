"""What happened to a host: the audit, notes, and migrations from and to it, in one line of time."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.models import Entry, Note
from audit.notes import NoteForm, open_notes
from audit.undoing import undo_url, undone_by
from cells.registry import Cell
from cells.scatter_gather import ask_cells
from hypervisors.models import Migration
from portal.console.site import Panel
from portal.console.stored_texts import translated
from services.models import Service

#: How many events of each kind a page shows.
EVENTS = 20


@dataclass(frozen=True)
class Event:
    """Something that happened; ``kind`` is that of a badge, and ``what`` its text.

    ``url`` leads to all of it, ``undo`` to where it can be taken back, ``ticket`` elsewhere;
    ``undone_by`` is the entry that took it back.
    """

    at: datetime.datetime
    kind: str
    what: str
    who: str = ""
    text: str = ""
    url: str = ""
    undo: str = ""
    undone_by: Entry | None = None
    ticket: str = ""


def timeline_panel(request: HttpRequest, cell: Cell, row: Any) -> Panel | None:
    """The timeline of the row's host, with a form to leave a note; ``None`` if it has no host."""
    if not row.host:
        return None
    may = request.user.has_perm
    may_see_servers = may("hypervisors.view_instance")
    answers = ask_cells([cell], lambda cell: list(_events_in(cell, row.host, may_see_servers)))
    events = answers.by_cell.get(cell, [])
    if may("audit.view_entry"):
        events += _entries(request, row.host)
    note = None
    if may("audit.view_note"):
        events += _notes(cell, row.host)
        note = open_notes([(cell, row.host)]).get((cell.uuid, row.host))
    context = {
        "host": row.host,
        "cell": cell,
        "events": sorted(events, key=lambda event: event.at, reverse=True),
        "missing": answers.missing,
        "note": note,
        "form": NoteForm(auto_id="note-%s") if may("audit.add_note") else None,
        "may_clear": may("audit.change_note"),
        "audit_url": (
            f"{reverse('admin:audit_entry_changelist')}?{urlencode({'q': row.host})}"
            if may("audit.view_entry")
            else ""
        ),
    }
    return Panel("admin/hypervisors/timeline.html", context)


def _entries(request: HttpRequest, host: str) -> Iterator[Event]:
    kinds = {"done": "good", "refused": "off", "failed": "bad", "unknown": "unknown"}
    entries = list(Entry.objects.filter(host=host)[:EVENTS])
    undone = undone_by(entries)
    for entry in entries:
        reason = (entry.after or {}).get("disabled_reason")
        yield Event(
            at=entry.at,
            kind=kinds[entry.outcome],
            what=f"{translated(entry.action)} {entry.binary}".strip(),
            who=entry.username,
            text=" ".join(
                filter(
                    None,
                    (
                        "" if entry.outcome == "done" else entry.get_outcome_display(),
                        f"“{reason}”" if reason else "",
                        translated(entry.message),
                    ),
                )
            ),
            url=reverse("admin:audit_entry_change", args=[entry.pk]),
            undo="" if entry.pk in undone else undo_url(request.user, [entry]),
            undone_by=undone.get(entry.pk),
        )


def _notes(cell: Cell, host: str) -> Iterator[Event]:
    for note in Note.objects.filter(cell_uuid=cell.uuid, host=host)[:EVENTS]:
        back_on = _("back on %(date)s") % {"date": note.back_on.isoformat()} if note.back_on else ""
        text = ", ".join(filter(None, (note.text, back_on)))
        yield Event(note.created_at, "off", _("note"), note.username, text, ticket=note.ticket)
        if note.cleared_at is not None:
            yield Event(note.cleared_at, "off", _("note cleared"), note.cleared_by, note.text)


def _events_in(cell: Cell, host: str, may_see_servers: bool) -> Iterator[Event]:
    """What the cell knows: since when its services are down, and where its servers went."""
    now = timezone.now()
    for service in Service.objects.using(cell.alias).filter(host=host, last_seen_up__isnull=False):
        if not service.is_reporting(now):
            yield Event(service.last_seen_up, "bad", _("last heartbeat"), text=str(service.binary))
    seen: set[int] = set()
    for side in ("source_compute", "dest_compute") if may_see_servers else ():
        migrations: Any = Migration.objects.using(cell.alias).filter(**{side: host})
        for one in migrations.annotate(at=Coalesce("updated_at", "created_at")).order_by("-id")[
            :EVENTS
        ]:
            if one.id not in seen and one.at is not None:
                seen.add(one.id)
                yield _of_migration(one, host)


def _of_migration(migration: Any, host: str) -> Event:
    if migration.status in Migration.FAILED:
        kind = "bad"
    else:
        kind = "good" if migration.status in Migration.FINISHED else "warning"
    words = _("%(server)s from %(source)s to %(dest)s: %(status)s") % {
        "server": migration.instance_uuid,
        "source": migration.source_compute or "?",
        "dest": migration.dest_compute or "?",
        "status": migration.status,
    }
    return Event(migration.at, kind, str(migration.migration_type or _("migration")), text=words)
