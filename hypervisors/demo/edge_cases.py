"""The edge cases of the demo fleet, each of them seen in real clouds.

Each function adds one to a cell, which ``EDGE_CASES`` chooses; tests find its rows by name in
``CellRows.named``, where the names of services end in ``_service``.
"""

import json
from collections.abc import Callable

from hypervisors.demo.builder import CellBuilder
from services.models import API_BINARIES

SIZES = (
    "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used",
    "free_ram_mb", "free_disk_gb", "disk_available_least", "current_workload", "running_vms",
)  # fmt: skip
NO_UPTIME = json.dumps({"uptime": None})


def ironic(cell: CellBuilder) -> None:
    """One nova-compute with a node per bare-metal machine, whose sizes are all 0."""
    host = f"c{cell.number}-ironic-1"
    service = cell.service(host)
    cell.map(host)
    for index in range(4):
        node = cell.node(
            host,
            cell.fleet.uuid("bare metal", cell.number, index),
            service=service,
            hypervisor_type="ironic",
            hypervisor_version=1,
            cpu_info="",
            host_ip=None,
            stats=NO_UPTIME,
            **dict.fromkeys(SIZES, 0),  # type: ignore[arg-type]
        )
        if index < 3:
            cell.instance(node, vm_state="active", power_state=1)
        cell.name(f"ironic{index}", node)
    cell.name("ironic_service", service)


def service_gone(cell: CellBuilder) -> None:
    """Compute nodes whose service was deleted; the second is no longer mapped either."""
    for name, mapped in (("gone", True), ("gone_unmapped", False)):
        host = f"c{cell.number}-gone-{1 if mapped else 2}"
        cell.service(host, up=False, deleted=True)
        cell.name(name, cell.node(host, updated_at=cell.ago(days=40)))
        if mapped:
            cell.map(host)


def unmapped(cell: CellBuilder) -> None:
    """A host that ``nova-manage cell_v2 discover_hosts`` has not seen yet."""
    service, node = cell.host(f"c{cell.number}-unmapped-1", mapped=False, instances=1)
    cell.name("unmapped", node)
    cell.name("unmapped_service", service)


def node_gone(cell: CellBuilder) -> None:
    """A live service whose only node was deleted."""
    host = f"c{cell.number}-nonode-1"
    service = cell.service(host)
    cell.node(host, service=service, deleted=True)
    cell.map(host)
    cell.name("nonode_service", service)


def reborn(cell: CellBuilder) -> None:
    """A host that was deleted and came back: old and new rows of the same name."""
    host = f"c{cell.number}-reborn-1"
    old = cell.service(host, up=False, deleted=True)
    cell.name("deleted_service", old)
    cell.name("deleted", cell.node(host, service=old, deleted=True))
    service, node = cell.host(host, instances=2)
    cell.name("reborn_service", service)
    cell.name("reborn", node)


def vmware(cell: CellBuilder) -> None:
    """A vCenter cluster: no IP address, a cpu_info of lists, no uptime."""
    service, node = cell.host(
        f"c{cell.number}-vmware-1",
        node={
            "hostname": "domain-c7." + cell.fleet.uuid("vcenter"),
            "hypervisor_type": "VMware vCenter Server",
            "hypervisor_version": 8000000,
            "host_ip": None,
            "cpu_info": json.dumps(
                {"model": ["Intel(R) Xeon(R)"], "vendor": ["Dell"], "topology": {"cores": 4}}
            ),
            "stats": NO_UPTIME,
        },
    )
    cell.name("vmware", node)
    cell.name("vmware_service", service)


def legacy(cell: CellBuilder) -> None:
    """A node from before Liberty: it refers to its service by id only and has no host."""
    host = f"c{cell.number}-legacy-1"
    service = cell.service(host)
    cell.map(host)
    node = cell.node(host, service=service)
    node.host = None
    cell.name("legacy", node)
    cell.name("legacy_service", service)


def nulls(cell: CellBuilder) -> None:
    """A node with null in every column that allows it, and a service as Nova leaves it."""
    columns = (
        "service_id", "free_ram_mb", "free_disk_gb", "current_workload", "running_vms",
        "disk_available_least", "host_ip", "supported_instances", "metrics", "pci_stats",
        "extra_resources", "stats", "numa_topology", "ram_allocation_ratio",
        "cpu_allocation_ratio", "disk_allocation_ratio", "mapped", "created_at", "updated_at",
    )  # fmt: skip
    service, node = cell.host(f"c{cell.number}-nulls-1", instances=0, updated_at=None)
    for column in columns:
        setattr(node, column, None)
    node.cpu_info = ""
    cell.name("nulls", node)
    cell.name("nulls_service", service)


def names(cell: CellBuilder) -> None:
    """Names in capitals, with an underscore (a wildcard of LIKE), long; IPv6; a long reason."""
    number = cell.number
    _, node = cell.host(f"C{number}-CMP-UPPER", node={"hostname": f"C{number}-CMP-UPPER.EXAMPLE"})
    cell.name("upper", node)
    _, node = cell.host(f"c{number}-under_score-1")
    cell.name("underscore", node)
    service, node = cell.host(
        f"c{number}-{'x' * 60}",
        disabled=True,
        disabled_reason=("Störung im Rechenzentrum, 冷却 ✓ " * 10)[:255],
        node={"host_ip": "2001:db8::2:1"},
    )
    cell.name("long", node)
    cell.name("long_service", service)


def no_uptime(cell: CellBuilder) -> None:
    """A host whose stats carry no uptime, as before nova 22."""
    _, node = cell.host(f"c{cell.number}-rpc-1", node={"stats": json.dumps({"failed_builds": "0"})})
    cell.name("no_uptime", node)


