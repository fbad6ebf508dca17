"""Filters of the console's lists of services, and of rows that have a service or a host."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q, QuerySet
from django.db.models.expressions import Combinable
from django.utils.translation import gettext_lazy as _

from cells.availability_zones import read_zones, zones_in
from cells.registry import Cell
from portal.console.filters import ChoicesFilter, ConditionsFilter, Counts, ListFilter
from services.models import (
    COMPUTE_TOPIC,
    Zones,
    availability_zone,
    state_expression,
    status_expression,
)
from services.problems import SERVICE_PROBLEMS

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


STATES: "Mapping[str, StrOrPromise]" = {"up": _("up"), "down": _("down")}
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


class HostZoneFilter(ListFilter):
    """The availability zone of rows with a ``host`` that is a compute host.

    Zones are in Nova's API database.  Comparing each row with all hosts of all zones would take a
    cell too long, so rows are not grouped by zone: the hosts are fetched and counted here.
    """

    title = _("Zone")
    parameter_name = "zone"
    grouped = False
    varies_by_cell = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        read_zones()

    def condition(self, cell: Cell) -> Q | None:
        zones, value = Zones(zones_in(cell)), self.value()
        hosts = frozenset(host for host, zone in zones.of_hosts.items() if zone == value)
        if value == zones.default:
            return Q(host=None) | ~Q(host__among=frozenset(zones.of_hosts) - hosts)
        return Q(host__among=hosts) if hosts else None

    def values_query(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        return rows.values_list("host")

    def count_values(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        zones = Zones(zones_in(cell))
        return Counter(availability_zone(COMPUTE_TOPIC, host, zones) for (host,) in rows)

    def lookups(self, counts: Counts) -> Iterable[tuple[str, str]]:
        return [(zone, zone) for zone in sorted(counts.by_value(self))]

    def count(self, value: str, counts: Counts) -> int:
        return counts.by_value(self)[value]


class ServiceZoneFilter(HostZoneFilter):
    """The availability zone of services, of which only compute services have their host's."""

    def condition(self, cell: Cell) -> Q | None:
        zones, in_zone = Zones(zones_in(cell)), super().condition(cell)
        compute = Q(topic=COMPUTE_TOPIC)
        conditions = [] if in_zone is None else [compute & in_zone]
        if self.value() == zones.internal:
            conditions.append(~compute | Q(topic=None))
        return Q(*conditions, _connector=Q.OR) if conditions else None

    def values_query(self, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
        return rows.values_list("topic", "host")

    def count_values(self, cell: Cell, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
        zones = Zones(zones_in(cell))
        return Counter(availability_zone(topic, host, zones) for topic, host in rows)


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
