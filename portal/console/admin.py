"""Admin of models that live in cells: lists over all cells, and read-only pages of single rows."""

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import BadRequest, ImproperlyConfigured, PermissionDenied
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import smart_split
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, override

from cells.locate import MayBeMissing, NotFound, by_key, key_of
from cells.merge import in_parts
from cells.registry import Cell
from portal.console import preferences, saved_views, stepping
from portal.console.changelist import AcrossCellsChangeList, FacetsChangeList
from portal.console.columns import Column, column
from portal.console.export import CHUNK_SIZE, csv_response, incomplete_note
from portal.console.filters import ListFilter
from portal.console.list_pages import list_url, origin_of, url_name
from portal.console.site import Console
from portal.headers import missing_cells_warnings, warning_header

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: The maximum number of words in a search; a few hundred keep a cell busy beyond its deadline.
MAX_WORDS = 20
#: What the links of Django's filters by field and by date look rows up by.
FILTER_LOOKUPS = ("", "__exact", "__isnull", "__id__exact")
DATE_PARTS = ("year", "month", "day")
#: ``ModelAdmin`` options that a list over all cells cannot support, and refuses.
UNSUPPORTED = (
    "date_hierarchy",
    "list_display_links",
    "list_editable",
    "list_select_related",
    "show_full_result_count",
    "sortable_by",
)


class ReadOnlyAdminMixin:
    """Read-only admin: no add, change or delete."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class BoundedQueryMixin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Django's lists, without the queries by which one user could keep a database busy.

    A search has few words, since each costs a scan of each field; and rows can be selected by what
    the list offers only: a regular expression in the URL can run for hours.
    """

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        words = list(smart_split(search_term))
        if len(words) > MAX_WORDS:
            messages.warning(
                request, _("Only the first %(n)d words are searched for.") % {"n": MAX_WORDS}
            )
            search_term = " ".join(words[:MAX_WORDS])
        return super().get_search_results(request, queryset, search_term)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Those of ``list_filter`` and ``date_hierarchy``."""
        field, separator, kind = lookup.partition(LOOKUP_SEP)
        if field == self.date_hierarchy:
            return kind in DATE_PARTS
        filtered = set()
        for one in self.list_filter:
            name = one[0] if isinstance(one, tuple) else one
            filtered.add(name if isinstance(name, str) else getattr(name, "parameter_name", None))
        return field in filtered and separator + kind in FILTER_LOOKUPS

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Django's list; raises ``BadRequest`` for a date that there is not."""
        if self.date_hierarchy:
            texts = [
                request.GET.get(f"{self.date_hierarchy}{LOOKUP_SEP}{part}", "1")
                for part in DATE_PARTS
            ]
            try:
                datetime.date(*(int(text[:5]) for text in texts))
            except ValueError as error:
                raise BadRequest(gettext_noop("no such date")) from error
        return super().get_changelist_instance(request)


