"""The maintenance of a host, and what becomes of each server on it; kept in ``default``."""

import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.models import Channel


class PlanName(models.TextChoices):
    """What is done to the host; see ``maintenance.plans``."""

    EMPTY = "empty", _("empty for work")
    EVACUATE = "evacuate", _("evacuate a dead host")
    RETIRE = "retire", _("retire")


class State(models.TextChoices):
    """How far a maintenance is."""

    PLANNED = "planned", _("planned")
    DISABLING = "disabling", _("disabling")
    EMPTYING = "emptying", _("emptying")
    EMPTY = "empty", _("empty")
    RETURNING = "returning", _("returning")
    DONE = "done", _("done")
    STOPPING = "stopping", _("stopping")
    STOPPED = "stopped", _("stopped")
    FAILED = "failed", _("failed")


#: States in which nothing more happens by itself.
ENDED = (State.DONE, State.STOPPED, State.FAILED)

#: States that have other names in a plan.
LABELS: dict[tuple[str, str], Any] = {
    (PlanName.EVACUATE, State.DISABLING): _("forcing down"),
    (PlanName.EVACUATE, State.EMPTYING): _("evacuating"),
    (PlanName.EVACUATE, State.EMPTY): _("evacuated, waiting for the host"),
    (PlanName.RETIRE, State.EMPTY): _("empty, waiting for nova-compute to stop"),
    (PlanName.RETIRE, State.RETURNING): _("deleting"),
}


