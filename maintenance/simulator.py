"""Moves the servers of the embedded demo, in which no Nova runs: a simulation.

It writes what Nova would write to the cell's tables: a migration that takes a few seconds, a task
state meanwhile, then the server on its new host.  It also plays the host: a dead one is repaired
a while after it has been evacuated, and the nova-compute of a host to be retired is stopped.
"""

import datetime
import uuid
import zlib
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from cells.models import HostMapping
from cells.registry import Cell
from cloud.compute_api import ComputeRefused
from hypervisors.models import ComputeNode, Instance, Migration
from services.models import NOVA_COMPUTE, Service, up_at

#: The seconds that a move takes are between these, those of a server always the same.
FASTEST, SLOWEST = 2.0, 8.0


class Simulator:
    """A mover for one cell of the demo.  Requests are ids of nothing, in the form of Nova's."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    # --- requests --------------------------------------------------------------------------------

    def live_migrate(self, server: str, target: str) -> str:
        return self._begin(server, target, "live-migration", "migrating")

    def cold_migrate(self, server: str, target: str) -> str:
        return self._begin(server, target, "migration", "resize_migrating")

    def evacuate(self, server: str, target: str) -> str:
        return self._begin(server, target, "evacuation", "rebuilding")

    def confirm_resize(self, server: str) -> str:
        with transaction.atomic(using=self.cell.alias):
            instance = self._locked(server)
            if instance.vm_state != "resized":
                raise ComputeRefused(_("it is not waiting for a confirmation"), 409)
            self._migrations(server).filter(status="finished").update(status="confirmed")
            self._instances(server).update(vm_state="stopped")
        return _request_id()

    def failure(self, server: str, request_id: str) -> str | None:
        failed = self._migrations(server).filter(status="error").exists()
        return _("No valid host was found.") if failed else None

    def latest_request(self, server: str, action: str) -> str:
        return ""  # no request of the simulator is ever lost

    def _begin(self, server: str, target: str, kind: str, task: str) -> str:
        with transaction.atomic(using=self.cell.alias):
            instance = self._locked(server)
            if instance.task_state and kind != "evacuation":
                raise ComputeRefused(_("it is %s") % instance.task_state, 409)
            node = self._destination(instance, target)
            Migration.objects.using(self.cell.alias).create(
                uuid=str(uuid.uuid4()),
                instance_uuid=server,
                migration_type=kind,
                status="error"
                if node is None
                else "accepted"
                if kind == "evacuation"
                else "running",
                source_compute=instance.host,
                source_node=instance.node,
                dest_compute=node and node.host,
                dest_node=node and node.hypervisor_hostname,
                dest_host=node and node.host_ip,
            )
            if node is not None:
                self._instances(server).update(task_state=task)
        return _request_id()

    def _destination(self, instance: Instance, target: str) -> ComputeNode | None:
        """The node with the most free memory of those that the scheduler would consider."""
        services = (
            Service.objects.using(self.cell.alias)
            .exclude(disabled=True)
            .filter(up_at(timezone.now()), binary=NOVA_COMPUTE)
        )
        hosts = set(services.values_list("host", flat=True)) - {instance.host}
        if target:
            hosts &= {target}
        mapped = HostMapping.objects.filter(host__in=hosts).values_list("host", flat=True)
        nodes = ComputeNode.objects.using(self.cell.alias).filter(
            host__in=set(mapped), free_ram_mb__gte=instance.memory_mb or 0
        )
        return nodes.order_by("-free_ram_mb").first()

    # --- time passes -----------------------------------------------------------------------------

    def go_on(self, host: str, servers: list[str]) -> None:
        """Finish the moves of these servers whose time has come."""
        moves = Migration.objects.using(self.cell.alias).filter(
            instance_uuid__in=servers, status__in=("running", "accepted"), source_compute=host
        )
        for move in list(moves):
            if timezone.now() - move.created_at >= _duration(str(move.instance_uuid)):
                self._finish(move)

    def _finish(self, move: Migration) -> None:
        cold, evacuation = (move.migration_type == name for name in ("migration", "evacuation"))
        status = "finished" if cold else "done" if evacuation else "completed"
        columns: dict[str, Any] = {
            "host": move.dest_compute,
            "node": move.dest_node,
            "task_state": None,
        }
        if cold:
            columns["vm_state"] = "resized"
        elif evacuation:
            columns["vm_state"] = Case(
                When(vm_state="error", then=Value("active")), default=F("vm_state")
            )
        with transaction.atomic(using=self.cell.alias):
            rows = Migration.objects.using(self.cell.alias).filter(id=move.id)
            if not rows.exclude(status=status).update(status=status, updated_at=timezone.now()):
                return
            instance = self._locked(str(move.instance_uuid))
            self._instances(instance.uuid).update(**columns, updated_at=timezone.now())
            self._account(move.source_node, instance, -1)
            self._account(move.dest_node, instance, 1)

    def _account(self, node: str | None, instance: Instance, sign: int) -> None:
        vcpus, memory, disk = (
            sign * (amount or 0)
            for amount in (instance.vcpus, instance.memory_mb, instance.root_gb)
        )
        ComputeNode.objects.using(self.cell.alias).filter(hypervisor_hostname=node).update(
            vcpus_used=F("vcpus_used") + vcpus,
            memory_mb_used=F("memory_mb_used") + memory,
            local_gb_used=F("local_gb_used") + disk,
            free_ram_mb=F("free_ram_mb") - memory,
            free_disk_gb=F("free_disk_gb") - disk,
            running_vms=F("running_vms") + sign,
        )

    def repair(self, host: str) -> None:
        """Let a dead host report again, its nova-compute having noticed the evacuations."""
        now = timezone.now()
        Migration.objects.using(self.cell.alias).filter(
            source_compute=host, status="done", migration_type="evacuation"
        ).update(status="completed", updated_at=now)
        self._service(host).update(last_seen_up=now, updated_at=now)

    def power_off(self, host: str) -> None:
        """Stop the nova-compute of a host."""
        self._service(host).update(last_seen_up=timezone.now() - datetime.timedelta(hours=1))

    # --- rows ------------------------------------------------------------------------------------

    def _locked(self, server: str) -> Instance:
        instance = self._instances(server).select_for_update().first()
        if instance is None:
            raise ComputeRefused(_("Instance %s could not be found.") % server, 404)
        found: Instance = instance
        return found

    def _instances(self, server: str) -> Any:
        return Instance.objects.using(self.cell.alias).filter(uuid=server)

    def _migrations(self, server: str) -> Any:
        return Migration.objects.using(self.cell.alias).filter(instance_uuid=server)

    def _service(self, host: str) -> Any:
        return Service.objects.using(self.cell.alias).filter(host=host, binary=NOVA_COMPUTE)


def _request_id() -> str:
    return f"req-{uuid.uuid4()}"


def _duration(server: str) -> datetime.timedelta:
    part = zlib.crc32(server.encode()) / 2**32
    return datetime.timedelta(seconds=FASTEST + part * (SLOWEST - FASTEST))
