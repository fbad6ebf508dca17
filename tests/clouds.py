"""Filling cells with rows for a test."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections
from django.db.models import Max
from django.utils import timezone

from cells.backends.guards import forget_guards
from cells.databases import alias_of, register
from cells.models import (
    Aggregate,
    AggregateHost,
    AggregateMetadata,
    CellMapping,
    CellModel,
    HostMapping,
    InstanceMapping,
)
from cells.registry import Cell, all_cells, forget_cells
from hypervisors.demo.builder import AggregateRow
from hypervisors.demo.databases import write_api, write_cell
from hypervisors.demo.fleet import Fleet
from hypervisors.models import ComputeNode, Instance, Migration
from services.models import NOVA_COMPUTE, Service
from tests.engines import CELLS, NUMBER_HIGH, Engine, database, empty, forget_connection
from tests.servers import Proxy

M = TypeVar("M", bound=CellModel)
CellOrName = Cell | str


class Cloud:
    """Nova's databases of one engine: cell0 to cell3, empty at first.

    Cells can be given by name.  Rows are numbered from 1 in every cell, so ids
    collide as they do in a real cloud; any column can be given by its name.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql``."""
        return self._engine.name

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells as the portal sees them now."""
        return all_cells()

    @property
    def api_url(self) -> str:
        """The URL of the API database, for a portal in another process."""
        return self._engine.urls["api"]

    @property
    def portal_url(self) -> str:
        """The URL of the portal's own database."""
        return self._engine.urls["default"]

    def cell(self, name: CellOrName) -> Cell:
        """The cell of that name."""
        return name if isinstance(name, Cell) else next(c for c in self.cells if c.name == name)

    def url(self, name: str) -> str:
        """The URL of a cell's real database, wherever its mapping points now."""
        return self._engine.urls[name]

    @contextmanager
    def proxy(self, name: str) -> Iterator[Proxy]:
        """Put a proxy in front of a cell's server, with the mapping pointing at it meanwhile."""
        target, url = self._engine.proxied(name)
        with Proxy(target) as proxy:
            self.point(name, url.format(port=proxy.port))
            yield proxy

    @contextmanager
    def own_proxy(self, alias: str) -> Iterator[Proxy]:
        """Put a proxy in front of the server of ``default`` or ``api``."""
        target, url = self._engine.proxied_own(alias)
        with Proxy(target) as proxy:
            self.point_own(alias, url.format(port=proxy.port))
            try:
                yield proxy
            finally:
                self.point_own(alias, self._engine.urls[alias])

    def point_own(self, alias: str, url: str) -> None:
        """Let ``default`` or ``api`` be another database from now on."""
        forget_connection(alias)
        register(alias, database(url))
        forget_guards()

    # --- single rows ---------------------------------------------------------------------

    def add_service(self, cell: CellOrName, host: str, **columns: Any) -> Service:
        """A service: a nova-compute that is up and enabled, unless columns say otherwise."""
        binary = columns.setdefault("binary", NOVA_COMPUTE)
        defaults = {
            "topic": binary.removeprefix("nova-"),
            "uuid": str(uuid.uuid4()),
            "last_seen_up": timezone.now(),
            "version": 70,
        }
        return self._add(Service, cell, host=host, **(defaults | columns))

    def add_node(self, cell: CellOrName, host: str | None, **columns: Any) -> ComputeNode:
        """A compute node; its name is the host's unless given as ``hypervisor_hostname``."""
        defaults = {
            "uuid": str(uuid.uuid4()),
            "hypervisor_hostname": host,
            "vcpus": 16,
            "memory_mb": 65536,
            "local_gb": 1000,
            "vcpus_used": 2,
            "memory_mb_used": 4608,
            "local_gb_used": 40,
            "free_ram_mb": 60928,
            "free_disk_gb": 960,
            "current_workload": 0,
            "running_vms": 2,
            "disk_available_least": 900,
            "hypervisor_type": "QEMU",
            "hypervisor_version": 8002000,
            "cpu_info": '{"arch": "x86_64", "model": "Nehalem"}',
            "host_ip": "192.0.2.1",
            "mapped": 1,
        }
        return self._add(ComputeNode, cell, host=host, **(defaults | columns))

    def add_instance(self, cell: CellOrName, host: str | None, **columns: Any) -> Instance:
        """A server on a host."""
        defaults = {"uuid": str(uuid.uuid4()), "vm_state": "active", "node": host}
        return self._add(Instance, cell, host=host, **(defaults | columns))

    def add_migration(self, cell: CellOrName, source: str | None, **columns: Any) -> Migration:
        """A migration in progress away from ``source``."""
        defaults = {
            "uuid": str(uuid.uuid4()),
            "status": "migrating",
            "migration_type": "live-migration",
            "source_node": source,
        }
        return self._add(Migration, cell, source_compute=source, **(defaults | columns))

    def map_host(self, host: str, cell: CellOrName) -> HostMapping:
        """Map the host to that cell in the API database."""
        return HostMapping.objects.create(host=host, cell_id=self.cell(cell).id)

    def map_instance(self, instance: Instance, cell: CellOrName) -> InstanceMapping:
        """Map the server to that cell in the API database."""
        return InstanceMapping.objects.create(
            instance_uuid=instance.uuid, project_id="p", cell_id=self.cell(cell).id
        )

    def add_aggregate(
        self, name: str, hosts: Iterable[str] = (), *, zone: str | None = None
    ) -> Aggregate:
        """An aggregate; with ``zone`` it is an availability zone."""
        aggregate = Aggregate.objects.create(name=name, uuid=str(uuid.uuid4()))
        for host in hosts:
            AggregateHost.objects.create(aggregate=aggregate, host=host)
        if zone is not None:
            AggregateMetadata.objects.create(
                aggregate=aggregate, key="availability_zone", value=zone
            )
        return aggregate

    # --- combinations --------------------------------------------------------------------------

    def host(
        self,
        cell: CellOrName,
        name: str,
        *,
        service: dict[str, Any] | None = None,
        node: dict[str, Any] | None = None,
    ) -> tuple[Service, ComputeNode]:
        """A mapped host with its nova-compute and compute node, with these columns."""
        self.map_host(name, cell)
        return (
            self.add_service(cell, name, **(service or {})),
            self.add_node(cell, name, **(node or {})),
        )

    def point(self, cell: CellOrName, url: str) -> Cell:
        """Point the mapping of a cell to another database from now on."""
        CellMapping.objects.filter(uuid=self.cell(cell).uuid).update(database_connection=url)
        forget_cells()
        forget_connection(self.cell(cell).alias)
        return self.cell(cell)

    def _add(self, model: type[M], cell: CellOrName, **columns: Any) -> M:
        rows = model.with_deleted.using(self.cell(cell).alias)
        if "id" not in columns:
            columns["id"] = (rows.aggregate(last=Max("id"))["last"] or 0) + 1
        row: M = rows.create(**columns)
        return row


