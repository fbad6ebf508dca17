"""Comparisons that mean the same in every database: of text, for any ``CharField``, and of ids."""

import json
from collections.abc import Callable, Collection
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import CharField
from django.db.models.lookups import Exact, Lookup

from cells.statements import Parameter


def _beyond_utf8mb3(text: str) -> bool:
    """Whether the text has characters that MySQL refuses to compare with Nova's columns.

    Their character set is utf8mb3, which ends at U+FFFF.
    """
    return max(text, default="") > "\uffff"


class SameText(Exact):
    """``host__same_text``: equal, case and accents included.

    MySQL's usual collations ignore both, so the bytes are compared there in addition to the
    text, which an index can be used for.
    """

    lookup_name = "same_text"

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        return f"= {rhs}"

    def as_mysql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        params = [*left_params, *right_params]
        if _beyond_utf8mb3(str(self.rhs)):
            return f"BINARY {left} = {right}", params
        return f"({left} = {right} AND BINARY {left} = {right})", [*params, *params]


class Like(Lookup):
    """``hypervisor_hostname__like``: contains the pattern, whatever its case.

    ``%`` and ``_`` are wildcards, as they are in Nova's own query.
    """

    lookup_name = "like"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        pattern = f"%{str(self.rhs).lower()}%"
        if connection.vendor == "mysql":  # whose collations ignore accents
            return f"LOWER({left}) LIKE BINARY %s", (*params, pattern)
        return rf"LOWER({left}) LIKE %s ESCAPE '\'", (*params, pattern)


#: Equal to nothing in Nova's columns of text, which are shorter.
_NO_TEXT = "?" * 256
#: Beyond any column: equal to no number.
_NO_NUMBER = 2**64

#: For values that are given when a statement is executed: what a driver makes one parameter of.
#: For MySQL, whose lists must not be empty, with a value that is equal to none.
_AMONG_GIVEN: dict[str, tuple[str, Callable[[Collection[Any], Any], Any]]] = {
    "postgresql": ("%s = ANY(%%s)", lambda values, none: list(values)),
    "mysql": ("%s IN %%s", lambda values, none: tuple(values) or (none,)),
    "sqlite": (
        "%s IN (SELECT value FROM json_each(%%s))",
        lambda values, none: json.dumps([*values]),
    ),
}


class Among(Lookup):
    """``host__among=frozenset(...)``: one of many texts, or ids.

    As ``in``, but without preparing each of them, which takes several microseconds.  It has to
    be a frozenset, since Django looks for expressions in lists; or a ``Parameter`` whose value is
    any collection of them.
    """

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        values: frozenset[str] | Parameter = self.rhs
        if isinstance(values, Parameter):
            sql, as_given = _AMONG_GIVEN[connection.vendor]
            is_text = isinstance(self.lhs.output_field, CharField)
            none = _NO_TEXT if is_text else _NO_NUMBER
            return sql % left, (*params, values.then(lambda given: as_given(given, none)))
        if not values:
            raise EmptyResultSet
        if connection.vendor == "postgresql":
            return f"{left} = ANY(%s)", (*params, list(values))
        places = ", ".join(["%s"] * len(values))
        return f"{left} IN ({places})", (*params, *values)
