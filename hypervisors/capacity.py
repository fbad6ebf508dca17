"""How much of a hypervisor's resources is used, of what may be allocated.

Nova counts what an operator has reserved as used, so a hypervisor is full when ``used`` is the
physical amount times the allocation ratio.  Each rule stands here as a function of a node and as an
expression of a query; ``tests/test_capacity.py`` holds the two together.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import ExpressionWrapper, F, FloatField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, NullIf
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: The shares, in percent, by which lists are filtered: getting full, nearly full, full.
LEVELS = (75, 90, 100)


@dataclass(frozen=True)
class Usage:
    """How much is used of what may be allocated, and of that how much there physically is."""

    label: "StrOrPromise"
    used: int
    limit: float
    physical: int
    unit: str


@dataclass(frozen=True)
class Resource:
    """A resource of compute nodes: the fields that tell of it.

    ``unit`` is empty for counts, ``MiB`` or ``GiB`` for sizes.
    """

    name: str
    label: "StrOrPromise"
    used: str
    total: str
    ratio: str
    unit: str = ""

    @property
    def fields(self) -> tuple[str, str, str]:
        return self.used, self.total, self.ratio

    def usage(self, node: Any) -> Usage:
        """Of a compute node.  A ratio that is not set (null or 0 in old rows) counts as 1."""
        total = getattr(node, self.total)
        limit = total * (getattr(node, self.ratio) or 1.0)
        return Usage(self.label, getattr(node, self.used), limit, total, self.unit)

    def fraction(self, node: Any) -> float | None:
        """What share of the limit is used; ``None`` if there is nothing to use."""
        usage = self.usage(node)
        return usage.used / usage.limit if usage.limit else None

    def limit_expression(self) -> Combinable:
        """The limit, for rows of compute nodes."""
        ratio = Coalesce(NullIf(F(self.ratio), Value(0.0)), Value(1.0), output_field=FloatField())
        return ExpressionWrapper(F(self.total) * ratio, output_field=FloatField())

    def fraction_expression(self) -> Combinable:
        """``fraction``, for rows of compute nodes."""
        limit = NullIf(self.limit_expression(), Value(0.0))
        return ExpressionWrapper(
            Cast(F(self.used), FloatField()) / limit, output_field=FloatField()
        )


VCPUS = Resource("vcpus", _("vCPUs"), "vcpus_used", "vcpus", "cpu_allocation_ratio")
MEMORY = Resource(
    "memory", _("Memory"), "memory_mb_used", "memory_mb", "ram_allocation_ratio", "MiB"
)
DISK = Resource("disk", _("Disk"), "local_gb_used", "local_gb", "disk_allocation_ratio", "GiB")
RESOURCES = (VCPUS, MEMORY, DISK)


def usages(node: Any) -> list[Usage]:
    """What is used of each resource of a compute node."""
    return [resource.usage(node) for resource in RESOURCES]
