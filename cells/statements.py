"""A queryset's SQL, compiled once and executed in many cells.

Django compiles a queryset anew for each database it is bound to; over a hundred cells that costs
more than the queries do.  All cells of a database vendor are asked the same statement.
"""

import threading
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Expression, QuerySet
from django.db.models.query import FlatValuesListIterable, ValuesListIterable


class Parameter(Expression):
    """Stands for a value of a ``Statement`` that is given when it is executed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


class Statement:
    """What a ``values_list()`` queryset, which names no database, selects.

    The queryset may compare with a ``Parameter``: such a statement can be kept, and executed with
    other values each time.
    """

    def __init__(self, queryset: "QuerySet[Any, Any]") -> None:
        self._queryset = queryset
        self._flat = queryset._iterable_class is FlatValuesListIterable
        self._compiled: dict[str, _Compiled] = {}
        self._lock = threading.Lock()

    @classmethod
    def can_be_made_of(cls, queryset: "QuerySet[Any, Any]") -> bool:
        """Whether the queryset selects tuples or single values, not instances."""
        made_of = (ValuesListIterable, FlatValuesListIterable)
        return queryset._iterable_class in made_of

    def rows(self, alias: str, **values: Any) -> list[Any]:
        """The rows in the database ``alias``, as the queryset would give them.

        ``values`` are those of its parameters, by name, as the database takes them.
        """
        vendor = connections[alias].vendor
        if (compiled := self._compiled.get(vendor)) is None:
            with self._lock:  # or the threads of all cells would compile it
                if (compiled := self._compiled.get(vendor)) is None:
                    compiled = self._compiled[vendor] = _Compiled(self._queryset, alias)
        rows = compiled.rows(alias, values)
        return [row for (row,) in rows] if self._flat else rows


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

    def rows(self, alias: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        if not self._sql:
            return []
        params = [
            values[param.name] if isinstance(param, Parameter) else param for param in self._params
        ]
        with connections[alias].cursor() as cursor:
            cursor.execute(self._sql, params)
            rows = cursor.fetchall()
        if not self._converters:
            return list(rows)
        converted: Iterator[Any] = self._compiler.apply_converters(rows, self._converters)
        return list(map(tuple, converted))
