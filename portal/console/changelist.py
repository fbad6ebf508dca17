"""A change list whose rows are merged from all cells.

It extends Django's change list: rows come from all cells (``cells.merge``), filters count over all
of them (``portal.console.filters``), and rows are identified by uuid.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol, cast

from django.contrib.admin.options import IS_FACETS_VAR
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from cells.executors import CellUnavailable
from cells.locate import key_of
from cells.merge import MAX_FIRST_KEYS, Keys, MergedRows, Place, keys_at_first, whole_rows
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells
from portal.console.columns import Column, detach, load
from portal.console.filtered_rows import FilteredRows
from portal.console.filters import CellCounts, Choice, Counts, ListFilter
from portal.console.list_pages import (
    COLUMNS_VAR,
    PER_PAGE_VAR,
    origin_query,
    preference,
)
from portal.models import ListPreference

PER_PAGE_CHOICES = (25, 50, 100, 250, 500)
#: How many rows may be acted on at once: their preview is one page.
MAX_SELECTED = 500


class ListAdmin(Protocol):
    """What a list requires of its admin: see ``AcrossCellsAdmin``."""

    columns: Mapping[str, Column]
    default_order: Sequence[tuple[Column, bool]]
    row_reads: Sequence[str]


class Heading(NamedTuple):
    """A column heading; ``sort`` is its ``aria-sort``, ``link`` sorts the list by it."""

    column: Column
    sort: str
    link: str


class TableRow(NamedTuple):
    """A row of the table: its key and name, and each column's HTML attributes and content."""

    key: str
    name: str
    url: str
    head: Any
    cells: list[tuple[str, Any]]


