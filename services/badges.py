"""How the console shows the state and status of a service, and the fields that are read for it."""

import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from portal.console.html import ago, badge
from services.models import Service

STATE_FIELDS = ("forced_down", "last_seen_up", "created_at")
STATUS_FIELDS = ("disabled", "disabled_reason")


def state_badge(service: Service, now: datetime.datetime) -> SafeString:
    """Up, down or forced down, with the age of the last heartbeat."""
    if service.forced_down:
        shown = badge("off", _("forced down"))
    elif service.is_up(now):
        shown = badge("good", _("up"))
    else:
        shown = badge("bad", _("down"))
    heartbeat = ago(service.last_seen_up, now) if service.last_seen_up else _("never reported")
    return format_html('{} <span class="since quiet">{}</span>', shown, heartbeat)


def status_badge(service: Service) -> SafeString:
    """Enabled, or disabled with the reason."""
    if not service.disabled:
        return badge("good", _("enabled"))
    shown = badge("off", _("disabled"))
    if not service.disabled_reason:
        return shown
    return format_html('{} <span class="reason">{}</span>', shown, service.disabled_reason)
