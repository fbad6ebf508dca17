"""Filters of lists of services."""

import django_filters
from django.utils.translation import gettext_lazy as _

from services.models import Service


class ServiceFilterSet(django_filters.FilterSet):
    """``host`` and ``binary``, compared exactly, case included; an empty one does not filter."""

    host = django_filters.CharFilter(lookup_expr="same_text", strip=False)
    binary = django_filters.CharFilter(label=_("Binary"), lookup_expr="same_text", strip=False)

    class Meta:
        model = Service
        fields = ("host", "binary")
