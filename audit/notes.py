"""The notes that people leave at hosts."""

from collections.abc import Iterable

from django import forms
from django.utils.translation import gettext_lazy as _

from audit.models import Note
from cells.registry import Cell
from portal.console.forms import WholeTextMixin


class NoteForm(WholeTextMixin, forms.ModelForm):  # type: ignore[type-arg]
    """A note to leave at a host."""

    ticket = forms.URLField(
        label=_("Link to a ticket"), required=False, max_length=500, assume_scheme="https"
    )

    class Meta:
        model = Note
        fields = ("text", "back_on", "ticket")
        widgets = {
            "back_on": forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        }


def open_notes(places: Iterable[tuple[Cell, str | None]]) -> dict[tuple[str, str], Note]:
    """The latest note at each of these hosts that is not cleared, by the cell's uuid and host."""
    wanted = {(cell.uuid, host) for cell, host in places if host}
    if not wanted:
        return {}
    notes = Note.objects.filter(cleared_at=None, host__in={host for _uuid, host in wanted})
    found = {(note.cell_uuid, note.host): note for note in reversed(notes)}
    return {place: found[place] for place in wanted & found.keys()}