class RowAction(Protocol):
    """An action on rows of a list: a button below it."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> "StrOrPromise": ...
    @property
    def dangerous(self) -> bool: ...


class AcrossCellsAdmin(ReadOnlyAdminMixin, BoundedQueryMixin):
    """The console's pages of a model that lives in cells: a list, its CSV file, a detail page.

    A subclass declares them like any ``ModelAdmin``:

    * ``list_display``: names of methods decorated with ``portal.console.columns.column``;
    * ``list_filter``: subclasses of ``portal.console.filters.ListFilter``;
    * ``ordering``: the fields of the columns that the list is sorted by initially;
    * ``search_fields``, ``search_help_text``, ``list_per_page``: as in Django;
    * ``row_reads``: the fields that every row needs whatever columns are shown: those of its key
      and of ``str()``;
    * ``detail_template`` and ``get_detail_context``: the detail page of a row;
    * ``get_row_actions``: the buttons below the list.  They post the keys of the selected rows and
      the action's name to ``act/`` below the list's URL; ``get_urls`` must route it to a view.
    """

    list_filter: ClassVar[Sequence[type[ListFilter]]] = ()  # type: ignore[assignment]
    row_reads: ClassVar[Sequence[str]] = ("uuid",)
    detail_template: ClassVar[str]
    list_per_page = 100
    change_list_template = "admin/across_cells/change_list.html"
    actions = None  # Django's would carry integer ids

    def __init__(self, model: Any, admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        for option in UNSUPPORTED:
            if getattr(self, option) != getattr(admin.ModelAdmin, option):
                raise self._error(f"{option} is not supported in a list over all cells")
        self.columns = {name: Column(self, name) for name in map(str, self.list_display)}
        for name in dir(type(self)):
            if hasattr(getattr(type(self), name), "column_options") and name not in self.columns:
                raise self._error(f"column {name} is missing from list_display")
        self.default_order = [self._sorting_by(str(name)) for name in self.ordering or ()]

    def _sorting_by(self, name: str) -> tuple[Column, bool]:
        """The column for an entry of ``ordering``, and whether it is descending."""
        field = name.removeprefix("-")
        for candidate in self.columns.values():
            if candidate.options.ordering == field:
                return candidate, name != field
        raise self._error(f"ordering: no column sorts by {field}")

    def _error(self, text: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(f"{type(self).__name__}: {text}")

    @column(
        description=gettext_lazy("Cell"),
        ordering_in=lambda cell: cell.name,
        export={"cell": "cell__name", "cell_uuid": "cell__uuid"},
    )
    def cell(self, row: Any) -> str:
        name: str = row.cell.name
        return name

    def get_row_actions(self, request: HttpRequest) -> Sequence[RowAction]:
        """The actions that the user may perform on rows of the list."""
        return ()

    def get_detail_context(self, request: HttpRequest, cell: Cell, row: Any) -> dict[str, Any]:
        """Additional context for the detail page of a row."""
        return {}

    @property
    def media(self) -> forms.Media:
        """Empty: Django's scripts are for its own tables and forms."""
        return forms.Media()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}"))

    def has_detail_permission(self, request: HttpRequest) -> bool:
        """Whether the user may see the page of a single row."""
        return self.has_view_permission(request)

    # --- pages ---

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, url_name(self.opts)
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("export.csv", view(self.csv_view), name=f"{name}_csv"),
            path("filters/", view(self.filters_view), name=f"{name}_filters"),
            *saved_views.urls(self),
            *preferences.urls(self),
            *stepping.urls(self),
            path("<str:key>/", view(self.detail_view), name=f"{name}_change"),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AcrossCellsChangeList]:
        match = request.resolver_match
        is_of_filters = match is not None and match.url_name == f"{url_name(self.opts)}_filters"
        return FacetsChangeList if is_of_filters else AcrossCellsChangeList

    def get_changelist_instance(self, request: HttpRequest) -> AcrossCellsChangeList:
        return cast(AcrossCellsChangeList, super().get_changelist_instance(request))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "row_actions": [
                *self.get_row_actions(request),
                *self._console.list_actions(request, self.opts.label_lower),
            ],
            "saved_views": saved_views.saved_views(request, self),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def filters_view(self, request: HttpRequest) -> HttpResponse:
        """The filters of a list alone, which its page fetches when they are opened."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {"cl": self.get_changelist_instance(request)}
        return TemplateResponse(request, "admin/across_cells/filters.html", context)

    def csv_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """The full filtered list as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        changelist = self.get_changelist_instance(request)
        places = changelist.all_places()
        columns = changelist.all_columns

        def rows() -> Iterator[list[Any]]:
            for part in in_parts(places, CHUNK_SIZE):
                for row in changelist.rows_at(part, columns):
                    yield [value for column in columns for value in column.exported(row)]
            if changelist.missing:
                yield [f"# {incomplete_note(changelist.missing)}"]

        header = [name for column in columns for name in column.options.export]
        with override(settings.LANGUAGE_CODE):  # as what is in the file
            name = str(self.opts.verbose_name_plural)
        response = csv_response(name, header, rows())
        for name, value in warning_header(missing_cells_warnings(changelist.missing)).items():
            response[name] = value
        return response

    def detail_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """The detail page of a row."""
        if not self.has_detail_permission(request):
            raise PermissionDenied
        try:
            found = by_key(self.get_queryset(request), key)
        except NotFound:
            messages.warning(
                request,
                _("No such %(name)s: %(key)s.") % {"name": self.opts.verbose_name, "key": key},
            )
            return HttpResponseRedirect(list_url(self))
        except MayBeMissing as error:
            return self._may_be_missing(request, key, error)
        query, _at = origin_of(request)
        panels = self._console.panels(request, self.opts.label_lower, found.cell, found.row)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(found.row),
            "key": key_of(found.cell, found.row),
            "cell": found.cell,
            "row": found.row,
            "list_url": list_url(self, query),
            "steps": stepping.steps(self, request, key_of(found.cell, found.row)),
            "panels_on_top": [panel for panel in panels if panel.on_top],
            "panels": [panel for panel in panels if not panel.on_top],
            **self.get_detail_context(request, found.cell, found.row),
        }
        return TemplateResponse(request, self.detail_template, context)

    @property
    def _console(self) -> Console:
        """The site, with what other apps have registered for this model."""
        return cast(Console, self.admin_site)

    def _may_be_missing(
        self, request: HttpRequest, key: str, error: MayBeMissing
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Not found in the responding cells"),
            "key": key,
            "missing": error.missing,
        }
        return TemplateResponse(
            request, "admin/across_cells/may_be_missing.html", context, status=503
        )