def fill_with(fleet: Fleet) -> None:
    """Write the rows of a demo fleet of three cells into a fresh cloud."""
    mappings: list[tuple[str, int]] = []
    instances: list[tuple[str, str, int]] = []
    aggregates: list[AggregateRow] = []
    for rows in fleet:
        write_cell(rows, alias_of(CELLS[rows.name]))
        mappings += rows.mappings
        instances += rows.instance_mappings
        aggregates += rows.aggregates
    cell_ids = {number: number + 1 for number in range(len(CELLS))}
    write_api(mappings, instances, aggregates, cell_ids, created_at=fleet.now)
    for alias in ("api", *map(alias_of, CELLS.values())):
        if connections[alias].vendor == "postgresql":
            with connections[alias].cursor() as cursor:
                cursor.execute(NUMBER_HIGH)


def fresh_cloud(engine: Engine) -> Cloud:
    """The engine's databases, empty except for the mappings of the four cells."""
    engine.activate()
    empty("api")
    for number, (name, cell_uuid) in enumerate(CELLS.items(), 1):
        empty(alias_of(cell_uuid))
        CellMapping.objects.create(
            id=number,
            uuid=cell_uuid,
            name=name,
            transport_url="none:///",
            database_connection=engine.urls[name],
        )
    forget_cells()
    all_cells()  # so that no test counts the query for the mappings
    return Cloud(engine)
