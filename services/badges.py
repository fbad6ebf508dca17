"""How the console shows the state and status of a service, and the fields that are read for it."""

import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

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


def status_badge(service: Service, disabling: Disabling | None = None) -> SafeString:
    """Enabled, or disabled with the reason, and with who did it and when where that is known."""
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
