"""A queryset's SQL, compiled once and executed in many cells.

Django compiles a queryset anew for each database it is bound to; over a hundred cells that costs
more than the queries do.  All cells of a database vendor are asked the same statement.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Expression, Model, QuerySet
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesIterable,
    ValuesListIterable,
    get_related_populators,
)

T = TypeVar("T")

#: So many threads at a time read the rows of ``Statement.map_rows``.  All of them take turns at the
#: interpreter's lock: if each reads a little, all rows are in memory before the first is done.
READERS = 2
#: Seconds after which a thread reads without its turn: SQLite reads its file as rows are fetched,
#: and one that hangs must not keep other cells from answering.
PATIENCE = 0.25
_turns = threading.BoundedSemaphore(READERS)


@contextmanager
def _turn() -> Iterator[None]:
    has_turn = _turns.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if has_turn:
            _turns.release()


class Parameter(Expression):
    """Stands for a value of a ``Statement`` that is given when it is executed.

    With ``read``, the database is given what that function makes of the value.
    """

    def __init__(self, name: str, read: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.name = name
        self.read = read

    def value(self, values: Mapping[str, Any]) -> Any:
        """What the database is given, of the values by name."""
        value = values[self.name]
        return value if self.read is None else self.read(value)

    def then(self, read: Callable[[Any], Any]) -> "Parameter":
        """The same, with ``read`` for what the database would be given."""
        return Parameter(self.name, lambda value: read(self.value({self.name: value})))

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


class Statement:
    """What a queryset, which names no database, selects: instances, or values.

    The queryset may compare with a ``Parameter``: such a statement can be kept, and executed with
    other values each time.
    """

    def __init__(self, queryset: "QuerySet[Any, Any]") -> None:
        self._queryset = queryset
        self._iterable = queryset._iterable_class
        self._compiled: dict[str, _Compiled] = {}
        self._lock = threading.Lock()

    @classmethod
    def can_be_made_of(cls, queryset: "QuerySet[Any, Any]") -> bool:
        """Whether it gives its rows as a queryset of this kind does."""
        made_of = (ModelIterable, ValuesIterable, ValuesListIterable, FlatValuesListIterable)
        has_more = cast(Any, queryset)._prefetch_related_lookups
        return queryset._iterable_class in made_of and not has_more

    def rows(self, alias: str, **values: Any) -> list[Any]:
        """The rows in the database ``alias``, as the queryset would give them.

        ``values`` are those of its parameters, by name, as the database takes them.
        """
        compiled = self._compiled_for(alias)
        with compiled.executed(alias, values) as fetch:
            rows = fetch()
        return self._as_asked(rows, compiled, alias)

    def map_rows(self, alias: str, make: Callable[[list[Any]], T]) -> T:
        """What ``make`` makes of the rows in the database ``alias``.

        For so many rows that those of all cells should not be in memory at a time: only
        ``READERS`` threads are between the answer of their database and the end of ``make``.
        """
        compiled = self._compiled_for(alias)
        with compiled.executed(alias, {}) as fetch, _turn():
            return make(self._as_asked(fetch(), compiled, alias))

    def _compiled_for(self, alias: str) -> "_Compiled":
        vendor = connections[alias].vendor
        if (compiled := self._compiled.get(vendor)) is None:
            with self._lock:  # or the threads of all cells would compile it
                if (compiled := self._compiled.get(vendor)) is None:
                    compiled = self._compiled[vendor] = _Compiled(self._queryset, alias)
        return compiled

    def _as_asked(self, rows: list[Any], compiled: "_Compiled", alias: str) -> list[Any]:
        """The rows as the queryset gives them: instances, dicts, tuples or values."""
        if self._iterable is ModelIterable:
            return compiled.instances(alias, rows)
        if self._iterable is ValuesIterable:
            names = tuple(self._queryset.query.selected or ())
            return [dict(zip(names, row, strict=True)) for row in rows]
        return [row for (row,) in rows] if self._iterable is FlatValuesListIterable else rows


class _Compiled:
    """The SQL for the databases of one vendor, with its parameters and converters."""

    def __init__(self, queryset: "QuerySet[Any, Any]", alias: str) -> None:
        self._compiler = queryset.query.get_compiler(using=alias)
        try:
            self._sql, self._params = self._compiler.as_sql()
        except EmptyResultSet:  # no row can match
            self._sql, self._params = "", ()
            return
        selected = [column for column, *_ in self._compiler.select[: self._compiler.col_count]]
        self._converters = self._compiler.get_converters(selected)

    @contextmanager
    def executed(
        self, alias: str, values: dict[str, Any]
    ) -> Iterator[Callable[[], list[tuple[Any, ...]]]]:
        """The statement has been executed in the block; what is yielded fetches its rows."""
        if not self._sql:
            yield list
            return
        params = [
            param.value(values) if isinstance(param, Parameter) else param for param in self._params
        ]
        with connections[alias].cursor() as cursor:
            cursor.execute(self._sql, params)
            yield lambda: self._converted(cursor.fetchall())

    def _converted(self, rows: Any) -> list[tuple[Any, ...]]:
        if not self._converters:
            return list(rows)
        converted: Iterator[Any] = self._compiler.apply_converters(rows, self._converters)
        return list(map(tuple, converted))

    def instances(self, alias: str, rows: list[tuple[Any, ...]]) -> list[Model]:
        """An instance for each of these rows, as Django's ``ModelIterable`` makes them."""
        if not rows:
            return []
        selected, of_model = self._compiler.select, self._compiler.klass_info
        fields = of_model["select_fields"]
        start, stop = fields[0], fields[-1] + 1
        names = [column.target.attname for column, *_ in selected[start:stop]]
        populators = cast(Any, get_related_populators)(of_model, selected, alias)
        instances = []
        for row in rows:
            instance = of_model["model"].from_db(alias, names, row[start:stop])
            for populator in populators:
                populator.populate(row, instance)
            for name, position in self._compiler.annotation_col_map.items():
                setattr(instance, name, row[position])
            instances.append(instance)
        return instances
