"""Lists over all cells in the admin, and the read-only pages of one row of one cell."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import smart_split
from django.utils.translation import gettext as _

from cells.locate import MayBeMissing, NotFound, by_key, key_of
from cells.registry import Cell
from portal.console.changelist import PER_PAGE, PER_PAGE_CHOICES, AcrossCellsChangeList
from portal.console.columns import Column, ListedRow
from portal.console.export import csv_lines, missing_header
from portal.console.filters import CellFacet, Facet

#: How many words a search has at most; a few hundred keep a cell busy beyond its deadline.
MAX_WORDS = 20


class AcrossCellsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The console's pages of a model that every cell has: a list, its CSV file, and one row.

    Nothing is added, edited or deleted by Django's forms.
    """

    columns: ClassVar[Sequence[Column]] = ()
    default_order: ClassVar[Sequence[str]] = ()
    detail_template: ClassVar[str]
    list_per_page = 100
    change_list_template = "admin/across_cells/change_list.html"
    show_full_result_count = False

    def get_facets(self, request: HttpRequest) -> Sequence[Facet]:
        """The filters of the list; made anew for each request, since some depend on the time."""
        return [CellFacet()]

    def whole(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        """The rows as the list needs them: with what is joined, without columns it never shows."""
        return rows

    def listed(self, rows: Sequence[tuple[Cell, Any]]) -> list[ListedRow[Any]]:
        """The rows with what their columns need beside them."""
        return [ListedRow(cell, row) for cell, row in rows]

    def detail(self, request: HttpRequest, cell: Cell, row: Any) -> dict[str, Any]:
        """What the page of one row shows."""
        return {}

    @property
    def media(self) -> forms.Media:
        """Nothing: Django's scripts are for its own tables and forms."""
        return forms.Media()

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any, Any]", search_term: str
    ) -> "tuple[QuerySet[Any, Any], bool]":
        """Django's, with a limit: every word costs each cell a scan for each field."""
        words = list(smart_split(search_term))
        if len(words) > MAX_WORDS:
            messages.warning(
                request, _("Only the first %(n)d words are searched for.") % {"n": MAX_WORDS}
            )
            search_term = " ".join(words[:MAX_WORDS])
        return super().get_search_results(request, queryset, search_term)

    # --- permissions ---------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}"))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """None of Django's: they would carry integer ids."""
        return {}

    # --- pages -----------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("export.csv", view(self.csv_view), name=f"{name}_csv"),
            *self.more_urls(name),
            path("<str:key>/", view(self.detail_view), name=f"{name}_change"),
        ]

    def more_urls(self, name: str) -> list[URLPattern]:
        """Further pages below the list's."""
        return []

    def get_changelist_instance(self, request: HttpRequest) -> AcrossCellsChangeList:
        try:
            asked = int(request.GET[PER_PAGE])
        except (KeyError, ValueError):
            per_page = self.list_per_page
        else:
            per_page = min(max(asked, PER_PAGE_CHOICES[0]), PER_PAGE_CHOICES[-1])
        return AcrossCellsChangeList(
            request,
            self.model,
            list_display=["__str__"],
            list_display_links=None,
            list_filter=(),
            date_hierarchy=None,
            search_fields=self.get_search_fields(request),
            list_select_related=False,
            list_per_page=per_page,
            list_max_show_all=0,
            list_editable=(),
            model_admin=self,
            sortable_by=(),
            search_help_text=self.search_help_text,
        )

    def csv_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """The whole filtered list as CSV, row by row as it is read."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        listing = self.get_changelist_instance(request)
        places = listing.all_places()
        response = StreamingHttpResponse(
            csv_lines(self.columns, places, listing), content_type="text/csv; charset=utf-8"
        )
        response["Content-Disposition"] = f'attachment; filename="{self.opts.model_name}s.csv"'
        for name, value in missing_header(listing.missing).items():
            response[name] = value
        return response

    def detail_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """The page of one row."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = by_key(self.get_queryset(request), key)
        except NotFound:
            messages.warning(
                request,
                _("There is no %(name)s %(key)s.") % {"name": self.opts.verbose_name, "key": key},
            )
            return HttpResponseRedirect(
                reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
            )
        except MayBeMissing as error:
            return self._may_be_missing(request, key, error)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(found.row),
            "key": key_of(found.cell, found.row),
            "cell": found.cell,
            "row": found.row,
            "list_url": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
            **self.detail(request, found.cell, found.row),
        }
        return TemplateResponse(request, self.detail_template, context)

    def _may_be_missing(
        self, request: HttpRequest, key: str, error: MayBeMissing
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Not found, but not every cell answered"),
            "key": key,
            "missing": error.missing,
        }
        return TemplateResponse(
            request, "admin/across_cells/may_be_missing.html", context, status=503
        )
