"""One query for many cells, turned into SQL once.

Building the SQL of a list's query takes Django a few milliseconds, as long as a cell takes to
answer it; for twenty cells it is the same text twenty times.
"""

import threading
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler

from cells.mappings import Cell

Row = tuple[Any, ...]


class Compiled:
    """A ``values_list()`` query, to be asked of several cells; ``queryset`` names no database."""

    def __init__(self, queryset: "QuerySet[Any, Any]") -> None:
        self.queryset = queryset
        self._lock = threading.Lock()
        self._by_vendor: dict[str, tuple[str, Any, SQLCompiler, dict[int, Any]]] = {}

    def rows_in(self, cell: Cell) -> list[Row]:
        """The cell's answer.  To be called on the cell's lane."""
        connection = connections[cell.alias]
        with self._lock:
            found = self._by_vendor.get(connection.vendor)
            if found is None:
                compiler = self.queryset.query.clone().get_compiler(using=cell.alias)
                try:
                    sql, params = compiler.as_sql()
                except EmptyResultSet:
                    return []
                selected = [expression for expression, _sql, _alias in compiler.select or ()]
                converters = compiler.get_converters(selected)
                found = self._by_vendor[connection.vendor] = (sql, params, compiler, converters)
        sql, params, compiler, converters = found
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[Row] = cursor.fetchall()
        if converters:
            return [tuple(row) for row in compiler.apply_converters(rows, converters)]
        return rows
