"""Filtering lists by query parameters."""

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django_filters.rest_framework import DjangoFilterBackend


class ValidatedQueryFilterBackend(DjangoFilterBackend):
    """Applies the view's ``filterset_class`` to the query, validated by the endpoint's schema.

    A value that is invalid for the filter, such as one with a NUL, matches nothing, because Nova
    refuses only what its schemas refuse.
    """

    def get_filterset_kwargs(
        self, request: HttpRequest, queryset: Any, view: Any
    ) -> dict[str, Any]:
        return {"data": view.query, "queryset": queryset, "request": request}

    def filter_queryset(
        self,
        request: HttpRequest,
        queryset: "QuerySet[Model]",
        view: Any,
    ) -> "QuerySet[Model]":
        filterset_class = self.get_filterset_class(view, queryset)
        if filterset_class is None or not filterset_class.base_filters.keys() & view.query.keys():
            return queryset
        filterset = filterset_class(**self.get_filterset_kwargs(request, queryset, view))
        return filterset.qs if filterset.is_valid() else queryset.none()
