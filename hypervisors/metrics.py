"""Metrics of hypervisors, as openstack-exporter names them, and of problems."""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import CharField, Count, Value
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cells.availability_zones import host_zones, zones_in
from cells.host_values import HostValues
from cells.models import Aggregate, AggregateHost
from cells.registry import Cell
from cells.statements import Statement
from hypervisors.models import ComputeNode, Instance
from hypervisors.report import latest_report
from portal.metrics import CellReader, Family, Read, Samples, escape, written
from services.models import state_expression

LABELS = ("hostname", "availability_zone", "aggregates")
MIB, GIB = 1024**2, 1024**3
#: What stands in place of a state in the row with the number of servers.
SERVERS = "servers"

#: Each metric of a hypervisor with its column and what one unit of the column is.
BY_COLUMN = (
    (Family("openstack_nova_running_vms", "Servers that run.", LABELS), "running_vms", 1),
    (
        Family("openstack_nova_current_workload", "Tasks in progress on the host.", LABELS),
        "current_workload",
        1,
    ),
    (Family("openstack_nova_vcpus_available", "CPUs of the host.", LABELS), "vcpus", 1),
    (Family("openstack_nova_vcpus_used", "CPUs given to servers.", LABELS), "vcpus_used", 1),
    (
        Family("openstack_nova_memory_available_bytes", "Memory of the host.", LABELS),
        "memory_mb",
        MIB,
    ),
    (
        Family("openstack_nova_memory_used_bytes", "Memory given to servers.", LABELS),
        "memory_mb_used",
        MIB,
    ),
    (
        Family("openstack_nova_local_storage_available_bytes", "Disk of the host.", LABELS),
        "local_gb",
        GIB,
    ),
    (
        Family("openstack_nova_local_storage_used_bytes", "Disk given to servers.", LABELS),
        "local_gb_used",
        GIB,
    ),
    (
        Family("openstack_nova_free_disk_bytes", "Disk that is not given to servers.", LABELS),
        "free_disk_gb",
        GIB,
    ),
)
TOTAL_VMS = Family("openstack_nova_total_vms", "Servers that are not deleted.")
SERVERS_ON_DOWN_HOST = Family(
    "nova_cell_servers_on_down_host",
    "Servers that ran on a host when it last reported, for hosts that are down now.",
    ("host",),
)


def _read_aggregates(hosts: Collection[str] | None) -> dict[str, str]:
    aggregates: Any = Aggregate.objects.annotate(keys=Count("metadata"))
    of_zones = aggregates.filter(keys=1, metadata__key="availability_zone").values("pk")
    rows: Any = AggregateHost.objects.filter(host__isnull=False).exclude(aggregate__in=of_zones)
    if hosts is not None:
        rows = rows.filter(host__among=frozenset(hosts))
    names: dict[str, tuple[str, ...]] = {}
    for host, name in Statement(rows.values_list("host", "aggregate__name")).rows(rows.db):
        names[host] = (*names.get(host, ()), name or "")
    labels = {found: ",".join(sorted(found)) for found in set(names.values())}
    return {host: labels[found] for host, found in names.items()}


#: The names of each host's aggregates, sorted and joined by commas: as in openstack-exporter,
#: without aggregates that are an availability zone and nothing else.
aggregate_labels = HostValues(_read_aggregates)


#: Stands for the name of a metric in a template; no text in UTF-8 has it.
NAME = b"\xff"


class Template(NamedTuple):
    """Samples of a cell's hypervisors with all but their values, and what they were made of."""

    label: str
    zones: dict[str, str]
    aggregates: dict[str, str]
    hostnames: tuple[str | None, ...]
    hosts: tuple[str | None, ...]
    text: bytes


#: The template of each cell at the last scrape: most often it is the same again.
_last_templates: dict[Cell, Template] = {}


def template_for(
    cell: Cell, label: str, hostnames: tuple[str | None, ...], hosts: tuple[str | None, ...]
) -> bytes:
    """The template for hypervisors with these names, on these hosts."""
    zones, aggregates = zones_in(cell), aggregate_labels.in_cell(cell)
    last = _last_templates.get(cell)
    if last is None or last[:5] != (label, zones, aggregates, hostnames, hosts):
        text = template_of(
            f'cell="{label}",hostname="{escape(hostname)}",'
            f'availability_zone="{escape(zones.get(host or ""))}",'
            f'aggregates="{escape(aggregates.get(host or ""))}"'
            for hostname, host in zip(hostnames, hosts, strict=True)
        )
        last = _last_templates[cell] = Template(label, zones, aggregates, hostnames, hosts, text)
    return last.text


