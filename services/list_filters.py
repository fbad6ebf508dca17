"""Filters of the console's lists of services, and of rows that have a service or a host."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q, QuerySet
from django.db.models.expressions import Combinable
from django.utils.translation import gettext_lazy as _

from cells.aggregates import aggregates_in, host_aggregates
from cells.availability_zones import host_zones, zones_in
from cells.registry import Cell
from cells.statements import Parameter
from portal.console.filters import ChoicesFilter, ConditionsFilter, Counts, ListFilter
from services.models import (
    COMPUTE_TOPIC,
    Zones,
    forced_down_expression,
    state_expression,
    status_expression,
)
from services.problems import SERVICE_PROBLEMS

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


STATES: "Mapping[str, StrOrPromise]" = {"up": _("up"), "down": _("down")}
FORCED_DOWN: "Mapping[str, StrOrPromise]" = {"yes": _("yes"), "no": _("no")}
STATUSES: "Mapping[str, StrOrPromise]" = {"enabled": _("enabled"), "disabled": _("disabled")}


class StateFilter(ChoicesFilter):
    """Up or down, now; ``prefix`` leads to the service."""

    title = _("State")
    parameter_name = "state"
    labels = STATES
    prefix: ClassVar[str] = ""

    def expression(self) -> Combinable:
        return state_expression(self.now, self.prefix)


class StatusFilter(ChoicesFilter):
    """Enabled or disabled; ``prefix`` leads to the service."""

    title = _("Status")
    parameter_name = "status"
    labels = STATUSES
    prefix: ClassVar[str] = ""

    def expression(self) -> Combinable:
        return status_expression(self.prefix)


class ForcedDownFilter(ChoicesFilter):
    """Whether someone has declared the host down; ``prefix`` leads to the service."""

    title = _("Forced down")
    parameter_name = "forced_down"
    labels = FORCED_DOWN
    prefix: ClassVar[str] = ""

    def expression(self) -> Combinable:
        return forced_down_expression(self.prefix)


@dataclass(frozen=True)
class ValuesOfHosts:
    """The value, or the values, of each host that has any; ``default`` is that of all others."""

    of_hosts: Mapping[str, tuple[str, ...]]
    default: str

    def hosts_with(self, value: str) -> list[str]:
        """The hosts that have the value; for the default, also see ``hosts_without``."""
        return [host for host, values in self.of_hosts.items() if value in values]

    def hosts_without(self, value: str) -> list[str]:
        """The hosts that have only other values."""
        return [host for host, values in self.of_hosts.items() if value not in values]

    def count(self, hosts: Iterable[str | None]) -> Counter[str]:
        """How many of ``hosts`` have each value."""
        counts: Counter[str] = Counter()
        # Nothing is called in Python for each host: a page counts those of all cells.
        for found, number in Counter(map(self.of_hosts.get, hosts)).items():  # type: ignore[arg-type]
            for value in (self.default,) if found is None else found:
                counts[value] += number
        return counts


class HostsFilter(ListFilter):
    """What Nova's API database says of compute hosts, for rows with a ``host`` that is one.

    Comparing each row with all hosts would take a cell too long, so rows are not grouped: the hosts
    are fetched and counted here.
    """

    grouped = False
    #: The most choices to offer; the others have to be typed.
    max_choices: ClassVar[int | None] = None

    @property
    def default(self) -> str:
        """The value of hosts of which nothing is known."""
        raise NotImplementedError

    def hosts_in(self, cell: Cell) -> ValuesOfHosts:
        """What is known of the cell's hosts."""
        raise NotImplementedError

    def condition_of(self, value: str, cell: Cell) -> Q:
        if value == self.default:
            others = Parameter("cell", lambda cell: self.hosts_in(cell).hosts_without(value))
            return Q(host=None) | ~Q(host__among=others)
        hosts = Parameter("cell", lambda cell: self.hosts_in(cell).hosts_with(value))
        return Q(host__among=hosts)

    def values_query(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        return rows.values_list("host")

    def count_values(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        return self.hosts_in(cell).count(map(itemgetter(0), rows))

    def lookups(self, counts: Counts) -> "Iterable[tuple[str, StrOrPromise]]":
        """The values of most rows, if there are very many."""
        found = counts.by_value(self)
        values = set(found)
        if self.max_choices is not None and len(found) > self.max_choices:
            values = {value for value, _number in found.most_common(self.max_choices)}
            values.update(value for value in self.values if value in found)
            self.more = len(found) - len(values)
        return [(value, value or _("none")) for value in sorted(values)]

    def count(self, value: str, counts: Counts) -> int:
        return counts.by_value(self)[value]


class ServiceHostsFilter(HostsFilter):
    """The same of services, of which only compute services have what their host has."""

    @property
    def others(self) -> str:
        """The value of services that are not compute services."""
        raise NotImplementedError

    def condition_of(self, value: str, cell: Cell) -> Q:
        condition = Q(topic=COMPUTE_TOPIC) & super().condition_of(value, cell)
        if value == self.others:
            condition |= ~Q(topic=COMPUTE_TOPIC) | Q(topic=None)
        return condition

    def values_query(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        return rows.values_list("topic", "host")

    def count_values(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        rows = list(rows)
        hosts = [host for topic, host in rows if topic == COMPUTE_TOPIC]
        counts = self.hosts_in(cell).count(hosts)
        if others := len(rows) - len(hosts):
            counts[self.others] += others
        return counts


class HostZoneFilter(HostsFilter):
    """The availability zone."""

    title = _("Zone")
    parameter_name = "zone"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        host_zones.refresh()

    @property
    def default(self) -> str:
        return Zones({}).default

    def hosts_in(self, cell: Cell) -> ValuesOfHosts:
        zones = {host: (zone,) for host, zone in zones_in(cell).items()}
        return ValuesOfHosts(zones, self.default)


class ServiceZoneFilter(HostZoneFilter, ServiceHostsFilter):
    """The availability zone of services."""

    @property
    def others(self) -> str:
        return Zones({}).internal


class HostAggregateFilter(HostsFilter):
    """The aggregates; the empty value is for hosts that are in none."""

    title = _("Aggregate")
    parameter_name = "aggregate"
    max_choices = 30

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        host_aggregates.refresh()

    @property
    def default(self) -> str:
        return ""

    def hosts_in(self, cell: Cell) -> ValuesOfHosts:
        return ValuesOfHosts(aggregates_in(cell), self.default)


class ServiceAggregateFilter(HostAggregateFilter, ServiceHostsFilter):
    """The aggregates of the hosts of compute services."""

    @property
    def others(self) -> str:
        return ""


class ServiceProblemFilter(ConditionsFilter):
    """The problems that the service's own row tells; ``prefix`` leads to the service."""

    title = _("Problem")
    parameter_name = "problem"
    any_label = _("any problem")
    none_label = _("no problem")
    prefix: ClassVar[str] = ""

    def get_conditions(self) -> "Mapping[str, tuple[StrOrPromise, Q]]":
        return {
            problem.name: (problem.label, problem.condition(self.now, self.prefix))
            for problem in SERVICE_PROBLEMS
        }
