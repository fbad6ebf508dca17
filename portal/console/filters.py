"""The filters beside a list over all cells, each value with the number of rows it would leave.

One grouped query per cell counts for all facets together: rows are grouped by everything that a
facet looks at, and how many rows each value has under the other facets' choices is added up from
the few groups.  Only zones, which are kept in another database, are counted from the hosts.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Case, CharField, IntegerField, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.utils.translation import gettext_lazy as _

from cells.availability_zones import read_zones, zones_in
from cells.registry import Cell, all_cells

Label = Any  # text, or text still to be translated
#: What a row of the grouped query says of its rows: the annotations of all facets, and the cell.
Group = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """A value to filter by, as it is shown."""

    value: str
    label: Label
    count: int | None  # none when its cell did not answer
    selected: bool


class Facet:
    """One filter: the query parameter ``name`` and what it means."""

    def __init__(self, name: str, title: Label) -> None:
        self.name = name
        self.title = title

    def prepare(self) -> None:
        """Read what it needs from elsewhere, before cells are asked."""

    def annotations(self) -> dict[str, Combinable]:
        """What rows are grouped by for it, the same in every cell."""
        return {}

    def annotations_in(self, cell: Cell) -> dict[str, Combinable]:
        """What rows are grouped by for it in this cell only."""
        return {}

    def condition(self, value: str, cell: Cell) -> Q | None:
        """The rows of the cell that ``value`` leaves; ``None`` when it leaves none."""
        raise NotImplementedError

    def differs(self, value: str) -> bool:
        """Whether ``condition`` differs from cell to cell (other than by leaving nothing)."""
        return False

    def holds(self, value: str, group: Group) -> bool:
        """Whether ``value`` leaves the rows of this group."""
        raise NotImplementedError

    def values(self, groups: Iterable[Group]) -> list[tuple[str, Label]]:
        """The values there are, in the order they are shown in."""
        raise NotImplementedError


class CellFacet(Facet):
    """Which cell."""

    def __init__(self) -> None:
        super().__init__("cell", _("Cell"))

    def condition(self, value: str, cell: Cell) -> Q | None:
        return Q() if value in (cell.name, cell.uuid) else None

    def holds(self, value: str, group: Group) -> bool:
        cell = group["cell"]
        return value in (cell.name, cell.uuid)

    def values(self, groups: Iterable[Group]) -> list[tuple[str, Label]]:
        names = Counter(cell.name for cell in all_cells())
        return [
            (cell.name if names[cell.name] == 1 else cell.uuid, cell.name) for cell in all_cells()
        ]


class ValueFacet(Facet):
    """The value of an expression; with ``labels`` only those values, else those that occur."""

    def __init__(
        self,
        name: str,
        title: Label,
        expression: Combinable,
        labels: Mapping[str, Label] | None = None,
    ) -> None:
        super().__init__(name, title)
        self.expression = expression
        self.labels = labels
        self.column = f"facet_{name}"

    def annotations(self) -> dict[str, Combinable]:
        return {self.column: self.expression}

    def condition(self, value: str, cell: Cell) -> Q | None:
        return Q(**{self.column: value}) if value else Q(**{self.column: None})

    def holds(self, value: str, group: Group) -> bool:
        return (group[self.column] or "") == value

    def values(self, groups: Iterable[Group]) -> list[tuple[str, Label]]:
        if self.labels is not None:
            return list(self.labels.items())
        found = {group[self.column] or "" for group in groups}
        return [(value, value or _("none")) for value in sorted(found)]


class FlagsFacet(Facet):
    """Conditions of which a row may meet several; also ``any`` and ``none`` of them.

    ``hosts_of`` gives for some flags the hosts, per cell, that have it: what cannot be asked of
    the cell's own database.  ``prepare`` is called before it.
    """

    ANY, NONE = "any", "none"

    def __init__(
        self,
        name: str,
        title: Label,
        flags: Mapping[str, tuple[Label, Q]],
        any_label: Label,
        none_label: Label,
        hosts_of: Mapping[str, tuple[Label, Callable[[Cell], Sequence[str]]]] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(name, title)
        self._prepare = prepare
        self.flags = flags
        self.hosts_of = hosts_of or {}
        self.any_label, self.none_label = any_label, none_label

    def prepare(self) -> None:
        if self._prepare is not None:
            self._prepare()

    def column(self, flag: str) -> str:
        return f"facet_{self.name}_{flag.replace('-', '_')}"

    def annotations(self) -> dict[str, Combinable]:
        return {self.column(flag): _flag(condition) for flag, (_, condition) in self.flags.items()}

    def annotations_in(self, cell: Cell) -> dict[str, Combinable]:
        return {
            self.column(flag): _flag(Q(host__among=frozenset(hosts)))
            for flag, (_, hosts_in) in self.hosts_of.items()
            if (hosts := hosts_in(cell))
        }

    def condition(self, value: str, cell: Cell) -> Q | None:
        if value in self.flags:
            return self.flags[value][1]
        if value in self.hosts_of:
            hosts = self.hosts_of[value][1](cell)
            return Q(host__among=frozenset(hosts)) if hosts else None
        if value not in (self.ANY, self.NONE):
            return None
        some = Q()
        for column in (*self.annotations(), *self.annotations_in(cell)):
            some |= Q(**{column: 1})
        return some if value == self.ANY else ~some

    def differs(self, value: str) -> bool:
        return value in self.hosts_of

    def holds(self, value: str, group: Group) -> bool:
        if value in self.flags or value in self.hosts_of:
            return bool(group.get(self.column(value)))
        some = any(group.get(self.column(flag)) for flag in (*self.flags, *self.hosts_of))
        return some if value == self.ANY else not some if value == self.NONE else False

    def values(self, groups: Iterable[Group]) -> list[tuple[str, Label]]:
        return [
            (self.ANY, self.any_label),
            (self.NONE, self.none_label),
            *((flag, label) for flag, (label, _) in (*self.flags.items(), *self.hosts_of.items())),
        ]


def _flag(condition: Q) -> Combinable:
    return Case(When(condition, then=Value(1)), default=Value(0), output_field=IntegerField())


class ZoneFacet(Facet):
    """The availability zone of the row's host.

    It is not part of the groups: where it is chosen, the groups are of its hosts only.
    ``internal`` are the rows that are in the internal zone whatever their host is.
    """

    def __init__(self, internal: Q | None = None) -> None:
        super().__init__("zone", _("Zone"))
        self.internal = internal

    def prepare(self) -> None:
        read_zones()

    def condition(self, value: str, cell: Cell) -> Q | None:
        zones = zones_in(cell)
        if self.internal is not None and value == settings.INTERNAL_AVAILABILITY_ZONE:
            return self.internal
        if value == settings.DEFAULT_AVAILABILITY_ZONE:
            condition = ~Q(
                host__among=frozenset(host for host, zone in zones.items() if zone != value)
            )
            condition |= Q(host=None)
        else:
            hosts = [host for host, zone in zones.items() if zone == value]
            if not hosts:
                return None
            condition = Q(host__among=frozenset(hosts))
        return condition if self.internal is None else condition & ~self.internal

    def differs(self, value: str) -> bool:
        return True

    def holds(self, value: str, group: Group) -> bool:
        return True

    def host_and_internal(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        """What ``count_in`` needs to know of rows."""
        if self.internal is None:
            return rows.values_list("host")
        return rows.values_list("host", _flag(self.internal))

    def count_in(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        """How many of these rows of the cell are in each zone."""
        zones, rest = zones_in(cell), settings.DEFAULT_AVAILABILITY_ZONE
        internal = settings.INTERNAL_AVAILABILITY_ZONE
        return Counter(
            internal if any(is_internal) else zones.get(host, rest) for host, *is_internal in rows
        )

    def values(self, groups: Iterable[Group]) -> list[tuple[str, Label]]:
        return []

    def expression(self, cell: Cell) -> Combinable | str:
        """The zone of each row, to sort by; plain text where all rows have the same."""
        hosts: dict[str, list[str]] = {}
        for host, zone in zones_in(cell).items():
            hosts.setdefault(zone, []).append(host)
        rest = settings.DEFAULT_AVAILABILITY_ZONE
        whens = [
            When(host__among=frozenset(names), then=Value(zone)) for zone, names in hosts.items()
        ]
        if self.internal is not None:
            whens.insert(0, When(self.internal, then=Value(settings.INTERNAL_AVAILABILITY_ZONE)))
        if not whens:
            return rest
        return Case(*whens, default=Value(rest), output_field=CharField())
