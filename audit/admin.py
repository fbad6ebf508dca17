"""The audit in the console, to be read, searched and exported."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, ngettext

from audit.models import Entry, Outcome
from audit.undoing import undo_url, undone_by
from portal.console.admin import BoundedQueryMixin, ReadOnlyAdminMixin
from portal.console.export import CHUNK_SIZE, csv_response
from portal.console.html import DASH, badge, moment
from portal.console.stored_texts import translated

BADGES = {
    Outcome.DONE: "good",
    Outcome.REFUSED: "off",
    Outcome.FAILED: "bad",
    Outcome.UNKNOWN: "unknown",
}
#: Fields that the page of an entry shows formatted, and the methods that do so.
FORMATTED = {
    "at": "when",
    "action": "action_text",
    "message": "message_text",
    "before": "before_text",
    "after": "after_text",
}
#: Unicode's bidirectional classes of letters and controls that turn the direction of text.
FROM_RIGHT = {"R", "AL", "RLE", "RLO", "RLI"}
#: The URL name of the list.
LIST = "audit_entry_changelist"
EXPORTED = tuple(field.name for field in Entry._meta.concrete_fields if field.name != "id")


class CellNameFilter(admin.AllValuesFieldListFilter):
    """By cell; entries about a service that was not found have none."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield choice | {"display": choice["display"] or _("none")}


class ActionFilter(admin.AllValuesFieldListFilter):
    """By action, in the reader's language."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield choice | {"display": translated(choice["display"])}


class EntryChangeList(ChangeList):
    """Entries, of which those of a bulk action are one row, unless some are looked for."""

    @property
    def is_narrowed(self) -> bool:
        """Whether entries are looked for by anything but their time."""
        dates = f"{self.date_hierarchy}{LOOKUP_SEP}"
        return bool(self.query) or any(not name.startswith(dates) for name in self.filter_params)

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> "QuerySet[Entry]":
        entries: QuerySet[Entry] = super().get_queryset(request, exclude_parameters)
        is_list = request.resolver_match and request.resolver_match.url_name == LIST
        return entries if self.is_narrowed or not is_list else entries.filter(bulk_position__lte=1)

    def get_results(self, request: HttpRequest) -> None:
        """Count the outcomes of each bulk action, which its row shows."""
        super().get_results(request)
        bulks: dict[tuple[str, str], Counter[str]] = {}
        if not self.is_narrowed:
            heads: list[Any] = [entry for entry in self.result_list if entry.bulk_size]
            for entry in heads:
                entry.bulk = bulks.setdefault((entry.request_id, entry.action), Counter())
        entries = Entry.objects.filter(request_id__in={key[0] for key in bulks}, bulk_size__gt=0)
        counts = entries.order_by().values_list("request_id", "action", "outcome")
        for request_id, action, outcome, count in counts.annotate(count=Count("id")):
            bulks[request_id, action][outcome] += count


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdminMixin, BoundedQueryMixin):
    """Audit entries; none can be added, changed or deleted."""

    list_display = (
        "when",
        "username",
        "action_text",
        "service",
        "cell",
        "result",
        "change",
        "channel",
    )
    list_display_links = ("when",)
    list_filter = (
        "outcome",
        ("action", ActionFilter),
        "channel",
        ("cell_name", CellNameFilter),
        "username",
    )
    search_fields = (
        "username",
        "host",
        "service_uuid",
        "request_id",
        "message",
        "cell_name",
        "subject",
    )
    search_help_text = _("User, host, uuid, request id or message")
    date_hierarchy = "at"
    list_per_page = 100
    actions = None
    show_full_result_count = False
    change_list_template = "admin/audit/change_list.html"
    change_form_template = "admin/audit/change_form.html"
    fields: ClassVar[tuple[str, ...]] = tuple(FORMATTED.get(name, name) for name in EXPORTED)
    readonly_fields = tuple(FORMATTED.values())

    @admin.display(description=_("When"), ordering="at")
    def when(self, entry: Entry) -> str:
        return moment(entry.at)

    @admin.display(description=_("Action"), ordering="action")
    def action_text(self, entry: Entry) -> str:
        return translated(entry.action)

    @admin.display(description=_("Message"))
    def message_text(self, entry: Entry) -> str:
        return translated(entry.message) or DASH

    @admin.display(description=_("Subject"), ordering="host")
    def service(self, entry: Entry) -> str:
        if (bulk := getattr(entry, "bulk", None)) is not None:
            return ngettext("%(n)d service", "%(n)d services", bulk.total()) % {"n": bulk.total()}
        return format_html("{} {}", entry.host or entry.service_uuid or entry.subject, entry.binary)

    @admin.display(description=_("Cell name"), ordering="cell_name")
    def cell(self, entry: Entry) -> str:
        return DASH if hasattr(entry, "bulk") else entry.cell_name or DASH

    @admin.display(description=_("Outcome"), ordering="outcome")
    def result(self, entry: Entry) -> str:
        if (bulk := getattr(entry, "bulk", None)) is not None:
            badges = ((_outcome_badge(Outcome(name)), count) for name, count in bulk.items())
            return format_html_join(" ", "{} {}", badges)
        shown = _outcome_badge(Outcome(entry.outcome))
        return format_html("{} {}", shown, translated(entry.message)) if entry.message else shown

    @admin.display(description=_("Change"))
    def change(self, entry: Entry) -> str:
        return DASH if hasattr(entry, "bulk") else changes(entry) or DASH

    @admin.display(description=_("Before"))
    def before_text(self, entry: Entry) -> str:
        return _as_text(entry.before)

    @admin.display(description=_("After"))
    def after_text(self, entry: Entry) -> str:
        return _as_text(entry.after)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EntryChangeList

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With the other entries of a bulk action, and what is needed to take it back."""
        entry: Entry = context["original"]
        of_bulk: list[Any] = list(_of_bulk(entry)) if entry.bulk_size else []
        undone = undone_by(of_bulk or [entry])
        for part in of_bulk:
            part.undone_by = undone.get(part.pk)
            part.undo_url = "" if part.undone_by else undo_url(request.user, [part])
        left = [one for one in of_bulk or [entry] if one.pk not in undone]
        context |= {
            "subtitle": _("%(action)s %(subject)s by %(user)s")
            % {
                "action": translated(entry.action),
                "subject": entry.host or entry.service_uuid or entry.subject,
                "user": entry.username,
            },
            "of_bulk": of_bulk,
            "left": left,
            "undo_url": undo_url(request.user, left),
            "undone_by": undone.get(entry.pk),
            "undone": Entry.objects.filter(pk=entry.undoes).first() if entry.undoes else None,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.csv_view)
        return [path("export.csv", view, name="audit_entry_csv"), *super().get_urls()]

    def csv_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Download the filtered entries as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            entries = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters as error:
            raise BadRequest(gettext_noop("no such filter")) from error
        rows = map(_values, entries.iterator(chunk_size=CHUNK_SIZE))
        return csv_response("audit", EXPORTED, rows)


