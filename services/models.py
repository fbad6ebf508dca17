"""Nova's ``services`` table: the daemons of a cloud and when they were last heard of."""

import datetime
import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from cells.fields import UTCDateTimeField
from cells.models import CellModel

NOVA_COMPUTE = "nova-compute"

#: Rows of the API processes themselves.  They have no heartbeat, so Nova does not list them.
API_BINARIES = ("nova-osapi_compute", "nova-metadata")


Window = tuple[datetime.datetime, datetime.datetime]


def up_window(now: datetime.datetime) -> Window:
    """First and last time of a heartbeat that counts at ``now``: ``SERVICE_DOWN_TIME`` seconds on
    either side, so a clock that runs ahead counts as down too.
    """
    down_time = datetime.timedelta(seconds=settings.SERVICE_DOWN_TIME)
    return now - down_time, now + down_time


def is_up(
    forced_down: bool | None,
    last_seen_up: datetime.datetime | None,
    created_at: datetime.datetime | None,
    window: Window,
) -> bool:
    """Whether a service is up, as Nova's database servicegroup driver decides it.

    Forced down is down; otherwise the last heartbeat (before the first one, the row's creation)
    must be within ``window`` (see ``up_window``), which is aware or naive as the times are.
    """
    heartbeat = last_seen_up or created_at
    if forced_down or heartbeat is None:
        return False
    return window[0] <= heartbeat <= window[1]


def up_at(now: datetime.datetime, prefix: str = "") -> models.Q:
    """``is_up`` as a condition of a query; ``prefix`` leads to the service (``service__``)."""
    since, until = up_window(now)
    seen = {f"{prefix}last_seen_up__gte": since, f"{prefix}last_seen_up__lte": until}
    never_seen = {
        f"{prefix}last_seen_up__isnull": True,
        f"{prefix}created_at__gte": since,
        f"{prefix}created_at__lte": until,
    }
    forced_down = models.Q(**{f"{prefix}forced_down": True})
    return (models.Q(**seen) | models.Q(**never_seen)) & ~forced_down


def new_uuid() -> str:
    """The uuid of a service that is created here."""
    return str(uuid.uuid4())


class Service(CellModel):
    """A daemon of Nova on a host.

    ``uuid`` is null for one from before services had uuids, until the backfill gives it one.
    """

    id = models.AutoField(primary_key=True)
    uuid = models.CharField(max_length=36, null=True, default=new_uuid)
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
        window = up_window(now or timezone.now())
        return is_up(self.forced_down, self.last_seen_up, self.created_at, window)
