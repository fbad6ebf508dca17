"""Nova's ``services`` table: the daemons of a cloud and when they were last heard of."""

import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from cells.models import CellModel, UTCDateTimeField

NOVA_COMPUTE = "nova-compute"

#: Rows of the API processes themselves.  They have no heartbeat, so Nova does not list them.
API_BINARIES = ("nova-osapi_compute", "nova-metadata")


def is_up(
    forced_down: bool | None,
    last_seen_up: datetime.datetime | None,
    created_at: datetime.datetime | None,
    now: datetime.datetime,
) -> bool:
    """Whether a service is up, as Nova's database servicegroup driver decides it.

    Forced down is down; otherwise the last heartbeat (before the first one, the row's creation)
    must be within ``SERVICE_DOWN_TIME`` seconds of ``now``, on either side: a clock that runs
    ahead counts as down too.
    """
    heartbeat = last_seen_up or created_at
    if forced_down or heartbeat is None:
        return False
    elapsed: float = abs((now - heartbeat).total_seconds())
    return elapsed <= settings.SERVICE_DOWN_TIME


class Service(CellModel):
    """A daemon of Nova on a host.  ``uuid`` is null until the backfill has given it one."""

    id = models.AutoField(primary_key=True)
    uuid = models.CharField(max_length=36, null=True)
    host = models.CharField(max_length=255, null=True)
    binary = models.CharField(max_length=255, null=True)
    topic = models.CharField(max_length=255, null=True)
    report_count = models.IntegerField(default=0)
    disabled = models.BooleanField(null=True, default=False)
    disabled_reason = models.CharField(max_length=255, null=True)
    last_seen_up = UTCDateTimeField(null=True)
    forced_down = models.BooleanField(null=True, default=False)
    version = models.IntegerField(null=True, default=0)

    class Meta(CellModel.Meta):
        db_table = "services"
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=["host", "topic", "deleted"], name="uniq_services0host0topic0deleted"
            ),
            models.UniqueConstraint(
                fields=["host", "binary", "deleted"], name="uniq_services0host0binary0deleted"
            ),
            models.UniqueConstraint(fields=["uuid"], name="services_uuid_idx"),
        )

    def __str__(self) -> str:
        return f"{self.binary} on {self.host}"

    def is_up(self, now: datetime.datetime | None = None) -> bool:
        """Whether the service is up; see ``is_up``."""
        return is_up(self.forced_down, self.last_seen_up, self.created_at, now or timezone.now())
