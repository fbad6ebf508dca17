"""Serializers whose fields change with the microversion, compiled for rendering lists.

A serializer says once from which version each field holds (``Versioned``).  For one version it
is compiled, like a dataclass's ``__init__``, into a function from a row tuple of
``values_list()`` to a dict: DRF's walk over the fields of every row costs more than all the
rest of a request for 1,000 rows.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, TypeAlias

from rest_framework import serializers

from portal.microversions import Version, Versioned

Row = Sequence[Any]
AnyField: TypeAlias = "serializers.Field[Any, Any, Any, Any]"


class Computed(serializers.ReadOnlyField):
    """A value worked out from columns of the row and from the context of the request.

    ``by`` is called with the values of ``inputs``; an input that begins with ``@`` is taken from
    the context given to ``Plan.render`` (``@now``), any other is a column.  ``shows`` is the DRF
    field that describes the result in the API's schema.
    """

    def __init__(
        self,
        *inputs: str,
        by: Callable[..., Any],
        shows: "AnyField | None" = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inputs = inputs
        self.by = by
        self.shows = shows


class Plan:
    """How rows become dicts at one version.

    ``columns`` are what ``values_list()`` must fetch, in this order.
    """

    def __init__(self, fields: dict[str, Any], first: Sequence[str] = ()) -> None:
        self.columns = list(first)
        self._context: list[str] = []
        self._functions: dict[str, Callable[..., Any]] = {}
        body = self._dict(fields)
        arguments = ", ".join(["rows", *self._context])
        # Names in the source are our own (f0, f1, c0 ...); only field names are put in, quoted.
        source = f"lambda {arguments}: [{body} for r in rows]"
        self._render: Callable[..., list[dict[str, Any]]] = eval(  # noqa: S307
            source, dict(self._functions)
        )
        self._wanted = [name.removeprefix("context_") for name in self._context]

    def render(self, rows: Iterable[Row], context: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows as dicts, ready for JSON."""
        return self._render(rows, *(context[name] for name in self._wanted))

    def _dict(self, fields: dict[str, Any]) -> str:
        items = [f"{name!r}: {self._value(name, field)}" for name, field in fields.items()]
        return "{" + ", ".join(items) + "}"

    def _value(self, name: str, field: Any) -> str:
        if isinstance(field, dict):
            return self._dict(field)
        if isinstance(field, Computed):
            function = f"f{len(self._functions)}"
            self._functions[function] = field.by
            return f"{function}({', '.join(self._input(one) for one in field.inputs)})"
        return self._input(field.source or name)

    def _input(self, name: str) -> str:
        if name.startswith("@"):
            name = "context_" + name[1:]
            if name not in self._context:
                self._context.append(name)
            return name
        if name not in self.columns:
            self.columns.append(name)
        return f"r[{self.columns.index(name)}]"


class VersionedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A read-only serializer; attributes may be DRF fields or ``Versioned`` of them.

    Nested serializers are objects in the answer whose columns are those of the same row.
    """

    versioned: ClassVar[dict[str, Versioned[Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        steps: dict[str, Versioned[Any]] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Versioned):
                    steps[name] = value
                elif isinstance(value, serializers.Field):
                    steps[name] = Versioned({"2.1": value})
                elif name == "_declared_fields":
                    for field_name, field in value.items():
                        steps.setdefault(field_name, Versioned({"2.1": field}))
        cls.versioned = dict(sorted(steps.items(), key=_declared_at))

    @classmethod
    def fields_at(cls, version: Version) -> dict[str, Any]:
        """The fields there are at ``version``, in order; a nested serializer's as a dict."""
        fields: dict[str, Any] = {}
        for name, steps in cls.versioned.items():
            field = steps.at(version)
            if isinstance(field, VersionedSerializer):
                fields[name] = field.fields_at(version)
            elif field is not None:
                fields[name] = field
        return fields

    @classmethod
    def plan(cls, version: Version, first: tuple[str, ...] = ()) -> Plan:
        """How to render rows at ``version``; compiled once.

        ``first`` are columns to be fetched before all others, shown or not.
        """
        return _plan(cls, version, first)


def _declared_at(item: tuple[str, Versioned[Any]]) -> int:
    """Where in the class a field stands: DRF numbers fields as they are made."""
    made: list[int] = [field._creation_counter for _, field in item[1].steps() if field is not None]
    return min(made)


@cache
def _plan(serializer: type[VersionedSerializer], version: Version, first: tuple[str, ...]) -> Plan:
    return Plan(serializer.fields_at(version), first)
