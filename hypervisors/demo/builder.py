"""Builds the rows of one cell of a demo fleet, as unsaved model instances."""

import datetime
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from django.db.models import Model
from django.utils import timezone

from cells.models import CellMapping
from hypervisors.demo.hardware import CHASSIS, FLAVORS, REASONS, VM_STATES
from hypervisors.models import ComputeNode, Instance, Migration
from services.models import API_BINARIES, NOVA_COMPUTE, Service

NAMESPACE = UUID("b1f5a3f0-54a7-4ab5-a4b1-4b1c9a6d7f11")
DOMAIN = "example.net"
HOSTS_IN_RACK = 20
#: ``services.version`` of Nova 34 and of the two releases before it.
SERVICE_VERSIONS = (74, 71, 70)

Row = dict[str, Any]


@dataclass
class AggregateRow:
    """An aggregate with its hosts and metadata."""

    name: str
    uuid: str
    hosts: list[str]
    metadata: dict[str, str]


@dataclass
class CellRows:
    """All rows of one cell, and what the API database knows of its hosts.

    ``mappings`` are hosts with the number of the cell they are mapped to, which nearly always is
    this one.  ``named`` are the rows of edge cases, by a name that describes each.
    """

    number: int
    name: str
    uuid: str
    services: list[Service] = field(default_factory=list)
    nodes: list[ComputeNode] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    migrations: list[Migration] = field(default_factory=list)
    mappings: list[tuple[str, int]] = field(default_factory=list)
    aggregates: list[AggregateRow] = field(default_factory=list)
    named: dict[str, Service | ComputeNode] = field(default_factory=dict)

    @property
    def instance_mappings(self) -> list[tuple[str, str, int]]:
        """The uuid and project of each instance, and the number of the cell."""
        return [(row.uuid, row.project_id or "", self.number) for row in self.instances]

    @property
    def tables(self) -> tuple[list[Any], ...]:
        """The cell's rows, table by table, in an order in which they can be inserted."""
        return self.services, self.nodes, self.instances, self.migrations


@dataclass(frozen=True)
class FleetParameters:
    """The parameters of a fleet: cell0 and ``cells`` others with ``hosts_per_cell`` ordinary
    hosts each.

    ``instances_per_host`` is an average.  ``edge_cases`` adds those of ``demo.edge_cases`` to the
    first three cells.  The services of cell number ``uuidless_cell`` have no uuid yet.  ``now`` is
    when the services that are up were last seen.
    """

    cells: int = 4
    hosts_per_cell: int = 25
    seed: int = 1
    instances_per_host: int = 4
    edge_cases: bool = True
    uuidless_cell: int | None = None
    now: datetime.datetime = field(default_factory=timezone.now)

    def name_of(self, number: int) -> str:
        return f"cell{number}"

    def uuid_of(self, number: int) -> str:
        """The uuid of a cell; that of cell0 is the same everywhere."""
        return self.uuid("cell", number) if number else CellMapping.CELL0_UUID

    def uuid(self, *parts: object) -> str:
        return str(uuid5(NAMESPACE, "/".join(map(str, (self.seed, *parts)))))


