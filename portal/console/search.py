"""The search of the whole cloud that is in the header of every page of the console.

Apps register what they can find (``Console.register_search``).  All cells are asked side by side,
each once for everything, by look-ups that an index or the size of a table bounds.  What Nova's API
database maps to a cell is named even if the cell does not answer.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.admin import AdminSite
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from cells.locate import MAX_ID
from cells.models import HostMapping, InstanceMapping
from cells.registry import Cell, all_cells, cell_with_id
from cells.scatter_gather import ask_cells

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: How many rows of a kind are shown of each cell, and how many of all.
MAX_PER_CELL, MAX_SHOWN = 20, 100
#: How many are fetched: by one more it is known that there are more.
MAX_FETCHED = MAX_PER_CELL + 1
MAX_LENGTH = 255
UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Term:
    """What is searched for, and what it can be; a ``None`` says that it is no such thing."""

    text: str

    @property
    def uuid(self) -> str | None:
        if UUID.fullmatch(self.text) is None:
            return None
        digits = self.text.replace("-", "").lower()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    @property
    def number(self) -> int | None:
        is_number = self.text.isascii() and self.text.isdigit() and len(self.text) <= 10
        return int(self.text) if is_number and 0 < int(self.text) <= MAX_ID else None

    @property
    def address(self) -> str | None:
        try:
            return str(ipaddress.ip_address(self.text))
        except ValueError:
            return None

    def is_text(self, value: str | None) -> bool:
        """Whether a name is the term, whatever its case."""
        return value is not None and value.lower() == self.text.lower()


@dataclass(frozen=True)
class Hit:
    """A row that was found: ``why`` says by what, ``note`` says more of it.

    ``host`` is the compute host that it belongs to: what is exactly found and is all on one host
    leads to the page of the host.
    """

    kind: "StrOrPromise"
    name: str
    cell: Cell
    url: str
    why: "StrOrPromise"
    is_exact: bool
    host: str | None = None
    note: Any = ""


@dataclass(frozen=True)
class Found:
    """What a kind of rows has of the term in a cell; ``remark`` is what was not looked at."""

    hits: Sequence[Hit]
    remark: str = ""


#: What to ask each cell for a term; ``None`` if there cannot be anything.
Finder = Callable[[Term], Callable[[Cell], Found] | None]


@dataclass(frozen=True)
class SearchSource:
    """Something that can be found by users who have the permission."""

    find: Finder
    permission: str
    order: int


def search(request: HttpRequest, site: AdminSite, sources: Sequence[SearchSource]) -> HttpResponse:
    """What is found in all cells; a single thing that is found exactly is gone to at once."""
    term = Term(" ".join(request.GET.get("q", "").replace("\0", "").split())[:MAX_LENGTH])
    permitted = [source for source in sources if request.user.has_perm(source.permission)]
    finders = [ask for source in permitted if term.text and (ask := source.find(term))]
    answers = ask_cells(all_cells() if finders else (), lambda cell: [ask(cell) for ask in finders])
    by_source = list(zip(*answers.values(), strict=True))
    everything = [found for of_source in by_source for found in of_source]
    hits = [hit for found in everything for hit in found.hits[:MAX_PER_CELL]]
    hits.sort(key=lambda hit: not hit.is_exact)
    url = destination(term, hits, is_complete=answers.complete)
    if url:
        return HttpResponseRedirect(url)
    places, remarks = [], [found.remark for found in everything if found.remark]
    if answers.missing:
        silent = {unavailable.cell for unavailable in answers.missing}
        try:
            places = [place for place in mapped_places(term) if place.cell in silent]
        except DatabaseError:
            remarks.append(
                _(
                    "Nova's API database does not answer, so it is not known what is mapped to the "
                    "cells that are not responding."
                )
            )
    context = {
        **site.each_context(request),
        "title": _("Search"),
        "term": term.text,
        "hits": hits[:MAX_SHOWN],
        "has_more": len(hits) > MAX_SHOWN
        or any(len(found.hits) > MAX_PER_CELL for found in everything),
        "max_per_cell": MAX_PER_CELL,
        "max_shown": MAX_SHOWN,
        "remarks": list(dict.fromkeys(remarks)),
        "places": places,
        "missing": answers.missing,
    }
    return TemplateResponse(request, "admin/search.html", context)


def destination(term: Term, hits: Iterable[Hit], *, is_complete: bool) -> str:
    """The page of the one thing that was found exactly; empty if there is none, or are several.

    A host's service and hypervisor are one thing.  A number means something in every cell, so it is
    one thing only if no cell is missing.
    """
    exact = [hit for hit in hits if hit.is_exact]
    if not exact or (term.number is not None and not is_complete):
        return ""
    first, *others = exact
    if others and term.number is not None:
        return ""
    same = [hit for hit in others if hit.kind == first.kind]
    elsewhere = [hit for hit in others if hit.host is None or hit.host != first.host]
    if same or elsewhere or any(hit.cell != first.cell for hit in others):
        return ""
    return first.url


@dataclass(frozen=True)
class Place:
    """What Nova's API database says of where something is."""

    text: str
    cell: Cell


def mapped_places(term: Term) -> list[Place]:
    """The cells that a server with this uuid, or a host with this name, is mapped to."""
    places = []
    if term.uuid:
        rows = InstanceMapping.objects.filter(instance_uuid=term.uuid, cell__isnull=False)
        for cell_id in rows.values_list("cell_id", flat=True):
            if (cell := cell_with_id(cell_id)) is not None:
                words = _("The server %(name)s is in %(cell)s, which is not responding.")
                places.append(Place(words % {"name": term.uuid, "cell": cell}, cell))
    elif term.text:
        hosts = HostMapping.objects.filter(host__same_text=term.text)
        for cell_id in hosts.values_list("cell_id", flat=True):
            if (cell := cell_with_id(cell_id)) is not None:
                words = _("The host %(name)s is in %(cell)s, which is not responding.")
                places.append(Place(words % {"name": term.text, "cell": cell}, cell))
    return places
