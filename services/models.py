"""Nova's ``services`` table: the daemons of a cloud, and what follows from their columns."""

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import models
from django.db.models import Case, CharField, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from cells.fields import UTCDateTimeField
from cells.models import CellModel

NOVA_COMPUTE = "nova-compute"
COMPUTE_TOPIC = "compute"

#: Rows of the API processes themselves.  They have no heartbeat, so Nova does not list them.
API_BINARIES = ("nova-osapi_compute", "nova-metadata")


# --- state, status and zone ---------------------------------------------------------------------
#
# Each rule stands here twice, side by side: as a plain function of column values, which lists
# call for tuples, and as an expression or condition of a query.  tests/test_service_facts.py
# holds the two together.

Window = tuple[datetime.datetime, datetime.datetime]


def up_window(now: datetime.datetime) -> Window:
    """The first and last time of a heartbeat that counts at ``now``.

    ``SERVICE_DOWN_TIME`` seconds on either side: Nova's database servicegroup driver compares the
    absolute difference, so a clock that runs ahead counts as down too.
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


def up_at(now: datetime.datetime, prefix: str = "") -> Q:
    """``is_up`` as a condition; ``prefix`` leads to the service (``service__``)."""
    window = up_window(now)
    seen = Q(**{f"{prefix}last_seen_up__range": window})
    never_seen = Q(**{f"{prefix}last_seen_up__isnull": True, f"{prefix}created_at__range": window})
    return (seen | never_seen) & ~Q(**{f"{prefix}forced_down": True})


def state(
    forced_down: bool | None,
    last_seen_up: datetime.datetime | None,
    created_at: datetime.datetime | None,
    window: Window,
) -> str:
    """``up`` or ``down``."""
    return "up" if is_up(forced_down, last_seen_up, created_at, window) else "down"


def state_expression(now: datetime.datetime, prefix: str = "") -> Case:
    """``state`` as an expression; null where ``prefix`` leads to no service."""
    return _words(prefix, When(up_at(now, prefix), then=Value("up")), otherwise="down")


def status(disabled: bool | None) -> str:
    """``enabled`` or ``disabled``."""
    return "disabled" if disabled else "enabled"


def status_expression(prefix: str = "") -> Case:
    """``status`` as an expression; null where ``prefix`` leads to no service."""
    disabled = When(Q(**{f"{prefix}disabled": True}), then=Value("disabled"))
    return _words(prefix, disabled, otherwise="enabled")


def forced_down_expression(prefix: str = "") -> Case:
    """``yes`` or ``no``: whether a service is forced down; null where there is no service."""
    forced_down = When(Q(**{f"{prefix}forced_down": True}), then=Value("yes"))
    return _words(prefix, forced_down, otherwise="no")


def _words(prefix: str, when: When, *, otherwise: str) -> Case:
    no_service = [When(Q(**{f"{prefix}id": None}), then=Value(None))] if prefix else []
    return Case(*no_service, when, default=Value(otherwise), output_field=CharField())


@dataclass(frozen=True)
class Zones:
    """What the availability zone of a service depends on.

    ``of_hosts`` is the zone of each host that an aggregate puts in one; all other compute hosts
    are in ``default``, and services that are not compute services in ``internal``.
    """

    of_hosts: Mapping[str, str]
    default: str = field(default_factory=lambda: settings.DEFAULT_AVAILABILITY_ZONE)
    internal: str = field(default_factory=lambda: settings.INTERNAL_AVAILABILITY_ZONE)


def availability_zone(topic: str | None, host: str | None, zones: Zones) -> str:
    """The availability zone of a service, as Nova's ``set_availability_zones`` gives it."""
    if topic != COMPUTE_TOPIC:
        return zones.internal
    return zones.of_hosts.get(host or "", zones.default)


def availability_zone_expression(zones: Zones) -> Case:
    """``availability_zone`` as an expression, for rows of services."""
    compute = When(Q(topic=COMPUTE_TOPIC), then=host_zone_expression(zones))
    return Case(compute, default=Value(zones.internal), output_field=CharField())


def host_zone_expression(zones: Zones) -> Case:
    """``availability_zone`` of compute hosts as an expression, for rows with a ``host``."""
    hosts: dict[str, list[str]] = {}
    for host, zone in zones.of_hosts.items():
        hosts.setdefault(zone, []).append(host)
    whens = [When(host__among=frozenset(names), then=Value(zone)) for zone, names in hosts.items()]
    return Case(*whens, default=Value(zones.default), output_field=CharField())


def new_uuid() -> str:
    """The uuid of a service that the portal itself creates."""
    return str(uuid.uuid4())


class Service(CellModel):
    """A daemon of Nova on a host.

    ``uuid`` is null in rows from before services had uuids, until the backfill fills it in.
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
        verbose_name = _("service")
        verbose_name_plural = _("services")
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
        return gettext("%(binary)s on %(host)s") % {"binary": self.binary, "host": self.host}

    def is_up(self, now: datetime.datetime | None = None) -> bool:
        """Whether the service is up at ``now`` (at present, unless given)."""
        window = up_window(now or timezone.now())
        return is_up(self.forced_down, self.last_seen_up, self.created_at, window)

    def is_reporting(self, now: datetime.datetime | None = None) -> bool:
        """Whether its heartbeats arrive at ``now``, even if it is forced down."""
        return is_up(None, self.last_seen_up, None, up_window(now or timezone.now()))

    @property
    def state(self) -> str:
        """``up`` or ``down``, at present."""
        return "up" if self.is_up() else "down"

    @property
    def status(self) -> str:
        """``enabled`` or ``disabled``."""
        return status(self.disabled)