def _of_bulk(entry: Entry) -> "QuerySet[Entry]":
    """The entries of the bulk action that the entry belongs to."""
    entries = Entry.objects.filter(request_id=entry.request_id, action=entry.action)
    return entries.filter(bulk_size__gt=0).order_by("bulk_position")


def _outcome_badge(outcome: Outcome) -> SafeString:
    return badge(BADGES[outcome], outcome.label)


def changes(entry: Entry) -> str:
    """What the action changed, in words: ``status: enabled → disabled``."""
    before, after = entry.before or {}, entry.after or {}
    return ", ".join(
        f"{name}: {_formatted(before.get(name))} → {_formatted(value)}"
        for name, value in after.items()
        if before.get(name) != value
    )


def _as_text(values: dict[str, Any] | None) -> str:
    return (
        ", ".join(f"{name}: {_formatted(value)}" for name, value in sorted((values or {}).items()))
        or DASH
    )


def _formatted(value: Any) -> str:
    if value is None:
        return DASH
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # Isolated, so that text written from right to left turns nothing around that is beside it.
    is_turned = any(unicodedata.bidirectional(letter) in FROM_RIGHT for letter in text)
    return f"\u2068{text}\u2069" if is_turned else text


def _values(entry: Entry) -> list[Any]:
    values = [getattr(entry, name) for name in EXPORTED]
    return [json.dumps(value) if isinstance(value, dict) else value for value in values]
