"""Nova's compute nodes (shown as hypervisors), and the instances and migrations on them."""

from typing import Any, ClassVar

from django.core.checks import CheckMessage
from django.db import models
from django.db.models.fields.related import ForeignObject
from django.db.models.sql.where import WhereNode

from cells.models import CellModel, UTCDateTimeField
from services.models import NOVA_COMPUTE, Service


class ServiceOfHost(ForeignObject):  # type: ignore[type-arg]
    """The live nova-compute of the row's host, in the same cell: a join, not a column.

    ``compute_nodes.service_id`` is not it: Nova stopped filling that in.
    """

    def get_extra_restriction(self, alias: str | None, related_alias: str) -> WhereNode:
        fields = Service._meta.get_field("binary"), Service._meta.get_field("deleted")
        where = WhereNode()
        for field, value in zip(fields, (NOVA_COMPUTE, 0), strict=True):
            lookup = field.get_lookup("exact")
            assert lookup is not None
            where.add(lookup(field.get_col(alias or related_alias), value), "AND")
        return where

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Skip the check that the target is unique: it is, together with the restriction."""
        return [
            problem
            for problem in super().check(**kwargs)
            if problem.id != "fields.E310" and problem.id != "fields.E311"
        ]


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
        db_table = "compute_nodes"
        ordering = ("id",)
        verbose_name = "hypervisor"
        constraints = (
            models.UniqueConstraint(fields=["uuid"], name="compute_nodes_uuid_idx"),
            models.UniqueConstraint(
                fields=["host", "hypervisor_hostname", "deleted"],
                name="uniq_compute_nodes0host0hypervisor_hostname0deleted",
            ),
        )

    def __str__(self) -> str:
        return self.hypervisor_hostname or self.uuid or str(self.pk)


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

    class Meta(CellModel.Meta):
        db_table = "instances"

    def __str__(self) -> str:
        return self.display_name or self.uuid

    @property
    def name(self) -> str:
        """Nova's name for the server on its host (``instance_name_template``'s default)."""
        return f"instance-{self.id:08x}"


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

    class Meta(CellModel.Meta):
        db_table = "migrations"

    def __str__(self) -> str:
        return f"{self.migration_type} of {self.instance_uuid}"
