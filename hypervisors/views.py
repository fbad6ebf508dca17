"""os-hypervisors."""

from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audit.journal import actor_of
from audit.models import Channel
from cells.fields import utc_now
from cells.locate import Ambiguous, MayBeMissing, NotFound
from cloud.compute_rpc import NotSupported
from cloud.deadlines import CloudError
from hypervisors import schemas
from hypervisors.filters import HypervisorFilterSet
from hypervisors.models import ComputeNode
from hypervisors.serializers import (
    HypervisorDetailSerializer,
    HypervisorSerializer,
    HypervisorUptimeSerializer,
)
from hypervisors.uptime import ask_uptime
from hypervisors.visibility import KEYS, Listing, VisibleNodes, servers_on, statistics
from portal.api.endpoints import endpoint
from portal.api.faults import BadRequest, ComputeFault, ItemNotFound, NotImplementedFault
from portal.api.pagination import MarkerPagination
from portal.api.responses import NovaResponse
from portal.api.schemas import as_bool, as_integer, check_uuid
from portal.api.views import NovaViewSet
from portal.microversions import Versioned, before
from services.models import up_window
from services.serializers import BACKFILL_WARNING

Hypervisors = list[dict[str, Any]]


class HypervisorViewSet(NovaViewSet):
    """The compute nodes of all cells that Nova can see."""

    queryset = ComputeNode.objects.all()
    serializer_class = HypervisorSerializer
    filterset_class = HypervisorFilterSet
    pagination_class = MarkerPagination
    policy_base = "os_compute_api:os-hypervisors"
    collection_name, member_name = "hypervisors", "hypervisor"
    #: Whether a hypervisor without servers says so, when servers are asked for.
    says_no_servers = Versioned({"2.1": False, "2.75": True})

    # --- lists ----------------------------------------------------------------------------

    @endpoint("list", query=schemas.LIST, response=schemas.LISTED, samples=("list", "page"))
    def list(self, request: Request, **kwargs: Any) -> Response:
        """Hypervisors, cell by cell, in each by id."""
        return self._list()

    @action(detail=False, url_path="detail")
    @endpoint(
        "list-detail",
        query=schemas.LIST,
        serializer=HypervisorDetailSerializer,
        response=schemas.LISTED,
        samples=("detail",),
    )
    def list_detail(self, request: Request, **kwargs: Any) -> Response:
        """Hypervisors in full."""
        return self._list()

    @action(detail=True)
    @endpoint(
        "search",
        versions=before("2.53"),
        id_schema=schemas.NAME,
        response=schemas.FOUND,
        samples=("search",),
    )
    def search(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hypervisors whose name matches; from 2.53 a parameter of the lists."""
        return self._search({"hypervisor_hostname_pattern": id})

    @action(detail=True)
    @endpoint(
        "servers",
        versions=before("2.53"),
        id_schema=schemas.NAME,
        response=schemas.FOUND_WITH_SERVERS,
        samples=("servers",),
    )
    def servers(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hypervisors whose name matches, with their servers; from 2.53 parameters of the lists."""
        return self._search({"hypervisor_hostname_pattern": id, "with_servers": "true"})

    def _list(self) -> Response:
        if "hypervisor_hostname_pattern" in self.query:
            if "limit" in self.query or self.query.get("marker"):
                raise BadRequest  # without a message, in Nova too
            return NovaResponse({"hypervisors": self._shown(self._matching())})
        nodes = self._nodes()
        page: Any = self.paginate_queryset(nodes)  # type: ignore[arg-type]
        if page is None:
            return NovaResponse({"hypervisors": self._shown(nodes.all())})
        return self.get_paginated_response(self._shown(page))

    def _search(self, query: dict[str, str]) -> Response:
        self.query = query
        listing = self._matching()
        if listing.unmapped:  # Nova gives up at the first one
            raise ItemNotFound(f"Host '{listing.unmapped[0]}' is not mapped to any cell")
        return NovaResponse({"hypervisors": self._shown(listing)})

    def _matching(self) -> Listing:
        """The visible nodes whose name matches; 404 when no node matches, visible or not."""
        listing = self._nodes().all()
        if not listing.matched:
            if listing.missing:
                raise MayBeMissing(listing.missing)
            pattern = self.query["hypervisor_hostname_pattern"]
            raise ItemNotFound(f"No hypervisor matching '{pattern}' could be found.")
        return listing

    # --- one hypervisor -------------------------------------------------------------------

    @endpoint(
        "show",
        query=schemas.SHOW,
        serializer=HypervisorDetailSerializer,
        response=schemas.SHOWN,
        samples=("show", "show-without-servers"),
    )
    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """A hypervisor in full; from 2.88 with its uptime, for which nova-compute may be asked."""
        listing = self.get_object()
        [hypervisor] = self._shown(listing)
        if hypervisor.get("uptime", "") is None and hypervisor["state"] == "up":
            try:
                hypervisor["uptime"] = self._ask_uptime(listing)
            except NotSupported:
                pass  # null, as in Nova
            except CloudError as error:
                self.warnings.append(str(error))
        return NovaResponse({"hypervisor": hypervisor})

    @action(detail=True)
    @endpoint(
        "uptime",
        versions=before("2.88"),
        serializer=HypervisorUptimeSerializer,
        samples=("uptime",),
    )
    def uptime(self, request: Request, id: str, **kwargs: Any) -> Response:
        """A hypervisor with the uptime that its nova-compute answers.

        Without a message bus to ask over, it is what nova-compute last reported with the node.
        """
        listing = self.get_object()
        [hypervisor] = self._shown(listing)
        if hypervisor["state"] == "down":
            raise BadRequest(f"Compute service of {listing.hosts[0]} is unavailable at this time.")
        try:
            hypervisor["uptime"] = self._ask_uptime(listing) or hypervisor["uptime"]
        except NotSupported:
            raise NotImplementedFault from None
        except CloudError as error:
            raise ComputeFault(f"The uptime is not known: {error}") from None
        if hypervisor["uptime"] is None:
            raise NotImplementedFault
        return NovaResponse({"hypervisor": hypervisor})

    def get_object(self) -> Listing:
        """The visible node that the URL names, as the only one of a listing.

        By uuid from 2.53, before that by the integer id, which must be the only one of all cells.
        """
        id = self.kwargs[self.lookup_url_kwarg]
        try:
            if self.lookup_field == "uuid":
                check_uuid(id)
                return VisibleNodes(self.get_plan(KEYS).columns).by_uuid(id)
            return VisibleNodes(self.get_plan(KEYS).columns).by_id(as_integer(id))
        except NotFound:
            raise ItemNotFound(f"Hypervisor with ID '{id}' could not be found.") from None
        except Ambiguous as error:
            raise BadRequest(
                f"Hypervisor id {id} refers to multiple hypervisors, {error}. "
                "Use microversion 2.53 and the hypervisor's uuid."
            ) from None

    def _ask_uptime(self, listing: Listing) -> str | None:
        """What the nova-compute of the only node answers, in the cell its host is mapped to."""
        actor = actor_of(self.request, Channel.API)
        return ask_uptime(listing.homes[0], listing.hosts[0], actor)

    # --- all hypervisors ------------------------------------------------------------------

    @action(detail=False)
    @endpoint(
        "statistics", versions=before("2.88"), response=schemas.STATISTICS, samples=("statistics",)
    )
    def statistics(self, request: Request, **kwargs: Any) -> Response:
        """Sums over the nodes of live, enabled services."""
        sums, missing = statistics(self.get_queryset())
        self.warn_of(missing)
        return NovaResponse({"hypervisor_statistics": sums})

    # --- answers --------------------------------------------------------------------------

    def _nodes(self) -> VisibleNodes:
        """The nodes that the request is about, with the columns of its answer."""
        return VisibleNodes(self.get_plan(KEYS).columns, self.filter_queryset(self.get_queryset()))

    def _shown(self, listing: Listing) -> Hypervisors:
        """The nodes as the answer shows them, with their servers if asked for."""
        context = {"up_window": up_window(utc_now())}
        hypervisors = self.get_plan(KEYS).render(listing.rows, context)
        if as_bool(self.query.get("with_servers", False)):
            servers = servers_on(listing)
            for hypervisor, host in zip(hypervisors, listing.hosts, strict=True):
                if host in servers:
                    hypervisor["servers"] = servers[host]
                elif self.says_no_servers.at(self.version):
                    hypervisor["servers"] = []
        self.warn_of(listing.missing)
        if any("service" in each and each["service"]["id"] is None for each in hypervisors):
            self.warnings.append(BACKFILL_WARNING)
        return hypervisors