class Batch(models.Model):
    """Maintenances of several hosts that were requested together: of a rack, say."""

    at_once = models.PositiveIntegerField(default=1, help_text="How many hosts at a time.")
    stop_on_failure = models.BooleanField(
        default=True, help_text="Whether no other host is begun after one has failed."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"batch {self.pk}"


class MaintenanceQuerySet(models.QuerySet["Maintenance"]):
    """Maintenances, by what is to be done about them."""

    def active(self) -> "MaintenanceQuerySet":
        """Those that have not ended."""
        return self.exclude(state__in=ENDED)

    def open(self) -> "MaintenanceQuerySet":
        """Those that have not ended, and those whose host is still as they left it."""
        later = Maintenance.objects.filter(
            service_key=OuterRef("service_key"), id__gt=OuterRef("id")
        )
        left = Q(state__in=(State.FAILED, State.STOPPED)) & ~Q(former=None) & ~Exists(later)
        return self.filter(~Q(state__in=ENDED) | left)

    def unleased(self, now: datetime.datetime) -> "MaintenanceQuerySet":
        """Those that no worker is at."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lt=now))


class Maintenance(models.Model):
    """The maintenance of a host: who, why, until when, and how far it is.

    Cell and service are kept by uuid and name, so that it outlives both.  ``service_key`` names
    the service as ``cells.locate`` does; ``active_key`` is the same until the maintenance ends,
    and unique, so that a host has one at a time.
    """

    plan = models.CharField(_("plan"), max_length=16, choices=PlanName.choices)
    state = models.CharField(
        _("state"), max_length=16, choices=State.choices, default=State.PLANNED, db_index=True
    )
    message = models.TextField(_("remark"), blank=True)
    cell_uuid = models.CharField(max_length=36)
    cell_name = models.CharField(_("cell"), max_length=255)
    service_key = models.CharField(max_length=64, db_index=True)
    active_key = models.CharField(max_length=64, null=True, unique=True)
    host = models.CharField(_("host"), max_length=255, db_index=True)

    username = models.CharField(_("requested by"), max_length=150)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    request_id = models.CharField(max_length=64, blank=True)
    remote_address = models.CharField(max_length=64, null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=200)
    ticket = models.CharField(_("ticket"), max_length=50, blank=True)
    created_at = models.DateTimeField(_("requested"), default=timezone.now, db_index=True)
    starts_at = models.DateTimeField(_("begins"), default=timezone.now, db_index=True)
    until = models.DateTimeField(_("planned until"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    move_stopped = models.BooleanField(
        default=False, help_text="Whether servers that are shut off are migrated cold."
    )
    target = models.CharField(
        max_length=255, blank=True, help_text="Where servers go; empty: Nova chooses."
    )
    at_once = models.PositiveIntegerField(help_text="How many servers are moved at a time.")
    batch = models.ForeignKey(
        Batch, models.PROTECT, null=True, blank=True, related_name="maintenances"
    )
    simulated = models.BooleanField(default=False)

    former = models.JSONField(
        null=True, help_text="status and disabled_reason of the service before; null: not yet."
    )
    stop_requested_by = models.CharField(max_length=150, blank=True)
    return_requested_by = models.CharField(max_length=150, blank=True)

    due_at = models.DateTimeField(
        null=True, db_index=True, help_text="When the next step is due; null: none is."
    )
    lease_holder = models.CharField(max_length=36, blank=True)
    lease_until = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["Maintenance"]] = models.Manager.from_queryset(
        MaintenanceQuerySet
    )()

    class Meta:
        verbose_name = _("maintenance")
        verbose_name_plural = _("maintenances")
        ordering = ("-created_at", "-id")
        default_permissions = ("add", "change", "view")

    def __str__(self) -> str:
        return f"{self.host}: {self.get_plan_display()}"

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.state not in ENDED

    @property
    def state_label(self) -> Any:
        """The state in the words of the plan."""
        if self.return_requested_by:
            return self.get_state_display()
        return LABELS.get((self.plan, self.state)) or self.get_state_display()

    @property
    def is_overdue(self) -> bool:
        """Whether it was to be over by now."""
        return self.is_active and self.until is not None and self.until < timezone.now()

    @property
    def disabled_reason(self) -> str:
        """The reason that the service is disabled with."""
        ticket = f" ({self.ticket})" if self.ticket else ""
        return f"{self.reason}{ticket}"


class Method(models.TextChoices):
    """How a server is moved."""

    LIVE = "live-migration", _("live migration")
    COLD = "migration", _("cold migration")
    EVACUATION = "evacuation", _("evacuation")


class Fate(models.TextChoices):
    """What has become of a server of the host."""

    WAITING = "waiting", _("waiting")
    REQUESTED = "requested", _("requested")
    MOVING = "moving", _("moving")
    CONFIRMING = "confirming", _("confirming")
    MOVED = "moved", _("moved")
    GONE = "gone", _("deleted meanwhile")
    STUCK = "stuck", _("cannot be moved")
    FAILED = "failed", _("failed")


#: Fates of servers that Nova is moving, or may be.
UNDER_WAY = (Fate.REQUESTED, Fate.MOVING, Fate.CONFIRMING)
#: Fates of servers that are no longer on the host, and of those that stay there.
LEFT, STAYED = (Fate.MOVED, Fate.GONE), (Fate.STUCK, Fate.FAILED)
#: The order in which servers are shown: what needs somebody comes first.
FATE_ORDER: dict[str, int] = {
    fate: number for number, fate in enumerate((*STAYED, *reversed(UNDER_WAY), Fate.WAITING, *LEFT))
}


class Server(models.Model):
    """A server that was on the host.

    A request to Nova is written down as ``REQUESTED`` before it is sent, with the id of the
    server's latest migration (``after_migration``), so that a worker that finds it later can tell
    from the cell whether Nova has had it.
    """

    maintenance = models.ForeignKey(Maintenance, models.CASCADE, related_name="servers")
    uuid = models.CharField(max_length=36)
    name = models.CharField(max_length=255, blank=True)
    vm_state = models.CharField(max_length=255, blank=True)
    method = models.CharField(max_length=16, choices=Method.choices, blank=True)
    fate = models.CharField(max_length=16, choices=Fate.choices, default=Fate.WAITING)
    cause = models.TextField(blank=True)
    target = models.CharField(max_length=255, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    after_migration = models.IntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    busy_since = models.DateTimeField(null=True)
    requested_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("server in maintenance")
        verbose_name_plural = _("servers in maintenance")
        ordering = ("id",)
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["maintenance", "uuid"], name="one_fate_per_server_and_maintenance"
            ),
        )
        indexes = (models.Index(fields=["fate"], name="maintenance_server_fate"),)

    def __str__(self) -> str:
        return self.name or self.uuid

    @property
    def order(self) -> tuple[int, bool]:
        """Where it stands among the others: what needs somebody comes first."""
        return FATE_ORDER[self.fate], not self.cause

    @property
    def fate_label(self) -> Any:
        """The fate in words: nothing waits any more in a maintenance that has ended."""
        if self.fate == Fate.WAITING and not self.maintenance.is_active:
            return _("not moved")
        return self.get_fate_display()
