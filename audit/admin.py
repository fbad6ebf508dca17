"""The audit in the console, to be read, searched and exported."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from audit.models import Entry, Outcome
from portal.console.admin import BoundedQueryMixin, ReadOnlyAdminMixin
from portal.console.export import CHUNK_SIZE, csv_response
from portal.console.html import DASH, badge, moment

BADGES = {
    Outcome.DONE: "good",
    Outcome.REFUSED: "off",
    Outcome.FAILED: "bad",
    Outcome.UNKNOWN: "unknown",
}
#: Fields that the page of an entry shows formatted, and the methods that do so.
FORMATTED = {"at": "when", "before": "was", "after": "became"}
EXPORTED = tuple(field.name for field in Entry._meta.concrete_fields if field.name != "id")


class CellNameFilter(admin.AllValuesFieldListFilter):
    """By cell; entries about a service that was not found have none."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield choice | {"display": choice["display"] or _("none")}


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdminMixin, BoundedQueryMixin):
    """Audit entries; none can be added, changed or deleted."""

    list_display = (
        "when",
        "username",
        "action",
        "service",
        "cell_name",
        "result",
        "change",
        "channel",
    )
    list_display_links = ("when",)
    list_filter = ("outcome", "action", "channel", ("cell_name", CellNameFilter), "username")
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
    fields: ClassVar[tuple[str, ...]] = tuple(FORMATTED.get(name, name) for name in EXPORTED)
    readonly_fields = tuple(FORMATTED.values())

    @admin.display(description=_("When"), ordering="at")
    def when(self, entry: Entry) -> str:
        return moment(entry.at)

    @admin.display(description=_("Subject"), ordering="host")
    def service(self, entry: Entry) -> str:
        return format_html("{} {}", entry.host or entry.service_uuid or entry.subject, entry.binary)

    @admin.display(description=_("Outcome"), ordering="outcome")
    def result(self, entry: Entry) -> str:
        shown = badge(BADGES[Outcome(entry.outcome)], entry.get_outcome_display())
        return format_html("{} {}", shown, entry.message) if entry.message else shown

    @admin.display(description=_("Change"))
    def change(self, entry: Entry) -> str:
        return changes(entry) or DASH

    @admin.display(description=_("Before"))
    def was(self, entry: Entry) -> str:
        return _as_text(entry.before)

    @admin.display(description=_("After"))
    def became(self, entry: Entry) -> str:
        return _as_text(entry.after)

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
            raise BadRequest("no such filter") from error
        rows = map(_values, entries.iterator(chunk_size=CHUNK_SIZE))
        return csv_response("audit.csv", EXPORTED, rows)


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
    return DASH if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _values(entry: Entry) -> list[Any]:
    values = [getattr(entry, name) for name in EXPORTED]
    return [json.dumps(value) if isinstance(value, dict) else value for value in values]
