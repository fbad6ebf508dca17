"""What can be wrong with a service, as conditions that a cell's database can answer."""

import datetime

from django.conf import settings
from django.db.models import Max, Q
from django.utils.translation import gettext_lazy as _

from audit.models import Entry, Outcome
from portal.console.filters import Label

NO_UUID, FORCED_REPORTING, DISABLED_LONG = "no-uuid", "forced-reporting", "disabled-long"


def service_flags(now: datetime.datetime, prefix: str = "") -> dict[str, tuple[Label, Q]]:
    """Each problem's name and condition; the columns are behind ``prefix``."""
    disabled_before = now - datetime.timedelta(days=settings.DISABLED_TOO_LONG_DAYS)
    window = datetime.timedelta(seconds=settings.SERVICE_DOWN_TIME)

    def q(**columns: object) -> Q:
        return Q(**{f"{prefix}{name}": value for name, value in columns.items()})

    return {
        NO_UUID: (_("service without a uuid"), q(id__isnull=False, uuid=None)),
        FORCED_REPORTING: (
            _("forced down but reporting"),
            q(forced_down=True, last_seen_up__range=(now - window, now + window)),
        ),
        DISABLED_LONG: (
            _("disabled for long"),
            q(disabled=True)
            & (q(updated_at__lt=disabled_before) | q(uuid__in=disabled_since(disabled_before))),
        ),
    }


def disabled_since(before: datetime.datetime) -> list[str]:
    """The uuids of services that were last disabled before then, as far as the audit knows.

    A row's ``updated_at`` does not tell: every heartbeat sets it.  It does for a service that
    has stopped reporting.
    """
    last = (
        Entry.objects.filter(action__in=("disable", "update"), outcome=Outcome.DONE)
        .filter(after__status="disabled")
        .exclude(before__status="disabled")
        .exclude(service_uuid="")
        .order_by()
        .values("service_uuid")
        .annotate(last=Max("at"))
        .filter(last__lt=before)
    )
    return [row["service_uuid"] for row in last]
