"""Nova's compute nodes (shown as hypervisors), and the instances and migrations on them."""

from functools import lru_cache
from typing import Any, ClassVar

import orjson
from django.core.checks import CheckMessage
from django.db import models
from django.db.models.fields.related import ForeignObject
from django.db.models.lookups import Exact
from django.db.models.sql.where import WhereNode
from django.utils.translation import gettext_lazy as _

from cells.fields import UTCDateTimeField
from cells.models import CellModel, LiveManager
from services.models import NOVA_COMPUTE, Service

#: The columns that are summed up over all nodes.
CAPACITY = (
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


class ServiceOfHost(ForeignObject):  # type: ignore[type-arg]
    """The live nova-compute of the row's host, in the same cell: a join, not a column.

    ``compute_nodes.service_id`` is not it: Nova stopped filling that in.
    """

    def get_extra_restriction(self, alias: str | None, related_alias: str) -> WhereNode:
        where = WhereNode()
        for name, value in (("binary", NOVA_COMPUTE), ("deleted", 0)):
            field: models.Field[Any, Any] = Service._meta.get_field(name)  # type: ignore[assignment]
            where.add(Exact(field.get_col(alias or related_alias), value), "AND")
        return where

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Skip the check that the target is unique: it is, together with the restriction."""
        return [
            problem
            for problem in super().check(**kwargs)
            if problem.id != "fields.E310" and problem.id != "fields.E311"
        ]


@lru_cache(maxsize=4096)
def cpu_info(text: str | None) -> Any:
    """The column ``cpu_info`` as libvirt meant it, normally an object.

    Most hosts of a cloud share a few values, so each is parsed once.  A text that is not JSON
    counts as no information.
    """
    try:
        return orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}


def uptime(stats: str | None) -> str | None:
    """The output of ``uptime`` in the column ``stats``, if nova-compute left it there."""
    try:
        value = orjson.loads(stats) if stats else {}
    except orjson.JSONDecodeError:
        return None
    found = value.get("uptime") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


class ComputeNode(CellModel):
    """A hypervisor as nova-compute reports it.  Sizes: memory in MiB, disk in GiB."""

    id = models.AutoField(primary_key=True)
    service_id = models.IntegerField(null=True)
    host = models.CharField(max_length=255, null=True)
    uuid = models.CharField(max_length=36, null=True)
    vcpus = models.IntegerField()
    memory_mb = models.IntegerField()
    local_gb = models.IntegerField()
    vcpus_used = models.IntegerField()
    memory_mb_used = models.IntegerField()
    local_gb_used = models.IntegerField()
    hypervisor_type = models.TextField()
    hypervisor_version = models.IntegerField()
    hypervisor_hostname = models.CharField(max_length=255, null=True)
    free_ram_mb = models.IntegerField(null=True)
    free_disk_gb = models.IntegerField(null=True)
    current_workload = models.IntegerField(null=True)
    running_vms = models.IntegerField(null=True)
    cpu_info = models.TextField()
    disk_available_least = models.IntegerField(null=True)
    host_ip = models.GenericIPAddressField(null=True)
    supported_instances = models.TextField(null=True)
    metrics = models.TextField(null=True)
    pci_stats = models.TextField(null=True)
    extra_resources = models.TextField(null=True)
    stats = models.TextField(null=True, default="{}")
    numa_topology = models.TextField(null=True)
    ram_allocation_ratio = models.FloatField(null=True)
    cpu_allocation_ratio = models.FloatField(null=True)
    disk_allocation_ratio = models.FloatField(null=True)
    mapped = models.IntegerField(null=True, default=0)

    service = ServiceOfHost(
        Service,
        on_delete=models.DO_NOTHING,
        from_fields=["host"],
        to_fields=["host"],
        related_name="compute_nodes",
        null=True,
    )

    class Meta(CellModel.Meta):
        verbose_name = _("hypervisor")
        verbose_name_plural = _("hypervisors")
        db_table = "compute_nodes"
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["uuid"], name="compute_nodes_uuid_idx"),
            models.UniqueConstraint(
                fields=["host", "hypervisor_hostname", "deleted"],
                name="uniq_compute_nodes0host0hypervisor_hostname0deleted",
            ),
        )

    def __str__(self) -> str:
        return self.hypervisor_hostname or self.uuid or str(self.pk)

    @property
    def version(self) -> str:
        """``hypervisor_version`` in words: 6002001 is 6.2.1, as libvirt counts; 12 stays 12."""
        number = self.hypervisor_version
        if number < 1_000_000:
            return str(number)
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


class Instance(CellModel):
    """A server, as far as its host is concerned; Nova's table has many more columns."""

    id = models.AutoField(primary_key=True)
    uuid = models.CharField(max_length=36, unique=True)
    display_name = models.CharField(max_length=255, null=True)
    host = models.CharField(max_length=255, null=True, db_index=True)
    node = models.CharField(max_length=255, null=True)
    vm_state = models.CharField(max_length=255, null=True)
    task_state = models.CharField(max_length=255, null=True)
    power_state = models.IntegerField(null=True)
    project_id = models.CharField(max_length=255, null=True)
    user_id = models.CharField(max_length=255, null=True)
    memory_mb = models.IntegerField(null=True)
    vcpus = models.IntegerField(null=True)
    root_gb = models.IntegerField(null=True)
    launched_at = UTCDateTimeField(null=True)

    service = ServiceOfHost(
        Service,
        on_delete=models.DO_NOTHING,
        from_fields=["host"],
        to_fields=["host"],
        related_name="instances",
        null=True,
    )

    class Meta(CellModel.Meta):
        verbose_name = _("instance")
        verbose_name_plural = _("instances")
        db_table = "instances"

    def __str__(self) -> str:
        return self.display_name or self.uuid

    @property
    def name(self) -> str:
        """Nova's name for the server on its host (``instance_name_template``'s default)."""
        return f"instance-{self.id:08x}"


class MigrationManager(LiveManager):
    """Migrations, by what they mean to the hosts they are between."""

    def in_progress(self) -> models.QuerySet["Migration"]:
        """Those that are not over; a null status counts as over, as it does in Nova's query."""
        rows = self.get_queryset().filter(status__isnull=False)
        return rows.exclude(status__in=Migration.FINISHED)

    def evacuations_to_complete(self) -> models.QuerySet["Migration"]:
        """Evacuations that are done, and that the evacuated host has not noticed yet."""
        return self.get_queryset().filter(status="done", migration_type="evacuation")


class Migration(CellModel):
    """A server's move from one host to another."""

    #: Statuses of migrations that are over, from Nova's query for those in progress.
    FINISHED: ClassVar[tuple[str, ...]] = (
        "confirmed",
        "reverted",
        "error",
        "failed",
        "completed",
        "cancelled",
        "done",
    )

    #: Those of them that ended badly.
    FAILED: ClassVar[tuple[str, ...]] = ("error", "failed")

    id = models.AutoField(primary_key=True)
    uuid = models.CharField(max_length=36, null=True, unique=True)
    source_compute = models.CharField(max_length=255, null=True)
    dest_compute = models.CharField(max_length=255, null=True)
    source_node = models.CharField(max_length=255, null=True)
    dest_node = models.CharField(max_length=255, null=True)
    dest_host = models.CharField(max_length=255, null=True)
    instance_uuid = models.CharField(max_length=36, null=True)
    status = models.CharField(max_length=255, null=True)
    migration_type = models.CharField(max_length=255, null=True)

    source_service = ServiceOfHost(
        Service,
        on_delete=models.DO_NOTHING,
        from_fields=["source_compute"],
        to_fields=["host"],
        related_name="migrations_from",
        null=True,
    )
    dest_service = ServiceOfHost(
        Service,
        on_delete=models.DO_NOTHING,
        from_fields=["dest_compute"],
        to_fields=["host"],
        related_name="migrations_to",
        null=True,
    )

    objects: ClassVar[MigrationManager] = MigrationManager()
    with_deleted: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta(CellModel.Meta):
        verbose_name = _("migration")
        verbose_name_plural = _("migrations")
        db_table = "migrations"

    def __str__(self) -> str:
        return f"{self.migration_type} of {self.instance_uuid}"