def template_of(labels: Iterable[str]) -> bytes:
    """A sample with each of these labels, of a metric and with numbers that ``samples`` fills in.

    That takes a third of the time of writing each sample: a large fleet has a million.
    """
    return b"".join(b"%b{%b} %%d\n" % (NAME, text.encode().replace(b"%", b"%%")) for text in labels)


def samples(family: Family, template: bytes, values: Iterable[int]) -> Samples:
    """The samples of the template, of that family and with these values.

    Raises ``TypeError`` for a value that is no integer.
    """
    numbers = array("q", values)
    return lambda: family.name.encode().join((template % tuple(numbers)).split(NAME))


def begin() -> Read:
    """A reader of each cell's hypervisors, and of how many servers there are, in one query.

    A hypervisor is a compute node with a nova-compute in its cell.
    """
    host_zones.ensure()
    aggregate_labels.ensure()
    nodes: Any = (
        ComputeNode.objects.filter(service__id__isnull=False)
        .order_by()
        .values_list(
            "hypervisor_hostname",
            "host",
            state_expression(timezone.now(), "service__"),
            *(column for _family, column, _unit in BY_COLUMN),
        )
    )
    name: Any = Value(None, output_field=CharField())
    servers: Any = (
        Instance.objects.order_by()
        .values("deleted")
        .annotate(servers=Count("pk"))
        .values_list(name, name, Value(SERVERS), "servers", *map(Value, [0] * (len(BY_COLUMN) - 1)))
    )
    statement = Statement(nodes.union(servers, all=True))

    def read(cell: Cell, label: str) -> list[Samples]:
        rows = statement.rows(cell.alias)
        of_nodes = [row for row in rows if row[2] != SERVERS]
        columns = list(zip(*of_nodes, strict=True)) or [()] * (3 + len(BY_COLUMN))
        hostnames, hosts, states, *numbers = columns
        template = template_for(cell, label, hostnames, hosts)
        total = sum(row[3] for row in rows if row[2] == SERVERS)
        return [
            *(
                samples(family, template, [unit * (number or 0) for number in column])
                for (family, _column, unit), column in zip(BY_COLUMN, numbers, strict=True)
            ),
            written(f'{TOTAL_VMS.name}{{cell="{label}"}} {total}\n'.encode()),
            servers_on_down_hosts(label, hosts, states, numbers[0]),
        ]

    return read


def servers_on_down_hosts(
    label: str, hosts: Iterable[str], states: Iterable[str], servers: Iterable[int | None]
) -> Samples:
    """A sample for each host that is down and had servers."""
    running: dict[str, int] = defaultdict(int)
    for host, state, number in zip(hosts, states, servers, strict=True):
        if state == "down" and number:
            running[host] += number
    template = template_of(f'cell="{label}",host="{escape(host)}"' for host in running)
    return samples(SERVERS_ON_DOWN_HOST, template, running.values())


def refresh() -> None:
    """Read the labels of the next scrape, and check the fleet for it."""
    aggregate_labels.refresh()
    latest_report.refresh()


READER = CellReader(
    (*(family for family, _column, _unit in BY_COLUMN), TOTAL_VMS, SERVERS_ON_DOWN_HOST),
    begin,
    refresh,
)


class ProblemCollector(Collector):
    """How many findings the last check of the fleet had.

    A check looks at every row, so it is made between scrapes, and only while there are any.
    """

    def collect(self) -> Iterator[GaugeMetricFamily]:
        problems = GaugeMetricFamily(
            "nova_portal_problems",
            "Findings of the last check of the fleet.",
            labels=["problem", "severity"],
        )
        missing = GaugeMetricFamily(
            "nova_portal_problems_cells_missing", "Cells that the last check did not cover."
        )
        checked = GaugeMetricFamily(
            "nova_portal_problems_checked_timestamp_seconds", "When the fleet was last checked."
        )
        report = latest_report.last
        if report is not None:
            for result in report.results:
                problems.add_metric([result.problem.name, result.problem.severity], result.count)
            missing.add_metric([], len(report.missing))
            checked.add_metric([], report.at.timestamp())
        yield from (problems, missing, checked)