class CellBuilder:
    """Builds the rows of one cell, numbering them from 1 as every cell's database does."""

    def __init__(self, fleet: FleetParameters, number: int) -> None:
        self.fleet = fleet
        self.number = number
        self.rows = CellRows(number, fleet.name_of(number), fleet.uuid_of(number))
        self.random = random.Random(f"{fleet.seed}/{number}")  # noqa: S311
        self.ids = dict.fromkeys((Service, ComputeNode, Instance, Migration), 0)

    def build(self, edge_cases: "Iterable[Callable[[CellBuilder], None]]") -> CellRows:
        """All rows of the cell, with these edge cases among them."""
        if self.number == 0:
            self.controllers()
            return self.rows
        for index in (1, 2):
            self.service(f"c{self.number}-conductor-{index}", "nova-conductor", "conductor")
        hosts = [self.ordinary_host(index) for index in range(self.fleet.hosts_per_cell)]
        for add in edge_cases:
            add(self)
        self.aggregates(hosts)
        if self.number == self.fleet.uuidless_cell:
            for service in self.rows.services:
                service.uuid = None
        return self.rows

    # --- rows ------------------------------------------------------------------------------

    def ago(self, **since: float) -> datetime.datetime:
        """``now`` less a ``timedelta`` of these arguments."""
        return self.fleet.now - datetime.timedelta(**since)

    def next_id(self, model: type[Model], wanted: int | None = None) -> int:
        if wanted is not None:
            return wanted
        self.ids[model] += 1  # type: ignore[index]
        return self.ids[model]  # type: ignore[index]

    def deletion(self, row_id: int, deleted: bool) -> Row:
        return {
            "deleted": row_id if deleted else 0,
            "deleted_at": self.ago(days=3) if deleted else None,
        }

    def service(
        self,
        host: str,
        binary: str = NOVA_COMPUTE,
        topic: str | None = "compute",
        *,
        up: bool = True,
        deleted: bool = False,
        id: int | None = None,
        **columns: Any,
    ) -> Service:
        """A service; unless ``up``, it was last seen between an hour and months ago."""
        row_id = self.next_id(Service, id)
        if up:
            seen = self.ago(seconds=self.random.uniform(0, 9))
        else:
            seen = self.ago(hours=self.random.choice((1, 5, 26, 170, 1900)) + self.random.random())
        values: Row = {
            "uuid": self.fleet.uuid(self.number, "service", row_id),
            "report_count": self.random.randrange(1, 10**6),
            "last_seen_up": seen,
            "version": SERVICE_VERSIONS[(self.number - 1) % 3] if self.number else 74,
            "created_at": self.ago(days=self.random.randrange(200, 900)),
            "updated_at": seen,
            **self.deletion(row_id, deleted),
            **columns,
        }
        service = Service(id=row_id, host=host, binary=binary, topic=topic, **values)
        self.rows.services.append(service)
        return service

    def node(
        self,
        host: str,
        hostname: str | None = None,
        *,
        service: Service | None = None,
        deleted: bool = False,
        id: int | None = None,
        **columns: Any,
    ) -> ComputeNode:
        """A compute node on one of the chassis in the catalogue."""
        row_id = self.next_id(ComputeNode, id)
        chassis = self.random.choice(CHASSIS)
        seen = service.last_seen_up if service and service.last_seen_up else self.fleet.now
        values: Row = {
            "uuid": self.fleet.uuid(self.number, "node", row_id),
            "hypervisor_hostname": hostname or f"{host}.{DOMAIN}",
            "hypervisor_type": "QEMU",
            "hypervisor_version": (8002002, 7002000, 6002000)[self.number % 3],
            "vcpus": chassis.vcpus,
            "memory_mb": chassis.memory_mb,
            "local_gb": chassis.local_gb,
            "vcpus_used": 0,
            "memory_mb_used": 512,
            "local_gb_used": 0,
            "free_ram_mb": chassis.memory_mb - 512,
            "free_disk_gb": chassis.local_gb,
            "disk_available_least": chassis.local_gb - self.random.randrange(1, 40),
            "current_workload": self.random.choice((0, 0, 0, 1)),
            "running_vms": 0,
            "cpu_info": chassis.cpu_info,
            "host_ip": f"10.{self.number % 256}.{row_id // 250 % 256}.{row_id % 250 + 1}",
            "supported_instances": '[["x86_64", "qemu", "hvm"], ["x86_64", "kvm", "hvm"]]',
            "metrics": "[]",
            "stats": json.dumps(
                {"failed_builds": "0", "io_workload": "0", "uptime": self.uptime()}
            ),
            "ram_allocation_ratio": 1.5,
            "cpu_allocation_ratio": 16.0,
            "disk_allocation_ratio": 1.0,
            "mapped": 1,
            "created_at": self.ago(days=self.random.randrange(200, 900)),
            "updated_at": seen,
            **self.deletion(row_id, deleted),
            **columns,
        }
        node = ComputeNode(
            id=row_id, service_id=service.id if service else None, host=host, **values
        )
        self.rows.nodes.append(node)
        return node

    def uptime(self) -> str:
        """What ``uptime`` prints on a host."""
        random = self.random
        load = ", ".join(f"{random.uniform(0, 24):.2f}" for _ in range(3))
        return (
            f" {self.fleet.now:%H:%M:%S} up {random.randrange(2, 700)} days, "
            f"{random.randrange(24):2}:{random.randrange(60):02},  0 users,  load average: {load}"
        )

    def instance(
        self, node: ComputeNode, *, host: str = "", deleted: bool = False, **columns: Any
    ) -> Instance:
        """An instance on the node, which accounts for what it uses."""
        row_id = self.next_id(Instance)
        vcpus, memory_mb, root_gb = self.random.choice(FLAVORS)
        vm_state, power_state = self.random.choice(VM_STATES)
        created = self.ago(days=self.random.uniform(1, 200))
        values: Row = {
            "vm_state": vm_state,
            "power_state": power_state,
            "launched_at": created,
            "updated_at": created,
            **columns,
        }
        instance = Instance(
            id=row_id,
            uuid=self.fleet.uuid(self.number, "instance", row_id),
            display_name=f"{self.random.choice(('web', 'db', 'ci', 'cache'))}-{row_id}",
            host=host or node.host,
            node=node.hypervisor_hostname,
            project_id=self.fleet.uuid("project", row_id % 7).replace("-", ""),
            user_id=self.fleet.uuid("user", row_id % 5).replace("-", ""),
            vcpus=vcpus,
            memory_mb=memory_mb,
            root_gb=root_gb,
            created_at=created,
            **values,
            **self.deletion(row_id, deleted),
        )
        self.rows.instances.append(instance)
        if not deleted and not host and node.vcpus:
            node.vcpus_used += vcpus
            node.memory_mb_used += memory_mb
            node.local_gb_used += root_gb
            node.free_ram_mb = node.memory_mb - node.memory_mb_used
            node.free_disk_gb = node.local_gb - node.local_gb_used
            node.disk_available_least = node.free_disk_gb - self.random.randrange(1, 40)
            node.running_vms = (node.running_vms or 0) + 1
        return instance

    def migration(
        self, instance: Instance, source: ComputeNode, target: ComputeNode, **columns: Any
    ) -> Migration:
        row_id = self.next_id(Migration)
        migration = Migration(
            id=row_id,
            uuid=self.fleet.uuid(self.number, "migration", row_id),
            instance_uuid=instance.uuid,
            source_compute=source.host,
            source_node=source.hypervisor_hostname,
            dest_compute=target.host,
            dest_node=target.hypervisor_hostname,
            dest_host=target.host_ip,
            created_at=self.ago(hours=2),
            updated_at=self.ago(hours=1),
            **columns,
        )
        self.rows.migrations.append(migration)
        return migration

    # --- rows that belong together ----------------------------------------------------------------

    def host(
        self,
        name: str,
        *,
        instances: int | None = None,
        mapped: bool = True,
        node: Row | None = None,
        **service_columns: Any,
    ) -> tuple[Service, ComputeNode]:
        """A whole compute host: service, one node, its mapping, instances."""
        service = self.service(name, **service_columns)
        compute_node = self.node(name, service=service, **(node or {}))
        if mapped:
            self.map(name)
        if instances is None:
            instances = self.random.randint(0, 2 * self.fleet.instances_per_host)
        for _ in range(instances):
            self.instance(compute_node)
        return service, compute_node

    def map(self, host: str, number: int | None = None) -> None:
        """Map the host to this cell, or to cell ``number``."""
        self.rows.mappings.append((host, self.number if number is None else number))

    def name(self, name: str, row: Service | ComputeNode) -> None:
        """Let tests find the row of an edge case by this name."""
        self.rows.named[name] = row

    def ordinary_host(self, index: int) -> str:
        """Host number ``index``, from 0: most are up and enabled, some are not."""
        rack, place = divmod(index, HOSTS_IN_RACK)
        name = f"c{self.number}-r{rack + 1:02}-cmp{place + 1:02}"
        chance = self.random.random()
        reason = self.random.choice(REASONS)
        state: Row = {}
        if index == 1 or chance < 0.02:
            state = {"up": False}
        elif index == 2 or chance < 0.05:
            state = {"disabled": True, "disabled_reason": reason}
        elif index == 3:
            state = {"disabled": True}
        elif index == 4 or chance < 0.055:
            state = {"forced_down": True, "up": False}
        elif index == 5:
            state = {"up": False, "disabled": True, "disabled_reason": "dead disk, RMA 20391"}
        elif index == 6:
            state = {"last_seen_up": None, "updated_at": None, "report_count": 0}
        self.host(name, **state)
        return name

    def controllers(self) -> None:
        """cell0: conductors, schedulers and the API's own rows, which have no heartbeat."""
        for index in (1, 2, 3):
            host = f"ctl-{index}"
            self.service(host, "nova-conductor", "conductor")
            self.service(host, "nova-scheduler", "scheduler", up=index < 3)
            for binary in API_BINARIES:
                self.service(host, binary, None, last_seen_up=None, updated_at=None, report_count=0)
        self.service(
            "ctl-1",
            "nova-consoleauth",
            "consoleauth",
            up=False,
            disabled=True,
            disabled_reason="removed in Train",
        )

    def aggregate(self, name: str, hosts: list[str], **metadata: str) -> None:
        self.rows.aggregates.append(
            AggregateRow(name, self.fleet.uuid("aggregate", name), hosts, metadata)
        )

    def aggregates(self, hosts: list[str]) -> None:
        """Racks, an availability zone over most hosts (none in each fourth cell), SSD hosts."""
        for start in range(0, len(hosts), HOSTS_IN_RACK):
            rack = f"r{start // HOSTS_IN_RACK + 1:02}"
            self.aggregate(
                f"c{self.number}-rack-{rack}", hosts[start : start + HOSTS_IN_RACK], rack=rack
            )
        if self.number % 4:
            zoned = hosts[: max(1, len(hosts) * 4 // 5)]
            self.aggregate(
                f"c{self.number}-zone", zoned, availability_zone=f"az{(self.number - 1) % 3 + 1}"
            )
        self.aggregate(f"c{self.number}-ssd", hosts[::3], ssd="true", pinned="false")
