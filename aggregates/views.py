"""os-aggregates, for reading."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from aggregates import schemas
from aggregates.serializers import AggregateSerializer
from cells.aggregates import hosts_by_aggregate, metadata_by_aggregate
from cells.models import Aggregate
from portal.api.endpoints import endpoint
from portal.api.faults import BadRequest, ItemNotFound
from portal.api.responses import NovaResponse
from portal.api.schemas import as_integer
from portal.api.views import NovaViewSet
from portal.microversions import Versioned

Aggregates = list[dict[str, Any]]


class AggregateViewSet(NovaViewSet):
    """The aggregates of Nova's API database.  They have an integer id at every version."""

    queryset = Aggregate.objects.order_by("id")
    serializer_class = AggregateSerializer
    lookup_fields = Versioned({"2.1": "id"})
    policy_base = "os_compute_api:os-aggregates"
    collection_name, member_name = "aggregates", "aggregate"

    @endpoint("index", query=schemas.NO_PARAMETERS, samples=("list",))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """All aggregates, by id."""
        return NovaResponse({"aggregates": self._shown(self.get_queryset())})

    @endpoint("show", query=schemas.NO_PARAMETERS, id_schema=schemas.ID, samples=("show",))
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """One aggregate."""
        number = as_integer(id)
        if number is None:
            raise BadRequest("Invalid input received: id must be an integer")
        found = self._shown(self.get_queryset().filter(id=number))
        if not found:
            raise ItemNotFound(f"Aggregate {id} could not be found.")
        return NovaResponse({"aggregate": found[0]})

    def _shown(self, aggregates: QuerySet[Aggregate]) -> Aggregates:
        plan = self.get_plan()
        context = {
            "hosts": hosts_by_aggregate(aggregates),
            "metadata": metadata_by_aggregate(aggregates),
        }
        return plan.render(aggregates.values_list(*plan.columns), context)
