"""The record of every action, and what still has to be done about the latest of them."""

from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Channel(models.TextChoices):
    """Where an action was requested."""

    API = "api", _("API")
    CONSOLE = "console", _("console")
    COMMAND = "command", _("command")


class Outcome(models.TextChoices):
    """How an action ended."""

    DONE = "done", _("done")
    REFUSED = "refused", _("refused")  # by a rule; nothing was changed
    FAILED = "failed", _("failed")  # a database did not do it; nothing was changed
    UNKNOWN = "unknown", _("unknown")  # interrupted, and someone else has changed the row since


class AppendOnly(TypeError):
    """Something tried to change or delete an audit entry."""

    def __init__(self) -> None:
        super().__init__("audit entries are never changed or deleted")


class EntryQuerySet(models.QuerySet["Entry"]):
    """Entries, which can be read and added, and nothing else."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class Entry(models.Model):
    """Who did what to which service, or to which ``subject`` else, and how it ended.

    Names and uuids are kept as text, so that an entry outlives the user, the service and the
    cell.  ``before`` and ``after`` hold the values that the action could change; ``after`` is
    null for a deleted row, and where nothing was changed.

    The entries of one request that acts on several things are a bulk action: they have its
    ``request_id``, and are numbered from 1 (``bulk_position``) to as many as it was to act on
    (``bulk_size``).  ``undoes`` is the id of the entry whose action was taken back.
    ``keystone_...`` is who acted with a token of Keystone, or in a session that began there.
    """

    at = models.DateTimeField(default=timezone.now, db_index=True)
    username = models.CharField(_("user"), max_length=150, db_index=True)
    keystone_user_id = models.CharField(_("user id in Keystone"), max_length=64, blank=True)
    keystone_project_id = models.CharField(_("project id"), max_length=64, blank=True)
    keystone_project = models.CharField(_("project"), max_length=255, blank=True)
    channel = models.CharField(_("channel"), max_length=16, choices=Channel.choices)
    request_id = models.CharField(_("request id"), max_length=64, blank=True, db_index=True)
    bulk_position = models.IntegerField(_("position in the bulk action"), default=0)
    bulk_size = models.IntegerField(_("size of the bulk action"), default=0)
    undoes = models.BigIntegerField(_("takes back entry"), null=True, blank=True, db_index=True)
    remote_address = models.CharField(_("remote address"), max_length=64, null=True, blank=True)
    action = models.CharField(_("action"), max_length=32)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome.choices)
    message = models.TextField(_("message"), blank=True)
    subject = models.CharField(_("subject"), max_length=255, blank=True)
    cell_uuid = models.CharField(_("uuid of the cell"), max_length=36, blank=True)
    cell_name = models.CharField(_("cell name"), max_length=255, blank=True)
    service_uuid = models.CharField(
        _("uuid of the service"), max_length=255, blank=True, db_index=True
    )
    service_id = models.IntegerField(_("id of the service"), null=True, blank=True)
    host = models.CharField(_("host"), max_length=255, blank=True, db_index=True)
    binary = models.CharField(_("binary"), max_length=255, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)

    objects: ClassVar[models.Manager["Entry"]] = models.Manager.from_queryset(EntryQuerySet)()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-at", "-id")
        default_permissions = ("view",)

    def __str__(self) -> str:
        what = self.host or self.service_uuid or self.subject
        return f"{self.action} {what} by {self.username}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the entry; saving one that is already on record raises ``AppendOnly``."""
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly


class Note(models.Model):
    """What people leave at a host for one another: why it is as it is, and until when.

    It stands beside the status of the host's services until it is cleared, and stays in the host's
    history.  ``ticket`` is a URL.
    """

    cell_uuid = models.CharField(max_length=36)
    host = models.CharField(max_length=255)
    text = models.CharField(_("note"), max_length=500)
    back_on = models.DateField(_("back on"), null=True, blank=True)
    ticket = models.URLField(_("link to a ticket"), max_length=500, blank=True)
    username = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)
    cleared_at = models.DateTimeField(null=True, editable=False)
    cleared_by = models.CharField(max_length=150, blank=True, editable=False)

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        ordering = ("-created_at", "-id")
        default_permissions = ("add", "change", "view")
        indexes = (models.Index(fields=["host", "cell_uuid"], name="notes_of_a_host"),)

    def __str__(self) -> str:
        return self.text


class Intent(models.Model):
    """An action that has begun and is not on record yet.

    It is written before the action changes anything, and replaced by its entry when the action
    ends.  One that stays behind was interrupted, and ``journal.settle`` has to find out what
    became of it.
    """

    begun_at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=32, help_text="Which settler can tell what became of it.")
    subject = models.CharField(max_length=64, help_text="What it acts on, in one text.")
    entry = models.JSONField(help_text="The entry's columns.")
    messages = models.JSONField(
        default=list, help_text="What to send when it is done: transport and payload of each."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.entry['action']} {self.entry['host']}"


class OutboxMessage(models.Model):
    """A message about an action, to be sent by a transport, and deleted once it has been."""

    transport = models.CharField(max_length=32)
    sequence = models.BigIntegerField(help_text="The id of the action's intent.")
    subject = models.CharField(max_length=64, help_text="What the action acted on.")
    payload = models.JSONField(help_text="As the transport wants it.")
    sent_to = models.JSONField(
        default=list, help_text="Destinations of the transport that have had it already."
    )
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.IntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("sequence", "id")
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["transport", "sequence"], name="one_message_per_transport_and_action"
            ),
        )

    def __str__(self) -> str:
        return f"message {self.sequence} for {self.transport}"


class Lock(models.Model):
    """Who holds a lock, and until when; see ``audit.locks``."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=64, blank=True)
    until = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
