"""The list merged over cells equals the list over one database with all rows."""

import datetime
import uuid
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.db.models import Case, CharField, F, Value, When
from django.db.models.functions import Cast, Coalesce
from django.test import RequestFactory
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from cells.aggregates import host_aggregates
from cells.availability_zones import host_zones
from cells.merge import CodePoints
from cells.models import CellMapping
from cells.registry import forget_cells
from hypervisors.admin import AddressText, HypervisorAdmin
from hypervisors.capacity import RESOURCES
from hypervisors.models import ComputeNode
from hypervisors.problems import unmapped_hosts
from portal.console.changelist import AcrossCellsChangeList
from services.models import Service
from tests.clouds import Cloud

NOW = timezone.now().replace(microsecond=0)
AGES = (0, 3600, 9 * 86400)
#: All different even in a collation that ignores case and accents, as MySQL's defaults do.
HOSTS = {
    "cell1": ["a", "B", "a_b", "ö", "zz", "10"],
    "cell2": ["c", "D", "a%b", "日", "€", "9"],
}
ZONES = {"a": "az1", "B": "az2", "c": "az1", "日": "az9"}
UNMAPPED = {"zz", "9"}


def ago(seconds: int) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


times = st.sampled_from(AGES).map(ago)
small = st.integers(0, 3)
names = st.sampled_from(["a", "B", "ab", "a_b", "ö", "z", "日", "€", "10", "9", "node z"])
node_columns = st.fixed_dictionaries(
    {
        "hypervisor_hostname": st.none() | names,
        "vcpus": small,
        "vcpus_used": small,
        "memory_mb": small,
        "memory_mb_used": small,
        "ram_allocation_ratio": st.sampled_from([None, 0.0, 1.0, 1.5]),
        "local_gb": small,
        "local_gb_used": small,
        "running_vms": st.none() | small,
        "hypervisor_type": st.sampled_from(["QEMU", "ironic", "Ironic v2"]),
        "hypervisor_version": st.sampled_from([1, 6002000, 7002000]),
        "host_ip": st.none() | st.sampled_from(["10.0.0.2", "10.0.0.10", "2001:db8::1"]),
        "updated_at": times,
    }
)
service_columns = st.fixed_dictionaries(
    {
        "disabled": st.booleans() | st.none(),
        "disabled_reason": st.none() | st.sampled_from(["broken", "a"]),
        "forced_down": st.booleans() | st.none(),
        "last_seen_up": st.none() | times,
        "created_at": times,
        "updated_at": times,
        "uuid": st.none() | st.uuids().map(str),
    }
)


def cell_rows(cell: str) -> st.SearchStrategy[Any]:
    hosts = st.sampled_from(HOSTS[cell])
    return st.tuples(
        st.lists(st.tuples(hosts, node_columns), max_size=9),
        st.dictionaries(hosts, service_columns),
    )


sortable = [name for name in HypervisorAdmin.list_display if name != "aggregates"]
orders = st.lists(
    st.tuples(st.sampled_from(sortable), st.booleans()),
    max_size=3,
    unique_by=lambda order: order[0],
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "q": st.sampled_from(["a", "10.0", "broken", "z node", "nothing", "_"]),
        "cell": st.sampled_from(["cell1", "cell2", "nowhere"]),
        "state": st.sampled_from(["up", "down", ""]),
        "status": st.sampled_from(["enabled", "disabled", ""]),
        "type": st.sampled_from(["QEMU", "ironic"]),
        "zone": st.sampled_from(["az1", "az2", "nova", "az8"]),
        "aggregate": st.sampled_from(["az1", "az9", "", "az8"]),
        "forced_down": st.sampled_from(["yes", "no", ""]),
        "vcpus": st.sampled_from(["75", "100"]),
        "memory": st.sampled_from(["90", "100", "sideways"]),
        "problem": st.sampled_from(
            [
                "any", "none", "no-service", "stale", "no-uuid", "forced-reporting",
                "disabled-long", "unmapped",
            ]
        ),
    },
)  # fmt: skip


class Listing(HypervisorAdmin):
    """Pages of three rows, so that there are several."""

    list_per_page = 3


