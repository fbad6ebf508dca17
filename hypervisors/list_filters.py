"""Filters of the console's list of hypervisors."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from django.db.models import Q
from django.db.models.lookups import GreaterThanOrEqual
from django.utils.translation import gettext_lazy as _

from cells.registry import Cell
from cells.statements import Parameter
from hypervisors.capacity import DISK, LEVELS, MEMORY, VCPUS, Resource
from hypervisors.problems import HOST_PROBLEMS, NODE_PROBLEMS
from portal.console.filters import ChoicesFilter, SummedFilter
from services.list_filters import (
    FORCED_DOWN,
    STATES,
    STATUSES,
    ForcedDownFilter,
    ServiceProblemFilter,
    StateFilter,
    StatusFilter,
)

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

NO_SERVICE = {"": _("no service")}


class NodeStateFilter(StateFilter):
    """The state of the node's service."""

    prefix = "service__"
    labels = {**STATES, **NO_SERVICE}


class NodeForcedDownFilter(ForcedDownFilter):
    """Whether the node's service is forced down."""

    prefix = "service__"
    labels = {**FORCED_DOWN, **NO_SERVICE}


class NodeStatusFilter(StatusFilter):
    """The status of the node's service."""

    prefix = "service__"
    labels = {**STATUSES, **NO_SERVICE}


class TypeFilter(ChoicesFilter):
    """The type of the hypervisor."""

    title = _("Type")
    parameter_name = "type"
    field_name = "hypervisor_type"


class NodeProblemFilter(ServiceProblemFilter):
    """The problems of the node, of its service, and of its host."""

    prefix = "service__"

    def get_conditions(self) -> "Mapping[str, tuple[StrOrPromise, Q]]":
        conditions: dict[str, tuple[StrOrPromise, Q]] = {
            problem.name: (problem.label, problem.condition(self.now)) for problem in NODE_PROBLEMS
        }
        conditions |= super().get_conditions()
        for problem in HOST_PROBLEMS:
            by_cell: defaultdict[Cell, Iterable[str]] = defaultdict(tuple, problem.hosts.get())
            hosts = Parameter("cell", by_cell.__getitem__)
            conditions[problem.name] = (problem.label, Q(host__among=hosts))
        return conditions


class UsageFilter(SummedFilter):
    """How much of what may be allocated is used, at least."""

    resource: ClassVar[Resource]

    def get_conditions(self) -> "Mapping[str, tuple[StrOrPromise, Q]]":
        fraction = self.resource.fraction_expression()
        return {
            str(level): (
                _("%(level)d %% or more") % {"level": level},
                Q(GreaterThanOrEqual(fraction, level / 100)),
            )
            for level in LEVELS
        }


class VcpusFilter(UsageFilter):
    """The use of vCPUs."""

    title = _("vCPUs used")
    parameter_name = "vcpus"
    resource = VCPUS


class MemoryFilter(UsageFilter):
    """The use of memory."""

    title = _("Memory used")
    parameter_name = "memory"
    resource = MEMORY


class DiskFilter(UsageFilter):
    """The use of disk."""

    title = _("Disk used")
    parameter_name = "disk"
    resource = DISK
