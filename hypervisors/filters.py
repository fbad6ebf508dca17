"""Filters of lists of hypervisors."""

import django_filters

from hypervisors.models import ComputeNode


class HypervisorFilterSet(django_filters.FilterSet):
    """``hypervisor_hostname_pattern`` is any part of the name; ``%`` and ``_`` are wildcards."""

    hypervisor_hostname_pattern = django_filters.CharFilter(
        field_name="hypervisor_hostname", lookup_expr="like", strip=False
    )

    class Meta:
        model = ComputeNode
        fields = ("hypervisor_hostname_pattern",)
