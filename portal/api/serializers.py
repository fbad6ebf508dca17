"""Serializers whose fields change with the microversion, compiled for rendering lists.

A serializer declares the versions of each field (``Versioned``).  For each version it is compiled,
as dataclasses compile ``__init__``, into a function from the row tuples of ``values_list()`` to
dicts: for 1,000 rows, DRF's walk over the fields of every row costs more than the rest of the
request.
"""

import datetime
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, TypeAlias

from rest_framework import serializers

from portal.microversions import Version, Versioned

Row = Sequence[Any]
AnyField: TypeAlias = "serializers.Field[Any, Any, Any, Any]"


def nova_time(value: datetime.datetime | None) -> str | None:
    """A time as Nova writes it: UTC without a zone, always six digits of seconds."""
    if value is None:
        return None
    if value.tzinfo is not None:
        value = value.replace(tzinfo=None)
    return value.isoformat(timespec="microseconds")


class Computed(serializers.ReadOnlyField):
    """A value computed from columns of the row and from the context of the request.

    ``compute`` is called with the values of ``inputs``.  An input that starts with ``@`` is taken
    from the context passed to ``Plan.render`` (``@up_window``); any other is a column.
    ``shown_as`` is the DRF field that describes the result: its type, and whether it may be null.
    """

    def __init__(
        self, *inputs: str, compute: Callable[..., Any], shown_as: AnyField, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.inputs = inputs
        self.compute = compute
        self.shown_as = shown_as


class Plan:
    """A compiled serializer for one version.

    ``columns`` are the arguments for ``values_list()``, in this order.
    """

    def __init__(self, fields: dict[str, Any], first: Sequence[str] = ()) -> None:
        self.columns = list(first)
        self._context: list[str] = []
        self._functions: dict[str, Callable[..., Any]] = {}
        body = self._dict(fields)
        arguments = ", ".join(["rows", *self._context])
        # All names in the source are generated (f0, f1, context_...); field names are quoted.
        source = f"lambda {arguments}: [{body} for r in rows]"
        self._render: Callable[..., list[dict[str, Any]]] = eval(  # noqa: S307
            source, dict(self._functions)
        )
        self._context_keys = [name.removeprefix("context_") for name in self._context]

    def render(self, rows: Iterable[Row], context: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows as dicts, ready for JSON."""
        return self._render(rows, *(context[key] for key in self._context_keys))

    def _dict(self, fields: dict[str, Any]) -> str:
        items = [f"{name!r}: {self._value(name, field)}" for name, field in fields.items()]
        return "{" + ", ".join(items) + "}"

    def _value(self, name: str, field: Any) -> str:
        if isinstance(field, dict):
            return self._dict(field)
        if isinstance(field, Computed):
            function = f"f{len(self._functions)}"
            self._functions[function] = field.compute
            return f"{function}({', '.join(self._input(name) for name in field.inputs)})"
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
    """A read-only serializer whose attributes may be DRF fields or ``Versioned`` DRF fields.

    A nested serializer is a nested object in the response, with columns of the same row.
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
    def declared_at(cls, version: Version) -> dict[str, Any]:
        """The fields at ``version``, in the order of their declaration.

        A nested serializer is a nested dict.
        """
        fields: dict[str, Any] = {}
        for name, steps in cls.versioned.items():
            field = steps.at(version)
            if isinstance(field, VersionedSerializer):
                fields[name] = field.declared_at(version)
            elif field is not None:
                fields[name] = field
        return fields

    @classmethod
    def fields_at(cls, version: Version) -> dict[str, Any]:
        """The fields at ``version``, each as the DRF field that describes it in the API schema.

        A ``Computed`` is described by its ``shown_as``.
        """
        return _as_shown(cls.declared_at(version))

    @classmethod
    def plan(cls, version: Version, first: tuple[str, ...] = ()) -> Plan:
        """The compiled serializer for ``version``; compiled once.

        ``first`` are columns to fetch before all others, whether rendered or not.
        """
        return _plan(cls, version, first)


def _declared_at(item: tuple[str, Versioned[Any]]) -> int:
    """The position of a field in its class: DRF numbers fields as they are created."""
    counters: list[int] = [
        field._creation_counter for _, field in item[1].steps() if field is not None
    ]
    return min(counters)


def _as_shown(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _as_shown(field)
        if isinstance(field, dict)
        else field.shown_as
        if isinstance(field, Computed)
        else field
        for name, field in fields.items()
    }


@cache
def _plan(serializer: type[VersionedSerializer], version: Version, first: tuple[str, ...]) -> Plan:
    return Plan(serializer.declared_at(version), first)