class OneDatabase:
    """The rows of cell1 and cell2 together, in the database of cell3, which is unmapped."""

    def __init__(self, cloud: Cloud) -> None:
        self.alias = cloud.cell("cell3").alias
        self.cells = [cloud.cell("cell1"), cloud.cell("cell2")]
        CellMapping.objects.filter(name__in=["cell3", "cell0"]).delete()
        forget_cells()
        for cell in self.cells:
            for host in HOSTS[cell.name]:
                if host not in UNMAPPED:
                    cloud.map_host(host, cell)
        for zone in sorted(set(ZONES.values())):
            cloud.add_aggregate(zone, [host for host in ZONES if ZONES[host] == zone], zone=zone)
        host_zones.by_cell.expire()
        host_aggregates.by_cell.expire()
        self.places: dict[int, tuple[str, int]] = {}

    def fill(self, rows: dict[str, Any]) -> None:
        """Put these rows into the cells, and all of them into the one database."""
        self.places.clear()
        nodes: list[ComputeNode] = []
        services: list[Service] = []
        for cell in self.cells:
            of_cell, daemons = rows[cell.name]
            unique = {(host, columns["hypervisor_hostname"]): columns for host, columns in of_cell}
            own_nodes, own_services = [], []
            for number, ((host, _name), columns) in enumerate(unique.items(), 1):
                node = columns | {"host": host, "uuid": str(uuid.uuid4()), "cpu_info": ""}
                own_nodes.append(ComputeNode(id=number, **node))
                nodes.append(ComputeNode(id=len(nodes) + 1, **node))
                self.places[len(nodes)] = (cell.name, number)
            for number, (host, columns) in enumerate(daemons.items(), 1):
                service = columns | {"host": host, "binary": "nova-compute", "topic": "compute"}
                own_services.append(Service(id=number, **service))
                services.append(Service(id=len(services) + 1, **service))
            self._write(cell.alias, own_nodes, own_services)
        self._write(self.alias, nodes, services)

    def _write(self, alias: str, nodes: list[Any], services: list[Any]) -> None:
        ComputeNode.with_deleted.using(alias).delete()
        Service.with_deleted.using(alias).delete()
        ComputeNode.objects.using(alias).bulk_create(nodes)
        Service.objects.using(alias).bulk_create(services)

    def rows(self, query: dict[str, str], order: list[tuple[str, bool]]) -> list[ComputeNode]:
        """The rows that match the query, in that order."""
        request = RequestFactory().get("/")
        everything = ComputeNode.objects.using(self.alias)
        found, _ = Listing(ComputeNode, site).get_search_results(
            request, everything, query.get("q", "")
        )
        by = []
        for name, descending in order or [("name", False)]:
            key = self._keys()[name]
            by.append(key.desc(nulls_last=True) if descending else key.asc(nulls_last=True))
        return [
            node
            for node in found.select_related("service").order_by(*by, "id")
            if self._is_left(node, query)
        ]

    def _keys(self) -> dict[str, Any]:
        def text(expression: Any) -> Any:
            return CodePoints(expression)

        def service_case(**values: Any) -> Any:
            return Case(When(service__id=None, then=Value(None)), **values)

        ids = [row_id for row_id, (cell, _) in self.places.items() if cell == "cell1"]
        up = [node.id for node in ComputeNode.objects.using(self.alias).select_related("service")
              if node.service is not None and self._is_up(node.service)]  # fmt: skip
        zones = [When(host=host, then=Value(zone)) for host, zone in ZONES.items()]
        one_of = {"output_field": CharField()}
        return {
            "name": text(F("hypervisor_hostname")),
            "host": text(F("host")),
            "cell": text(Case(When(id__in=ids, then=Value("1")), default=Value("2"), **one_of)),
            "zone": text(Case(*zones, default=Value("nova"), **one_of)),
            "state": Case(
                When(service__id=None, then=Value(None)),
                When(id__in=up, then=Value(2)),
                default=Value(1),
            ),
            "seen": Coalesce("service__last_seen_up", "service__created_at"),
            "status": Case(
                When(service__id=None, then=Value(None)),
                When(service__disabled=True, then=Value(1)),
                default=Value(2),
            ),
            "type": text(F("hypervisor_type")),
            **{resource.name: resource.fraction_expression() for resource in RESOURCES},
            "servers": F("running_vms"),
            "ip": text(AddressText(F("host_ip"))),
            "uuid": text(Cast(F("uuid"), CharField(max_length=36))),
        }

    def _is_left(self, node: ComputeNode, query: dict[str, str]) -> bool:
        service: Service | None = node.service
        cell, _ = self.places[node.id]
        flags = self._flags(node, service)
        state = status = ""
        if service is not None:
            state = "up" if self._is_up(service) else "down"
            status = "disabled" if service.disabled else "enabled"
        facts = {
            "cell": cell,
            "state": state,
            "status": status,
            "type": node.hypervisor_type,
            "zone": ZONES.get(node.host or "", "nova"),
            "aggregate": ZONES.get(node.host or "", ""),
            "forced_down": "" if service is None else "yes" if service.forced_down else "no",
        }
        if any(query[name] != fact for name, fact in facts.items() if name in query):
            return False
        for resource in RESOURCES:
            level = query.get(resource.name)
            if level is not None and not self._is_used(resource.fraction(node), level):
                return False
        problem = query.get("problem")
        return (
            problem is None
            or problem in flags
            or (problem == "any" and bool(flags))
            or (problem == "none" and not flags)
        )

    @staticmethod
    def _is_used(share: float | None, level: str) -> bool:
        return level.isdigit() and share is not None and share >= int(level) / 100

    @staticmethod
    def _is_up(service: Any) -> bool:
        return not service.forced_down and (service.last_seen_up or service.created_at) >= ago(
            86400
        )

    def _flags(self, node: ComputeNode, service: Service | None) -> set[str]:
        flags = {"unmapped"} if node.host in UNMAPPED else set()
        if service is None:
            return flags | {"no-service"}
        if self._is_up(service) and node.updated_at <= ago(9 * 86400):
            flags.add("stale")
        if service.uuid is None:
            flags.add("no-uuid")
        if (service.last_seen_up or service.created_at) <= ago(9 * 86400):
            flags.add("down-long")
        if service.forced_down and service.last_seen_up and service.last_seen_up >= ago(86400):
            flags.add("forced-reporting")
        if service.disabled and service.updated_at <= ago(9 * 86400):
            flags.add("disabled-long")
        return flags