def evacuated(cell: CellBuilder) -> None:
    """A dead host, fenced and evacuated: not to be forced up while the evacuation is on record."""
    service, source = cell.host(
        f"c{cell.number}-evacuated-1", instances=0, forced_down=True, up=False
    )
    _, target = cell.host(f"c{cell.number}-refuge-1", instances=0)
    moved = cell.instance(target, vm_state="active", power_state=1)
    cell.migration(moved, source, target, status="done", migration_type="evacuation")
    cell.name("evacuated", source)
    cell.name("evacuated_service", service)
    cell.name("refuge", target)


def migrating(cell: CellBuilder) -> None:
    """A host with a live migration in progress and no instances left."""
    service, source = cell.host(f"c{cell.number}-migrating-1", instances=0)
    _, target = cell.host(f"c{cell.number}-migrating-2", instances=0)
    moved = cell.instance(target, vm_state="active", task_state="migrating", power_state=1)
    cell.migration(moved, source, target, status="migrating", migration_type="live-migration")
    cell.name("migrating", source)
    cell.name("migrating_service", service)


def states(cell: CellBuilder) -> None:
    """Instances in unusual states, and a host with deleted ones only."""
    service, node = cell.host(f"c{cell.number}-states-1", instances=0)
    for vm_state in ("error", "stopped", "soft-delete", "building", "rescued"):
        cell.instance(node, vm_state=vm_state)
    cell.instance(node, vm_state="deleted", deleted=True)
    cell.name("states", node)
    cell.name("states_service", service)
    service, node = cell.host(f"c{cell.number}-emptied-1", instances=0)
    cell.instance(node, vm_state="deleted", deleted=True)
    cell.name("emptied", node)
    cell.name("emptied_service", service)


def conductor_off(cell: CellBuilder) -> None:
    """A conductor that is down, and rows of API processes in a cell."""
    cell.service(f"c{cell.number}-conductor-3", "nova-conductor", "conductor", up=False)
    for binary in API_BINARIES:
        cell.service(
            f"c{cell.number}-api-1", binary, None,
            last_seen_up=None, updated_at=None, report_count=0,
        )  # fmt: skip


def forced_down_but_reporting(cell: CellBuilder) -> None:
    """Forced down but reporting: never fenced, or forgotten after a repair."""
    service, node = cell.host(f"c{cell.number}-unfenced-1", forced_down=True)
    cell.name("unfenced", node)
    cell.name("unfenced_service", service)


def stale_node(cell: CellBuilder) -> None:
    """The service reports, but its node has not been updated for days."""
    service, node = cell.host(f"c{cell.number}-stale-1")
    node.updated_at = cell.ago(days=3)
    cell.name("stale", node)
    cell.name("stale_service", service)


def unique_ids(cell: CellBuilder) -> None:
    """Hosts whose integer ids no other cell has."""
    for index, instances in enumerate((0, 2, 0)):
        service, node = cell.host(
            f"c{cell.number}-unique-{index + 1}",
            id=7001 + index,
            node={"id": 9001 + index},
            instances=instances,
            up=index < 2,
        )
        cell.name(f"unique{index}", node)
        cell.name(f"unique{index}_service", service)
    cell.aggregate("cleanup", [f"c{cell.number}-unique-1"], owner="hardware team")
    cell.aggregate("empty", [], availability_zone="planned")


def wrong_cell(cell: CellBuilder) -> None:
    """A host that is mapped to another cell than its rows are in."""
    service, node = cell.host(f"c{cell.number}-wrongcell-1", mapped=False, instances=1)
    cell.map(f"c{cell.number}-wrongcell-1", 1)
    cell.name("wrongcell", node)
    cell.name("wrongcell_service", service)


def twin(cell: CellBuilder) -> None:
    """A host whose name is also used in another cell; this one is mapped."""
    service, node = cell.host(
        "twin-1",
        disabled=True,
        disabled_reason="moved to another cell",
        node={"hostname": "twin-1.old.example.net"},
    )
    cell.name("twin", node)
    cell.name("twin_service", service)


def second_twin(cell: CellBuilder) -> None:
    """The other host of that name, where there is a third cell for it."""
    if cell.number == 3:
        service, node = cell.host(
            "twin-1", mapped=False, node={"hostname": "twin-1.new.example.net"}
        )
        cell.name("twin_unmapped", node)
        cell.name("twin_unmapped_service", service)


def mapping_without_host(cell: CellBuilder) -> None:
    """A host mapping that was left behind."""
    cell.map(f"c{cell.number}-forgotten-1")


def long_disabled(cell: CellBuilder) -> None:
    """Disabled, and not touched for most of a year."""
    service, node = cell.host(
        f"c{cell.number}-mothballed-1",
        instances=0,
        up=False,
        disabled=True,
        disabled_reason="waiting for spare parts",
        last_seen_up=cell.ago(days=300),
        updated_at=cell.ago(days=300),
    )
    cell.name("mothballed", node)
    cell.name("mothballed_service", service)


#: The cell each belongs to: the last one, where there are fewer.
EDGE_CASES: tuple[tuple[int, Callable[[CellBuilder], None]], ...] = (
    (1, ironic),
    (1, service_gone),
    (1, unmapped),
    (1, node_gone),
    (1, reborn),
    (2, vmware),
    (2, legacy),
    (2, nulls),
    (2, names),
    (2, no_uptime),
    (2, evacuated),
    (2, migrating),
    (2, states),
    (2, conductor_off),
    (2, forced_down_but_reporting),
    (3, unique_ids),
    (3, wrong_cell),
    (2, twin),
    (3, second_twin),
    (3, stale_node),
    (3, mapping_without_host),
    (3, long_disabled),
)