class AcrossCellsChangeList(ChangeList):
    """A change list of the rows of all cells."""

    filter_specs: list[ListFilter]  # type: ignore[assignment]
    result_list: list[Any]
    missing: list[CellUnavailable]
    title: str
    per_page_choices = PER_PAGE_CHOICES
    max_selected = MAX_SELECTED

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.request = request
        super().__init__(request, *args, **kwargs)
        self.title = capfirst(str(self.opts.verbose_name_plural))

    # --- request ---

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> "QuerySet[Any, Any]":
        """The rows that match the search, not bound to a cell, unordered."""
        wanted = self.preference.per_page if self.preference else None
        self.list_per_page = per_page(
            request.GET.get(PER_PAGE_VAR, wanted), default=self.list_per_page
        )
        self.filter_specs = [
            list_filter(request, self.filter_params, self.model, self.model_admin)
            for list_filter in cast(Any, self.list_filter)
        ]
        self.has_filters = True
        self.filter_params.pop(IS_FACETS_VAR, None)  # not for the lists that this one leads to
        self.has_active_filters = any(spec.is_active for spec in self.filter_specs)
        self.clear_all_filters_qs = self.get_query_string(
            {spec.parameter_name: None for spec in self.filter_specs}
        )
        rows: QuerySet[Any, Any]
        rows, _may_have_duplicates = self.model_admin.get_search_results(
            request, self.root_queryset, self.query
        )
        unordered: QuerySet[Any, Any] = rows.order_by()
        self.rows = FilteredRows(unordered, self.filter_specs, facets=self.add_facets)
        self.merged: MergedRows[Any] = MergedRows(
            self.rows.in_cell,
            [column.sort_key(descending) for column, descending in self.sorted_by],
        )
        return unordered

    @property
    def list_admin(self) -> ListAdmin:
        return cast(ListAdmin, self.model_admin)

    @cached_property
    def all_columns(self) -> list[Column]:
        return [self.list_admin.columns[str(name)] for name in self.list_display]

    @cached_property
    def columns(self) -> list[Column]:
        """The visible columns: those that the URL names, or that the user prefers."""
        names = ",".join(self.request.GET.getlist(COLUMNS_VAR)).split(",")
        if names == [""] and self.preference:
            names = self.preference.columns.split(",")
        chosen = [column for column in self.all_columns if column.name in names]
        return chosen or self.default_columns

    @cached_property
    def preference(self) -> ListPreference | None:
        return preference(self.request, self.opts)

    @property
    def default_columns(self) -> list[Column]:
        return [column for column in self.all_columns if column.options.default]

    @property
    def has_default_columns(self) -> bool:
        """Whether no columns are chosen, so that the list fits a screen of 1280 px."""
        return self.columns == self.default_columns

    @cached_property
    def sorted_by(self) -> list[tuple[Column, bool]]:
        """The columns that the list is sorted by, each with whether it is descending.

        In the URL they are names joined by dots: ``cell.-memory``.
        """
        columns = {column.name: column for column in self.all_columns}
        names = self.request.GET.get(ORDER_VAR, "").split(".")
        requested = [(columns.get(name.removeprefix("-")), name.startswith("-")) for name in names]
        order = [
            (column, descending)
            for column, descending in requested
            if column is not None and column.sortable
        ]
        return order or list(self.list_admin.default_order)

    # --- results ---

    def get_results(self, request: HttpRequest) -> None:
        """Query all cells for their counts and the keys of their first rows, and fetch a page.

        For a page so far into the list that these would be too many keys, the keys are queried
        once the counts are known.
        """
        stop = max(1, self.page_num) * self.list_per_page
        cells = all_cells()
        limit = keys_at_first(stop, len(cells)) if stop <= MAX_FIRST_KEYS else None
        answers = ask_cells(cells, partial(self._ask, limit=limit))
        self._note_counts(
            {cell: counts for cell, (counts, _keys) in answers.by_cell.items()}, answers.missing
        )
        rows_by_cell = self.counts.rows_by_cell()
        self.multi_page = self.result_count > self.list_per_page
        self.paginator = Paginator(range(self.result_count), self.list_per_page)
        self.page_num = min(max(1, self.page_num), self.paginator.num_pages)
        self.page = self.paginator.page(self.page_num)
        start, stop = max(0, self.page.start_index() - 1), self.page.end_index()
        if limit is None:
            places, missing = self.merged.window(rows_by_cell, start, stop)
            self._add_missing(missing)
        else:
            keys = {cell: keys for cell, (_counts, keys) in answers.by_cell.items()}
            places, missing = self.merged.end_of_list(keys, limit, stop)
            places = places[start:]
            self._add_missing(missing)
        self.result_list = self.rows_at(places, self.columns)

    def _note_counts(
        self, by_cell: Mapping[Cell, CellCounts], missing: list[CellUnavailable]
    ) -> None:
        self.missing = missing
        self.counts = Counts(
            self.rows.counted, self.rows.names, tuple(self.rows.sums), by_cell, missing
        )
        self.result_count = sum(self.counts.rows_by_cell().values())

    def _ask(self, cell: Cell, limit: int | None) -> tuple[CellCounts, list[Keys]]:
        counts = self.rows.count_in(cell)
        return counts, [] if limit is None else self.merged.keys_in(cell, limit)

    def rows_at(self, places: Sequence[Place], columns: Iterable[Column]) -> list[Any]:
        """The rows at these places, with only the fields that the columns read: see ``detach``."""
        columns = list(columns)
        paths = set(self.list_admin.row_reads).union(*(column.reads for column in columns))
        found = whole_rows(places, load(self.root_queryset.order_by(), paths))
        self._add_missing(found.missing)
        for cell, row in found.rows:
            detach(row, cell)
        rows = [row for _cell, row in found.rows]
        for prepare in dict.fromkeys(column.options.prepare for column in columns):
            if prepare is not None:
                prepare(rows)
        return rows

    def rows_between(self, start: int, stop: int) -> list[Any]:
        """The rows at these indices of the list, with little more than their keys."""
        places, missing = self.merged.window(self.counts.rows_by_cell(), start, stop)
        self._add_missing(missing)
        return self.rows_at(places, [])

    def all_places(self) -> list[Place]:
        """The places of all rows of the list, in order."""
        answers = ask_cells(self.counts.by_cell, self.merged.keys_in)
        self._add_missing(answers.missing)
        return self.merged.merge(answers.by_cell)

    def _add_missing(self, missing: Iterable[CellUnavailable]) -> None:
        known = {unavailable.cell for unavailable in self.missing}
        self.missing += [unavailable for unavailable in missing if unavailable.cell not in known]

    # --- display ---

    def headings(self) -> list[Heading]:
        """The column headings; clicking the primary sort column reverses it."""
        first, descending = self.sorted_by[0] if self.sorted_by else (None, False)
        headings = []
        for column in self.columns:
            sort, order = "none", column.name
            if column is first:
                sort = "descending" if descending else "ascending"
                order = column.name if descending else f"-{column.name}"
            link = self.get_query_string({ORDER_VAR: order}) if column.sortable else ""
            headings.append(Heading(column, sort, link))
        return headings

    @property
    def own_query(self) -> str:
        """The query string of the page that is shown."""
        return self.get_query_string({PAGE_VAR: self.page_num if self.page_num > 1 else None})

    def table(self) -> list[TableRow]:
        """The rows of the table; the first column is the row heading."""
        first, *others = self.columns
        query = self.own_query.removeprefix("?")
        start = self.page.start_index()
        attributes = [column.attributes for column in others]
        return [
            TableRow(
                key_of(row.cell, row),
                str(row),
                f"{self.url_for_result(row)}?{origin_query(query, start + number)}",
                first.show(row),
                list(zip(attributes, (column.show(row) for column in others), strict=True)),
            )
            for number, row in enumerate(self.result_list)
        ]

    def url_for_result(self, result: Any) -> str:
        opts = self.opts
        key = key_of(result.cell, result)
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[key])

    @cached_property
    def filter_choices(self) -> list[tuple[ListFilter, list[Choice]]]:
        """Each filter with its choices, if they have been asked for."""
        return [(spec, spec.choices(self)) for spec in self.rows.counted]

    def selected_choices(self) -> list[tuple[ListFilter, Choice]]:
        """Each selected value with its filter."""
        return [(spec, choice) for spec in self.filter_specs for choice in spec.selected(self)]

    def column_choices(self) -> list[tuple[Column, bool]]:
        """All columns, each with whether it is visible."""
        return [(column, column in self.columns) for column in self.all_columns]

    def page_links(self) -> list[tuple[int | str, str]]:
        """Page numbers with their links; an ellipsis has no link."""
        return [
            (number, self.get_query_string({PAGE_VAR: number}) if isinstance(number, int) else "")
            for number in self.paginator.get_elided_page_range(self.page_num)
        ]

    @property
    def view_query(self) -> str:
        """What a saved view keeps: the columns, too, where they are not the list's own."""
        names = ",".join(column.name for column in self.columns)
        return self.get_query_string({} if self.has_default_columns else {COLUMNS_VAR: names})

    @property
    def link_without_search(self) -> str:
        return self.get_query_string({SEARCH_VAR: None})


class FacetsChangeList(AcrossCellsChangeList):
    """The filters of a list with the counts of their choices, and none of its rows."""

    def get_results(self, request: HttpRequest) -> None:
        answers = ask_cells(all_cells(), self.rows.count_in)
        self._note_counts(answers.by_cell, answers.missing)
        self.result_list = []


def per_page(requested: str | int | None, default: int) -> int:
    """The rows of a page, within those that are offered; ``default`` if it is no number."""
    try:
        return min(max(int(requested or ""), PER_PAGE_CHOICES[0]), PER_PAGE_CHOICES[-1])
    except ValueError:
        return default
