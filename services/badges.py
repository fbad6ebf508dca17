"""How the console shows the state and status of a service, and the fields that are read for it."""

import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from audit.models import Note
from portal.console.html import ago, badge
from services.disablings import Disabling
from services.models import Service

STATE_FIELDS = ("forced_down", "last_seen_up", "created_at")
STATUS_FIELDS = ("uuid", "disabled", "disabled_reason")


def state_badge(service: Service, now: datetime.datetime) -> SafeString:
    """Up, down or forced down, with the age of the last heartbeat."""
    if service.is_reporting(now) and service.forced_down:
        shown = badge("bad", _("forced down, but reporting"))
    elif service.forced_down:
        shown = badge("off", _("forced down"))
    elif service.is_up(now):
        shown = badge("good", _("up"))
    else:
        shown = badge("bad", _("down"))
    return format_html('{} <span class="since quiet">{}</span>', shown, _heartbeat(service, now))


def _heartbeat(service: Service, now: datetime.datetime) -> SafeString | str:
    if service.last_seen_up is None:
        return _("never reported")
    return ago(service.last_seen_up, now, words=_("last heartbeat %(age)s ago"))


def status_badge(
    service: Service, disabling: Disabling | None = None, note: Note | None = None
) -> SafeString:
    """Enabled, or disabled with the reason, and with who did it and when where that is known.

    The note that was left at the host stands beside it.
    """
    shown = _status(service, disabling)
    return shown if note is None else format_html("{} {}", shown, note_badge(note))


def note_badge(note: Note) -> SafeString:
    """A note, with when the host is to be back, who said so, and the ticket."""
    shown = format_html('<span class="reason note">{}', note.text)
    if note.back_on is not None:
        is_late = note.back_on < timezone.now().date()
        words = _("was to be back on %(date)s") if is_late else _("back on %(date)s")
        kind = "warning" if is_late else "off"
        shown = format_html("{} {}", shown, badge(kind, words % {"date": note.back_on.isoformat()}))
    if note.ticket:
        shown = format_html(
            '{} <a href="{}" rel="noreferrer">{}</a>', shown, note.ticket, _("ticket")
        )
    return format_html('{} <span class="quiet">{}</span></span>', shown, note.username)


def _status(service: Service, disabling: Disabling | None) -> SafeString:
    if not service.disabled:
        return badge("good", _("enabled"))
    shown = badge("off", _("disabled"))
    if service.disabled_reason:
        shown = format_html('{} <span class="reason">{}</span>', shown, service.disabled_reason)
    if disabling is None:
        return shown
    when = ago(disabling.at, words=_("disabled %(age)s ago"))
    return format_html(
        '{} <span class="since quiet">{}, {}</span>', shown, when, disabling.username
    )
