"""os-hypervisors."""

from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from oslo_utils.uuidutils import is_uuid_like
from rest_framework.request import Request
from rest_framework.response import Response

from cells.executors import CellUnavailable
from cells.fields import utc_now
from cells.locate import Ambiguous, Found, MayBeMissing, NotFound, by_id, by_uuid
from cells.registry import Cell, compute_cells
from cells.scatter_gather import AcrossCells
from hypervisors.filters import HypervisorFilterSet
from hypervisors.models import ComputeNode
from hypervisors.serializers import (
    HypervisorDetailSerializer,
    HypervisorSerializer,
    uptime,
)
from hypervisors.visibility import ID, KEYS, UUID, Lister, Listing, servers_on, sums
from portal.api.faults import BadRequest, ItemNotFound, NotImplementedFault, ServiceUnavailable
from portal.api.responses import NovaResponse
from portal.api.schemas import (
    BOOLEAN,
    HOST_NAME,
    NON_NEGATIVE_INTEGER,
    as_bool,
    once,
    query,
    repeatable,
)
from portal.api.serializers import VersionedSerializer
from portal.api.views import NovaViewSet, missing_cells_warnings, warning_header
from portal.microversions import Versioned
from services.models import NOVA_COMPUTE, Service, up_window
from services.views import BACKFILL_WARNING

PAGING = {"limit": repeatable(NON_NEGATIVE_INTEGER), "marker": repeatable({"type": "string"})}
WITH_SERVERS = {"with_servers": once(BOOLEAN)}
LIST_QUERY = Versioned(
    {
        "2.1": query({}, others=True),
        "2.33": query(PAGING, others=True),
        "2.53": query(
            {
                "limit": once(NON_NEGATIVE_INTEGER),
                "marker": once({"type": "string"}),
                "hypervisor_hostname_pattern": once(HOST_NAME),
                **WITH_SERVERS,
            },
            others=False,
        ),
    }
)
Hypervisors = list[dict[str, Any]]

UNTIL_2_52 = Versioned({"2.1": True, "2.53": False})
UNTIL_2_87 = Versioned({"2.1": True, "2.88": False})