@pytest.fixture
def one_database(cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> OneDatabase:
    settings.SERVICE_DOWN_TIME = 86400
    settings.DISABLED_TOO_LONG_DAYS = settings.DOWN_TOO_LONG_DAYS = 5
    settings.CELL_MAPPINGS_TTL = 600
    monkeypatch.setattr(unmapped_hosts, "ttl", 0)
    return OneDatabase(cloud)


def change_list(query: dict[str, str]) -> AcrossCellsChangeList:
    request = RequestFactory().get("/", query)
    request.user = User(is_superuser=True, is_active=True)
    return Listing(ComputeNode, site).get_changelist_instance(request)


def pages(query: dict[str, str]) -> list[tuple[str, int]]:
    """The places of the rows of all pages, page by page."""
    first = change_list(query)
    shown = [
        first,
        *(change_list(query | {"p": str(n + 1)}) for n in range(1, first.paginator.num_pages)),
    ]
    assert all(len(page.result_list) == 3 for page in shown[:-1])
    return [(row.cell.name, row.id) for page in shown for row in page.result_list]


@given(
    rows=st.fixed_dictionaries({cell: cell_rows(cell) for cell in HOSTS}),
    views=st.lists(st.tuples(filters, orders), min_size=1, max_size=3),
    keys_first=st.booleans(),
    facets=st.sampled_from(({}, {"_facets": "True"})),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_merged_list_equals_that_of_a_single_database(
    rows: dict[str, Any],
    views: list[tuple[dict[str, str], list[tuple[str, bool]]]],
    keys_first: bool,
    facets: dict[str, str],
    one_database: OneDatabase,
) -> None:
    one_database.fill(rows)
    with pytest.MonkeyPatch.context() as patch:
        if not keys_first:  # every page by counting first, as for long lists
            patch.setattr("portal.console.changelist.MAX_FIRST_KEYS", 0)
        patch.setattr("cells.merge.FEWEST_KEYS", 1)  # so that cells are asked for more
        for query, order in views:
            o = ".".join(f"-{name}" if descending else name for name, descending in order)
            expected = [one_database.places[n.id] for n in one_database.rows(query, order)]
            assert pages(query | facets | {"o": o}) == expected, (query, order)


@given(
    rows=st.fixed_dictionaries({cell: cell_rows(cell) for cell in HOSTS}),
    query=filters,
)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_filter_counts_match_the_filtered_lists(
    rows: dict[str, Any], query: dict[str, str], one_database: OneDatabase
) -> None:
    one_database.fill(rows)
    listing = change_list(query | {"_facets": "True"})
    counted = 0
    for spec, choices in listing.filter_choices:
        for choice in choices:
            expected = len(one_database.rows(query | {spec.parameter_name: choice.value}, []))
            assert choice.count == expected, (query, spec.parameter_name, choice.value)
            counted += 1
    assert counted
