"""Columns of lists over all cells: admin methods with a decorator that extends ``admin.display``.

A column declares the fields that it reads, and a list loads only the fields of its visible columns.
Reading an undeclared field raises ``UndeclaredRead``, as it would cost a query per row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import CharField, F, Field, Model, QuerySet, TextField
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Combinable
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cells.merge import SortKey
from cells.registry import Cell, all_cells
from cells.router import CellNotNamed
from portal.console.html import NOTHING

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

Method = TypeVar("Method", bound=Callable[..., Any])
#: A lookup path (``service__host``), or a function of the row.
Value = str | Callable[[Any], Any]


class UndeclaredRead(ImproperlyConfigured):
    """A column reads a field that it does not declare in ``reads``."""


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """The arguments of ``column``."""

    description: "StrOrPromise"
    ordering: str | Combinable | Callable[[], Combinable] | None
    ordering_in: Callable[[Cell], Combinable | str] | None
    reads: Sequence[str]
    prepare: Callable[[Sequence[Any]], None] | None
    export: Mapping[str, Value]
    numeric: bool
    default: bool
    empty_value: "StrOrPromise"


def column(
    *,
    description: "StrOrPromise",
    ordering: str | Combinable | Callable[[], Combinable] | None = None,
    ordering_in: Callable[[Cell], Combinable | str] | None = None,
    reads: Sequence[str] = (),
    prepare: Callable[[Sequence[Any]], None] | None = None,
    export: Sequence[str] | Mapping[str, Value] = (),
    numeric: bool = False,
    default: bool = True,
    empty_value: "StrOrPromise" = NOTHING,
) -> Callable[[Method], Method]:
    """Make a method of an ``AcrossCellsAdmin`` a column for its ``list_display``.

    As with ``django.contrib.admin.display``, the method takes a row and returns text or safe HTML,
    ``description`` is the heading, ``empty_value`` replaces ``None`` and empty text, and
    ``ordering`` is what to sort by: a field name or an expression, here also a function that
    returns one (for expressions that depend on the time).  In addition:

    * ``ordering_in``, instead of ``ordering``: a function that returns an expression for a cell,
      or the value that all rows of the cell share;
    * ``reads``: the fields that the method reads, with relations as in lookups
      (``service__disabled``).  Those named in ``ordering`` and ``export`` need not be repeated;
    * ``prepare``: a function that gets the rows of a page and sets attributes on them, for what is
      in another database; it is called where the column is shown or exported;
    * ``export``: its columns in the CSV file: field names, or a mapping of headings to lookup
      paths or functions of the row;
    * ``numeric``: whether it is set in tabular figures;
    * ``default``: whether it is visible unless the user chooses columns.
    """
    if not isinstance(export, Mapping):
        export = {path.rpartition(LOOKUP_SEP)[2]: path for path in export}
    options = ColumnOptions(
        description=description,
        ordering=ordering,
        ordering_in=ordering_in,
        reads=reads,
        prepare=prepare,
        export=export,
        numeric=numeric,
        default=default,
        empty_value=empty_value,
    )

    def decorate(method: Method) -> Method:
        stock = ordering if isinstance(ordering, str | Combinable) else None
        admin.display(  # so that Django's own lists can show it too
            method, description=description, ordering=stock, empty_value=str(empty_value)
        )
        cast(Any, method).column_options = options
        return method

    return decorate


class Column:
    """A column of a list: the admin method of that name, and its options."""

    def __init__(self, model_admin: "admin.ModelAdmin[Any]", name: str) -> None:
        method = getattr(model_admin, name, None)
        options = getattr(method, "column_options", None)
        if method is None or options is None:
            raise ImproperlyConfigured(
                f"{type(model_admin).__name__}.list_display: {name} is not a method with @column"
            )
        self.name = name
        self.model = model_admin.model
        self.method: Callable[[Any], Any] = method
        self.options: ColumnOptions = options
        self.label = options.description
        self._exported = [_getter(value) for value in options.export.values()]
        for path in options.reads:
            _field(self.model, path)  # raises FieldDoesNotExist

    def __repr__(self) -> str:
        return f"<Column {self.name} of {self.model.__name__}>"

    @cached_property
    def reads(self) -> frozenset[str]:
        """The lookup paths of the fields needed to display and export it."""
        named = [self.options.ordering, *self.options.export.values()]
        return frozenset(self.options.reads) | {
            path for path in named if isinstance(path, str) and _is_field(self.model, path)
        }

    def show(self, row: Any) -> Any:
        """The content of its table cell: text or safe HTML."""
        shown = self._read(self.method, row)
        return self.options.empty_value if shown is None or shown == "" else shown

    def exported(self, row: Any) -> list[Any]:
        """The values of its columns in the CSV file."""
        return [self._read(value, row) for value in self._exported]

    def _read(self, value: Callable[[Any], Any], row: Any) -> Any:
        try:
            return value(row)
        except CellNotNamed as error:
            raise UndeclaredRead(f"{self!r} reads a field missing from its reads=") from error

    @property
    def attributes(self) -> SafeString:
        """The HTML attributes of its table cells."""
        numeric = " numeric" if self.options.numeric else ""
        return format_html(' class="column-{}{}" data-label="{}"', self.name, numeric, self.label)

    # --- sorting ---

    @property
    def sortable(self) -> bool:
        """Whether lists can be sorted by it."""
        return self.options.ordering is not None or self.options.ordering_in is not None

    def sort_key(self, descending: bool) -> SortKey:
        """The key to sort the list by; the column must be ``sortable``."""
        if self.options.ordering_in is None:
            return SortKey(_resolve(self.options.ordering), descending, self._sorts_text)
        # The type of the key follows from any cell; without cells there is nothing to sort.
        sorts_text = bool(all_cells()) and self._sorts_text
        return SortKey(self.options.ordering_in, descending, sorts_text)

    @cached_property
    def _sorts_text(self) -> bool:
        """Whether it sorts by text, whose order depends on the database."""
        if self.options.ordering_in is not None:
            by = self.options.ordering_in(all_cells()[0])
            if isinstance(by, str):
                return True
        else:
            by = _resolve(self.options.ordering)
        expression = cast(Any, F(by) if isinstance(by, str) else by)
        query = cast(Any, self.model)._base_manager.all().query
        output = expression.resolve_expression(query).output_field
        return isinstance(output, CharField | TextField)


def _resolve(ordering: str | Combinable | Callable[[], Combinable] | None) -> str | Combinable:
    if ordering is None:
        raise ImproperlyConfigured("the column declares no ordering")
    return ordering if isinstance(ordering, str | Combinable) else ordering()


def _getter(value: Value) -> Callable[[Any], Any]:
    """A function that gets the value from a row; ``None`` if a relation on the path is null."""
    if not isinstance(value, str):
        return value
    names = value.split(LOOKUP_SEP)

    def get(row: Any) -> Any:
        for name in names:
            row = None if row is None else getattr(row, name)
        return row

    return get


def _field(model: type[Model], path: str) -> "Field[Any, Any]":
    """The field at the end of a lookup path; raises ``FieldDoesNotExist``."""
    *relations, name = path.split(LOOKUP_SEP)
    for relation in relations:
        related = model._meta.get_field(relation).related_model
        if related is None or isinstance(related, str):
            raise FieldDoesNotExist(f"{model.__name__}.{relation} is not a relation")
        model = related
    return cast("Field[Any, Any]", model._meta.get_field(name))


def _is_field(model: type[Model], path: str) -> bool:
    try:
        _field(model, path)
    except FieldDoesNotExist:
        return False
    return True


def load(queryset: "QuerySet[Any, Any]", paths: Iterable[str]) -> "QuerySet[Any, Any]":
    """``queryset`` limited to these fields of its rows and of their related rows."""
    paths = set(paths)
    relations = {path.rpartition(LOOKUP_SEP)[0] for path in paths if LOOKUP_SEP in path}
    if relations:
        queryset = queryset.select_related(*relations)
    return queryset.only(*paths)


def detach(row: Any, cell: Cell) -> None:
    """Prevent further queries for a row that a list has loaded, and set its ``cell``.

    The row no longer has a database, so a deferred field or relation raises ``CellNotNamed``.
    """
    row.cell = cell
    row._state.db = None
    for related in row._state.fields_cache.values():
        if related is not None:
            related._state.db = None
