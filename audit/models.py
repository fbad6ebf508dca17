"""The record of every action, and what has still to be done about the latest of them."""

from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Channel(models.TextChoices):
    """Through what an action came."""

    API = "api", _("API")
    CONSOLE = "console", _("console")
    COMMAND = "command", _("command")


class Outcome(models.TextChoices):
    """How an action ended."""

    DONE = "done", _("done")
    REFUSED = "refused", _("refused")  # by a rule; nothing was changed
    FAILED = "failed", _("failed")  # a database did not do it; nothing was changed
    UNKNOWN = "unknown", _("unknown")  # interrupted, and changed by others since


class AppendOnly(TypeError):
    """An audit entry was to be changed or deleted."""

    def __init__(self) -> None:
        super().__init__("audit entries are never changed or deleted")


class EntryQuerySet(models.QuerySet["Entry"]):
    """Entries to read and add to."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class Entry(models.Model):
    """Who did what to which service, and how it ended.

    Names and uuids are kept as text, so that an entry outlives the user, the service and the
    cell.  ``before`` and ``after`` are the columns that actions change, as JSON; ``after`` is
    null for a deleted service and where nothing was changed.
    """

    at = models.DateTimeField(default=timezone.now, db_index=True)
    username = models.CharField(max_length=150, db_index=True)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    request_id = models.CharField(max_length=64, blank=True)
    remote_address = models.CharField(max_length=64, null=True, blank=True)
    action = models.CharField(max_length=32)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    message = models.TextField(blank=True)
    cell_uuid = models.CharField(max_length=36, blank=True)
    cell_name = models.CharField(max_length=255, blank=True)
    service_uuid = models.CharField(max_length=255, blank=True, db_index=True)
    service_id = models.IntegerField(null=True, blank=True)
    host = models.CharField(max_length=255, blank=True, db_index=True)
    binary = models.CharField(max_length=255, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)

    objects: ClassVar[models.Manager["Entry"]] = models.Manager.from_queryset(EntryQuerySet)()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-at", "-id")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.action} {self.host or self.service_uuid} by {self.username}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the entry; one that is on record already raises ``AppendOnly``."""
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly


class Intent(models.Model):
    """An action that has begun and is not on record yet.

    Written before the action changes anything, and replaced by its entry when it has ended.  One
    that stays behind was interrupted, and what came of it has to be found out.  ``id`` is also
    the place of the action's notification in the order of delivery.
    """

    begun_at = models.DateTimeField(default=timezone.now)
    service = models.CharField(max_length=64, help_text="Cell uuid and row id.")
    entry = models.JSONField()
    notification = models.JSONField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.entry['action']} {self.entry['host']}"


class OutboxMessage(models.Model):
    """A notification that has not been delivered yet; it is deleted when it has been."""

    id = models.BigIntegerField(primary_key=True)
    service = models.CharField(max_length=64, help_text="Cell uuid and row id.")
    message = models.JSONField(help_text="Context and body.")
    sent_to = models.JSONField(default=list, help_text="Topics that have had it already.")
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.IntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.message["body"]["event_type"])


class Lock(models.Model):
    """Who does a piece of work of which only one may be done at a time, and until when."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=64, blank=True)
    until = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
