"""Comparisons of text that mean the same in every database."""

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import CharField
from django.db.models.lookups import Exact, Lookup


def beyond_utf8mb3(text: str) -> bool:
    """Whether MySQL refuses to compare it with Nova's columns, which hold 16-bit characters."""
    return max(text, default="") > "\uffff"


@CharField.register_lookup
class SameText(Exact):
    """``host__same_text``: equal to the letter.  MySQL's usual collations ignore case, so there
    the bytes are compared as well (as well: an index still narrows).
    """

    lookup_name = "same_text"

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        return f"= {rhs}"

    def as_mysql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        params = [*left_params, *right_params]
        if beyond_utf8mb3(str(self.rhs)):
            return f"BINARY {left} = {right}", params
        return f"({left} = {right} AND BINARY {left} = {right})", [*params, *params]


@CharField.register_lookup
class Like(Lookup):
    """``hypervisor_hostname__like``: contains the pattern, in which ``%`` and ``_`` are wildcards
    as in Nova's own query, and case does not count (as on MySQL; PostgreSQL's LIKE minds it).
    """

    lookup_name = "like"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        pattern = f"%{str(self.rhs).lower()}%"
        if connection.vendor == "mysql":  # whose collations take an accent for none
            return f"LOWER({left}) LIKE BINARY %s", (*params, pattern)
        return rf"LOWER({left}) LIKE %s ESCAPE '\'", (*params, pattern)


@CharField.register_lookup
class Among(Lookup):
    """``host__among=frozenset(...)``: one of many texts.  As ``in``, which spends several
    microseconds on preparing each of them; give a frozenset, since Django walks over lists too.
    """

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        values: frozenset[str] = self.rhs
        if not values:
            raise EmptyResultSet
        if connection.vendor == "postgresql":
            return f"{left} = ANY(%s)", (*params, list(values))
        places = ", ".join(["%s"] * len(values))
        return f"{left} IN ({places})", (*params, *values)
