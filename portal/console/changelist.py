"""A change list whose rows are merged from all cells.

It is Django's own with three differences: its rows come from all cells (``cells.merge``), its
filters are counted in all cells together (``portal.console.filters``), and a row goes by its uuid.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cells.executors import CellUnavailable
from cells.merge import MAX_FIRST_KEYS, CompiledQuery, Keys, MergedRows, Place, whole_rows
from cells.registry import Cell, all_cells
from cells.scatter_gather import ask_cells
from portal.console.columns import Column, Label, ListedRow
from portal.console.filters import CellFacet, Choice, Facet, Group, ZoneFacet

if TYPE_CHECKING:
    from portal.console.admin import AcrossCellsAdmin

#: What a query string says besides filters.
ORDER, PAGE, SEARCH, PER_PAGE, COLUMNS = "o", "p", "q", "per_page", "columns"
PER_PAGE_CHOICES = (25, 50, 100, 250, 500)


@dataclass
class Counted:
    """What one cell said of its rows."""

    groups: list[dict[str, Any]]
    zones: Counter[str]
    keys: list[Keys] | None


class AcrossCellsChangeList(ChangeList):
    """A change list whose rows are in all cells."""

    model_admin: "AcrossCellsAdmin"
    missing: list[CellUnavailable]
    title: str

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.request = request
        self._lock = threading.Lock()
        self._same: dict[tuple[str, ...], QuerySet[Any, Any]] = {}
        self._queries: dict[tuple[int, str], tuple[QuerySet[Any, Any], CompiledQuery]] = {}
        super().__init__(request, *args, **kwargs)
        self.title = str(self.opts.verbose_name_plural).capitalize()

    # --- what is asked for -------------------------------------------------------------------

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> "QuerySet[Any, Any]":
        """The rows that the search leaves, of no cell in particular and in no order."""
        self.filter_specs, self.has_filters = [], True
        self.facets: Sequence[Facet] = self.model_admin.get_facets(request)
        for facet in self.facets:
            facet.prepare()
        self.active = {
            facet: value
            for facet in self.facets
            if (value := request.GET.get(facet.name)) is not None
        }
        self.has_active_filters = bool(self.active)
        self.clear_all_filters_qs = self.link(**dict.fromkeys(facet.name for facet in self.facets))
        rows: QuerySet[Any, Any]
        rows, _duplicates = self.model_admin.get_search_results(
            request, self.root_queryset, self.query
        )
        unordered: QuerySet[Any, Any] = rows.order_by()
        return unordered

    @cached_property
    def columns(self) -> list[Column]:
        """The columns that are shown."""
        wanted = [
            name for names in self.request.GET.getlist(COLUMNS) for name in names.split(",") if name
        ]
        chosen = [column for column in self.model_admin.columns if column.name in wanted]
        return chosen or [column for column in self.model_admin.columns if column.default]

    @cached_property
    def order(self) -> list[tuple[Column, bool]]:
        """The columns that the list is sorted by, each with whether it descends."""
        known = {column.name: column for column in self.model_admin.columns if column.sortable}
        asked = self.request.GET.get(ORDER, "").split(".")
        order = [
            (known[name.removeprefix("-")], name.startswith("-"))
            for name in asked
            if name.removeprefix("-") in known
        ]
        return order or [(known[name], False) for name in self.model_admin.default_order]

    @cached_property
    def annotated(self) -> "QuerySet[Any, Any]":
        annotations: dict[str, Any] = {}
        for facet in self.facets:
            annotations |= facet.annotations()
        annotated: QuerySet[Any, Any] = self.queryset.annotate(**annotations)
        return annotated

    def rows_in(self, cell: Cell, but: Facet | None = None) -> "QuerySet[Any, Any]":
        """The cell's rows that the chosen filters leave (all ``but`` one), without its database.

        The very same queryset for all cells in which the filters mean the same.
        """
        active = {facet: value for facet, value in self.active.items() if facet is not but}
        return self._narrowed(cell, active)

    def rows_to_group(self, cell: Cell) -> "QuerySet[Any, Any]":
        """The cell's rows that are counted: those left by filters that are not in the groups."""
        active = {f: value for f, value in self.active.items() if isinstance(f, ZoneFacet)}
        return self._narrowed(cell, active)

    def _narrowed(self, cell: Cell, active: Mapping[Any, str]) -> "QuerySet[Any, Any]":
        own: dict[str, Any] = {}
        for facet in self.facets:
            own |= facet.annotations_in(cell)
        conditions = [facet.condition(value, cell) for facet, value in active.items()]
        if None in conditions:
            nothing: QuerySet[Any, Any] = self.annotated.annotate(**own).none()
            return nothing
        if own or any(facet.differs(value) for facet, value in active.items()):
            rows: QuerySet[Any, Any] = self.annotated.annotate(**own).filter(
                *(one for one in conditions if one is not None)
            )
            return rows
        with self._lock:
            names = tuple(facet.name for facet in active)
            if names not in self._same:
                self._same[names] = self.annotated.filter(
                    *(one for one in conditions if one is not None)
                )
            return self._same[names]

    # --- what is answered --------------------------------------------------------------------

    @cached_property
    def merged(self) -> MergedRows[Any]:
        keys = [column.sort_key(descending) for column, descending in self.order]
        return MergedRows(self.rows_in, keys)

    def get_results(self, request: HttpRequest) -> None:
        stop = max(1, self.page_num) * self.list_per_page
        first_keys = stop if stop <= MAX_FIRST_KEYS else None
        answers = ask_cells(all_cells(), partial(self._count_in, first_keys=first_keys))
        self.missing = answers.missing
        self.counted = answers.by_cell
        self.groups: list[Group] = [
            group for counted in self.counted.values() for group in counted.groups
        ]
        counts = {
            cell: sum(group["n"] for group in counted.groups if self._holds(group))
            for cell, counted in self.counted.items()
        }
        self.result_count = self.full_result_count = sum(counts.values())
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all, self.show_all = False, False
        self.multi_page = self.result_count > self.list_per_page
        self.paginator = Paginator(range(self.result_count), self.list_per_page)
        self.page_num = min(max(1, self.page_num), self.paginator.num_pages)
        start = (self.page_num - 1) * self.list_per_page
        stop = min(start + self.list_per_page, self.result_count)
        if first_keys is not None and all(
            counted.keys is not None for counted in self.counted.values()
        ):
            places = self.merged.merge(
                {cell: counted.keys or [] for cell, counted in self.counted.items()}
            )[start:stop]
        else:
            places, missing = self.merged.window(counts, start, stop)
            self._note(missing)
        self.result_list = self.listed(places)

    def listed(self, places: Sequence[Place]) -> list[ListedRow[Any]]:
        """The rows at these places, fetched whole."""
        whole = whole_rows(places, self.model_admin.whole(self.root_queryset))
        self._note(whole.missing)
        return self.model_admin.listed(whole.rows)

    def all_places(self) -> list[Place]:
        """Where each row of the whole list is, in order."""
        cells = [cell for cell, counted in self.counted.items()]
        answers = ask_cells(cells, self.merged.keys_in)
        self._note(answers.missing)
        return self.merged.merge(answers.by_cell)

    def _count_in(self, cell: Cell, first_keys: int | None) -> Counted:
        groups = self._groups(cell)
        keys = None if first_keys is None else self.merged.keys_in(cell, first_keys)
        zone = next((facet for facet in self.facets if isinstance(facet, ZoneFacet)), None)
        zones = Counter[str]() if zone is None else self._zones(cell, zone)
        return Counted(groups, zones, keys)

    def _groups(self, cell: Cell) -> list[dict[str, Any]]:
        """How many rows the cell has of each combination that filters look at."""
        names = [name for facet in self.facets for name in facet.annotations()]
        names += [name for facet in self.facets for name in facet.annotations_in(cell)]
        query = self._compiled(
            self.rows_to_group(cell), lambda rows: rows.values_list(*names).annotate(n=Count("id"))
        )
        groups = []
        for *values, number in query.rows_in(cell):
            groups.append(dict(zip(names, values, strict=True)) | {"cell": cell, "n": number})
        return groups

    def _zones(self, cell: Cell, facet: ZoneFacet) -> Counter[str]:
        """How many rows each zone has under the other filters."""
        query = self._compiled(self.rows_in(cell, but=facet), facet.host_and_internal)
        return facet.count_in(cell, query.rows_in(cell))

    def _compiled(
        self,
        rows: "QuerySet[Any, Any]",
        query: "Callable[[QuerySet[Any, Any]], QuerySet[Any, Any]]",
    ) -> CompiledQuery:
        with self._lock:
            at = (id(rows), query.__qualname__)
            if at not in self._queries:
                self._queries[at] = (rows, CompiledQuery(query(rows)))
            return self._queries[at][1]

    def _holds(self, group: Group, but: Facet | None = None) -> bool:
        return all(
            facet is but or facet.holds(value, group) for facet, value in self.active.items()
        )

    def _note(self, missing: Sequence[CellUnavailable]) -> None:
        known = {one.cell for one in self.missing}
        self.missing += [one for one in missing if one.cell not in known]

    # --- what the template shows -------------------------------------------------------------

    def link(self, **changes: str | None) -> str:
        """The query string of this view with some parameters changed; ``None`` removes one.

        It leads to the first page unless ``p`` is among them.
        """
        query = self.request.GET.copy()
        query.pop(PAGE, None)
        query.pop("e", None)
        for name, value in changes.items():
            if value is None:
                query.pop(name, None)
            else:
                query[name] = value
        return f"?{query.urlencode()}"

    def kept(self, *names: str) -> list[tuple[str, str]]:
        """The view's parameters but these and the page, for the hidden fields of a form."""
        return [
            (name, value)
            for name, values in self.request.GET.lists()
            if name not in (PAGE, *names)
            for value in values
        ]

    def kept_by_search(self) -> list[tuple[str, str]]:
        return self.kept(SEARCH)

    def kept_by_columns(self) -> list[tuple[str, str]]:
        return self.kept(COLUMNS, PER_PAGE)

    @property
    def view(self) -> str:
        """The query string by which the view is saved."""
        return self.link().removeprefix("?")

    def headers(self) -> list[dict[str, Any]]:
        """The head of each column, with the link that sorts by it."""
        now = {column.name: descending for column, descending in self.order[:1]}
        heads = []
        for column in self.columns:
            descending = now.get(column.name)
            heads.append(
                {
                    "column": column,
                    "sort": "none"
                    if descending is None
                    else ("descending" if descending else "ascending"),
                    "link": self.link(
                        **{ORDER: f"-{column.name}" if descending is False else column.name}
                    )
                    if column.sortable
                    else "",
                }
            )
        return heads

    def table(self) -> list[dict[str, Any]]:
        """The rows, each with its columns rendered; the first column is the row's head."""
        first, *others = self.columns
        attributes = [_attributes(column) for column in others]
        return [
            {
                "key": row.key,
                "name": str(row.row),
                "url": self.url_for_result(row),
                "head": first.show(row),
                "cells": [
                    (attribute, column.show(row))
                    for attribute, column in zip(attributes, others, strict=True)
                ],
            }
            for row in self.result_list
        ]

    def url_for_result(self, result: Any) -> str:
        opts = self.opts
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[result.key])

    def facet_choices(self) -> list[tuple[Facet, list[tuple[Choice, str]]]]:
        """Each facet with its choices, and the query string of each."""
        shown = []
        for facet in self.facets:
            chosen = self.active.get(facet)
            if isinstance(facet, ZoneFacet):
                zones: Counter[str] = Counter()
                for counted in self.counted.values():
                    zones += counted.zones
                labels: list[tuple[str, Any]] = [(zone, zone) for zone in sorted(zones)]
                counts = zones
            else:
                labels = facet.values(self.groups)
                counts = Counter()
                under = [group for group in self.groups if self._holds(group, but=facet)]
                for value, _label in labels:
                    counts[value] = sum(group["n"] for group in under if facet.holds(value, group))
            if chosen is not None and chosen not in dict(labels):
                labels.append((chosen, chosen))
            silent = (
                {name for one in self.missing for name in (one.cell.name, one.cell.uuid)}
                if isinstance(facet, CellFacet)
                else set()
            )
            choices = [
                Choice(value, label, None if value in silent else counts[value], value == chosen)
                for value, label in labels
            ]
            shown.append(
                (
                    facet,
                    [
                        (
                            choice,
                            self.link(**{facet.name: None if choice.selected else choice.value}),
                        )
                        for choice in choices
                        if choice.count or choice.selected or isinstance(facet, CellFacet)
                    ],
                )
            )
        return shown

    per_page_choices = PER_PAGE_CHOICES

    def column_choices(self) -> list[tuple[Column, bool]]:
        """All columns, each with whether it is shown."""
        return [(column, column in self.columns) for column in self.model_admin.columns]

    def chips(self) -> list[tuple[Facet, Label, str]]:
        """The filters in force: each with its value's name, and the view without it."""
        return [
            (
                facet,
                dict(facet.values(self.groups)).get(value, value),
                self.link(**{facet.name: None}),
            )
            for facet, value in self.active.items()
        ]

    def link_without_search(self) -> str:
        return self.link(**{SEARCH: None})

    @property
    def first(self) -> int:
        """The number of the first row of the page, from 1."""
        return (self.page_num - 1) * self.list_per_page + 1

    @property
    def last(self) -> int:
        """The number of the last row of the page."""
        return min(self.page_num * self.list_per_page, self.result_count)

    def page_links(self) -> list[tuple[int | str, str]]:
        """Numbers of pages with their links; one without a link stands for those left out."""
        return [
            (number, self.link(**{PAGE: str(number)}) if isinstance(number, int) else "")
            for number in self.paginator.get_elided_page_range(self.page_num)
        ]


def _attributes(column: Column) -> SafeString:
    """The attributes of a column's cells."""
    numeric = " numeric" if column.numeric else ""
    return format_html(' class="column-{}{}" data-label="{}"', column.name, numeric, column.label)
