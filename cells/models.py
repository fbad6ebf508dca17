"""Tables of Nova's API database, and the base of the models of a cell's tables."""

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cells.fields import UTCDateTimeField


class TimestampMixin(models.Model):
    """``created_at`` and ``updated_at``, as in nearly every table of Nova (oslo.db's mixin)."""

    created_at = UTCDateTimeField(null=True, default=timezone.now)
    updated_at = UTCDateTimeField(null=True)

    class Meta:
        abstract = True


class SoftDeleteMixin(TimestampMixin):
    """Rows that stay when they are deleted: ``deleted`` is 0 for a live row, else the row's id."""

    deleted_at = UTCDateTimeField(null=True)
    deleted = models.IntegerField(null=True, default=0)

    class Meta:
        abstract = True


class LiveManager(models.Manager[Any]):
    """The rows that are not soft-deleted."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(deleted=0)


class CellModel(SoftDeleteMixin):
    """A table that every cell has.  A query must name its cell: ``.using(cell.alias)``.

    ``objects`` are the live rows, ``with_deleted`` all of them.
    """

    objects: ClassVar[models.Manager[Any]] = LiveManager()
    with_deleted: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        base_manager_name = "with_deleted"


class CellMapping(TimestampMixin):
    """Where a cell's database and message queue are."""

    CELL0_UUID = "00000000-0000-0000-0000-000000000000"

    id = models.AutoField(primary_key=True)
    uuid = models.CharField(max_length=36, unique=True)
    name = models.CharField(max_length=255, null=True)
    transport_url = models.TextField(null=True)
    database_connection = models.TextField(null=True)
    disabled = models.BooleanField(null=True, default=False)

    class Meta:
        verbose_name = _("cell mapping")
        verbose_name_plural = _("cell mappings")
        db_table = "cell_mappings"

    def __str__(self) -> str:
        return self.name or self.uuid


class HostMapping(TimestampMixin):
    """Which cell a compute host is in."""

    id = models.AutoField(primary_key=True)
    cell = models.ForeignKey(CellMapping, models.DO_NOTHING, related_name="host_mappings")
    host = models.CharField(max_length=255, unique=True)

    class Meta:
        verbose_name = _("host mapping")
        verbose_name_plural = _("host mappings")
        db_table = "host_mappings"

    def __str__(self) -> str:
        return self.host


class InstanceMapping(TimestampMixin):
    """Which cell a server is in; null until it has been scheduled to one."""

    id = models.AutoField(primary_key=True)
    instance_uuid = models.CharField(max_length=36)
    cell = models.ForeignKey(
        CellMapping, models.DO_NOTHING, null=True, related_name="instance_mappings"
    )
    project_id = models.CharField(max_length=255)
    user_id = models.CharField(max_length=255, null=True)
    queued_for_delete = models.BooleanField(null=True, default=False)

    class Meta:
        verbose_name = _("instance mapping")
        verbose_name_plural = _("instance mappings")
        db_table = "instance_mappings"
        constraints = (
            models.UniqueConstraint(
                fields=["instance_uuid"], name="uniq_instance_mappings0instance_uuid"
            ),
        )

    def __str__(self) -> str:
        return self.instance_uuid


class Aggregate(TimestampMixin):
    """A set of hosts; an availability zone if its metadata says so."""

    id = models.AutoField(primary_key=True)
    uuid = models.CharField(max_length=36, null=True, db_index=True)
    name = models.CharField(max_length=255, null=True, unique=True)

    class Meta:
        verbose_name = _("aggregate")
        verbose_name_plural = _("aggregates")
        db_table = "aggregates"

    def __str__(self) -> str:
        return self.name or str(self.pk)


class AggregateHost(TimestampMixin):
    """A host that is in an aggregate."""

    id = models.AutoField(primary_key=True)
    host = models.CharField(max_length=255, null=True)
    aggregate = models.ForeignKey(Aggregate, models.DO_NOTHING, related_name="hosts")

    class Meta:
        verbose_name = _("host of an aggregate")
        verbose_name_plural = _("hosts of aggregates")
        db_table = "aggregate_hosts"
        constraints = (
            models.UniqueConstraint(
                fields=["host", "aggregate"], name="uniq_aggregate_hosts0host0aggregate_id"
            ),
        )

    def __str__(self) -> str:
        return f"{self.host} in {self.aggregate_id}"


class AggregateMetadata(TimestampMixin):
    """A key and value of an aggregate."""

    id = models.AutoField(primary_key=True)
    key = models.CharField(max_length=255, db_index=True)
    value = models.CharField(max_length=255)
    aggregate = models.ForeignKey(Aggregate, models.DO_NOTHING, related_name="metadata")

    class Meta:
        verbose_name = _("metadata of an aggregate")
        verbose_name_plural = _("metadata of aggregates")
        db_table = "aggregate_metadata"
        constraints = (
            models.UniqueConstraint(
                fields=["aggregate", "key"], name="uniq_aggregate_metadata0aggregate_id0key"
            ),
        )

    def __str__(self) -> str:
        return f"{self.key}={self.value}"