class HypervisorViewSet(NovaViewSet):
    """The compute nodes of all cells that Nova can see."""

    queryset = ComputeNode.objects.all()
    serializer_class = HypervisorDetailSerializer
    filterset_class = HypervisorFilterSet
    lookup_url_kwarg = "id"
    policy_base = "os_compute_api:os-hypervisors"
    policies = {
        "list": "list",
        "list_detail": "list-detail",
        "statistics": "statistics",
        "retrieve": "show",
        "uptime": "uptime",
        "search": "search",
        "servers": "servers",
    }
    exists = {
        "uptime": UNTIL_2_87,
        "statistics": UNTIL_2_87,
        "search": UNTIL_2_52,
        "servers": UNTIL_2_52,
    }
    query_schemas = {
        "list": LIST_QUERY,
        "list_detail": LIST_QUERY,
        "retrieve": Versioned(
            {"2.1": query({}, others=True), "2.53": query(WITH_SERVERS, others=False)}
        ),
    }
    #: Whether lists come in pages.
    pages = Versioned({"2.1": False, "2.33": True})
    #: Whether hypervisors go by their uuid.
    uses_uuid = Versioned({"2.1": False, "2.53": True})
    #: Whether a hypervisor without servers says so, when servers are asked for.
    says_no_servers = Versioned({"2.1": False, "2.75": True})

    # --- lists ----------------------------------------------------------------------------

    def list(self, request: Request, **kwargs: Any) -> Response:
        """Hypervisors, cell by cell, in each by id."""
        return self._list(HypervisorSerializer, "os-hypervisors")

    def list_detail(self, request: Request, **kwargs: Any) -> Response:
        """Hypervisors in full."""
        return self._list(HypervisorDetailSerializer, "os-hypervisors/detail")

    def _list(self, serializer: type[VersionedSerializer], path: str) -> Response:
        pattern = self.query.get("hypervisor_hostname_pattern")
        lister = Lister(serializer.plan(self.version, KEYS))
        answer: dict[str, Any] = {}
        if pattern is not None:
            if "limit" in self.query or self.query.get("marker"):
                raise BadRequest  # Nova says no more than that, here
            listing = self._matching(lister, pattern)
        elif self.pages.at(self.version):
            limit = min(
                int(self.query.get("limit", settings.API_MAX_LIMIT)), settings.API_MAX_LIMIT
            )
            after = self._after(self.query["marker"]) if "marker" in self.query else None
            listing = lister.page(self.get_queryset(), limit, after) if limit else Listing()
            if limit and len(listing.rows) == limit:
                marker = listing.rows[-1][UUID if self.uses_uuid.at(self.version) else ID]
                answer["hypervisors_links"] = [self.next_link(path, marker)]
        else:
            listing = lister.all(self.get_queryset())
        hypervisors = self._render(serializer, listing)
        return self._answer({"hypervisors": hypervisors, **answer}, listing)

    def search(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hypervisors whose name matches."""
        listing = self._mapped(self._matching(self._lister(), id))
        return self._answer({"hypervisors": self._render(HypervisorSerializer, listing)}, listing)

    def servers(self, request: Request, id: str, **kwargs: Any) -> Response:
        """Hypervisors whose name matches, with their servers."""
        listing = self._mapped(self._matching(self._lister(), id))
        hypervisors = self._render(HypervisorSerializer, listing, with_servers=True)
        return self._answer({"hypervisors": hypervisors}, listing)

    def _lister(self) -> Lister:
        return Lister(HypervisorSerializer.plan(self.version, KEYS))

    def _matching(self, lister: Lister, pattern: str) -> Listing:
        """The visible nodes whose name matches; 404 when there is no match, visible or not."""
        filters = HypervisorFilterSet(
            {"hypervisor_hostname_pattern": pattern}, queryset=self.get_queryset()
        )
        nodes = filters.qs if filters.is_valid() else self.get_queryset().none()
        listing = lister.all(nodes)
        if not listing.matched:
            if listing.missing:
                raise _unavailable(listing.missing)
            raise ItemNotFound(f"No hypervisor matching '{pattern}' could be found.")
        return listing

    @staticmethod
    def _mapped(listing: Listing) -> Listing:
        """Nova's search and servers give up at the first host without a mapping."""
        if listing.unmapped:
            raise ItemNotFound(f"Host '{listing.unmapped[0]}' is not mapped to any cell")
        return listing

    def _after(self, marker: str) -> tuple[Cell, int]:
        """The node that the page comes after; 400 when there is none or more than one."""
        nodes = self._ids()
        try:
            number = _integer(marker)
            found = by_uuid(nodes, marker) if number is None else by_id(nodes, number)
        except NotFound:
            raise BadRequest(f"marker [{marker}] not found") from None
        except Ambiguous as error:
            raise BadRequest(
                f"marker [{marker}] refers to multiple hypervisors, {error}. "
                "Use microversion 2.53 and its uuid."
            ) from None
        except MayBeMissing as error:
            raise _unavailable(error.missing) from None
        return found.cell, found.row

    def _ids(self) -> AcrossCells[ComputeNode]:
        return AcrossCells(self.get_queryset().values_list("id", flat=True), compute_cells())

    # --- one ------------------------------------------------------------------------------

    def retrieve(self, request: Request, id: str, **kwargs: Any) -> Response:
        """A hypervisor in full."""
        listing = self._visible(HypervisorDetailSerializer, id)
        hypervisors = self._render(HypervisorDetailSerializer, listing)
        return self._answer({"hypervisor": hypervisors[0]}, listing)

    def uptime(self, request: Request, id: str, **kwargs: Any) -> Response:
        """A hypervisor with the uptime that nova-compute last reported."""
        plan = HypervisorSerializer.plan(self.version, (*KEYS, "stats"))
        lister = Lister(plan)
        listing = self._visible_by(lister, id)
        hypervisor = plan.render(listing.rows, {"up_window": up_window(utc_now())})[0]
        if hypervisor["state"] == "down":
            raise BadRequest(f"Compute service of {listing.hosts[0]} is unavailable at this time.")
        text = uptime(listing.rows[0][len(KEYS)])
        if text is None:
            raise NotImplementedFault
        return self._answer({"hypervisor": hypervisor | {"uptime": text}}, listing)

    def _visible(self, serializer: type[VersionedSerializer], id: str) -> Listing:
        return self._visible_by(Lister(serializer.plan(self.version, KEYS)), id)

    def _visible_by(self, lister: Lister, id: str) -> Listing:
        """The node with this id or uuid; 404 when Nova would not see it."""
        found = self._found(id)
        listing = lister.one(found.cell, found.row)
        if not listing.rows:
            if listing.missing:
                raise _unavailable(listing.missing)
            raise _no_hypervisor(id)
        return listing

    def _found(self, id: str) -> Found[Any]:
        """Which cell has it.  The form of the id is checked first, by version."""
        try:
            if self.uses_uuid.at(self.version):
                if not is_uuid_like(id):
                    raise BadRequest(f"Invalid uuid {id}")
                return by_uuid(self._ids(), id)
            number = _integer(id)
            if number is None:
                raise NotFound(id)
            return by_id(self._ids(), number)
        except NotFound:
            raise _no_hypervisor(id) from None
        except Ambiguous as error:
            raise BadRequest(
                f"Hypervisor id {id} refers to multiple hypervisors, {error}. "
                "Use microversion 2.53 and the hypervisor's uuid."
            ) from None
        except MayBeMissing as error:
            raise _unavailable(error.missing) from None

    # --- all ------------------------------------------------------------------------------

    def statistics(self, request: Request, **kwargs: Any) -> Response:
        """Sums over the nodes of live, enabled services."""
        service = Service.objects.filter(
            Q(host=OuterRef("host")) | Q(id=OuterRef("service_id")),
            binary=NOVA_COMPUTE,
            disabled=False,
        )
        total, missing = sums(capacity, self.get_queryset().filter(Exists(service)))
        return NovaResponse(
            {"hypervisor_statistics": total},
            headers=warning_header(missing_cells_warnings(missing)),
        )

    # --- answers --------------------------------------------------------------------------

    def _render(
        self,
        serializer: type[VersionedSerializer],
        listing: Listing,
        with_servers: bool | None = None,
    ) -> Hypervisors:
        context = {"up_window": up_window(utc_now())}
        hypervisors = serializer.plan(self.version, KEYS).render(listing.rows, context)
        if with_servers is None:
            with_servers = as_bool(self.query.get("with_servers", False))
        if with_servers:
            servers = servers_on(listing)
            for hypervisor, host in zip(hypervisors, listing.hosts, strict=True):
                if host in servers:
                    hypervisor["servers"] = servers[host]
                elif self.says_no_servers.at(self.version):
                    hypervisor["servers"] = []
        return hypervisors

    def _answer(self, data: dict[str, Any], listing: Listing) -> Response:
        warnings = missing_cells_warnings(listing.missing)
        one = data.get("hypervisor")
        shown = [one] if one else data.get("hypervisors", [])
        if any("service" in each and each["service"]["id"] is None for each in shown):
            warnings.append(BACKFILL_WARNING)
        return NovaResponse(data, headers=warning_header(warnings))


def capacity(nodes: QuerySet[ComputeNode]) -> dict[str, int | None]:
    """The sums of one cell; nulls do not count."""
    columns = (
        "current_workload",
        "disk_available_least",
        "free_disk_gb",
        "free_ram_mb",
        "local_gb",
        "local_gb_used",
        "memory_mb",
        "memory_mb_used",
        "running_vms",
        "vcpus",
        "vcpus_used",
    )
    return nodes.aggregate(count=Count("id"), **{column: Sum(column) for column in columns})


def _integer(text: str) -> int | None:
    """The integer that Nova would read from ``text`` (blanks, sign and zeros allowed)."""
    try:
        return int(text) if text.isascii() else None
    except ValueError:
        return None


def _no_hypervisor(id: str) -> ItemNotFound:
    return ItemNotFound(f"Hypervisor with ID '{id}' could not be found.")


def _unavailable(missing: "list[CellUnavailable]") -> ServiceUnavailable:
    return ServiceUnavailable(
        "It may be in a cell that does not answer: " + "; ".join(str(one) for one in missing)
    )
