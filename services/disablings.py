"""Who disabled a service and when, as far as the audit knows.

Nova keeps only the reason, and every heartbeat overwrites the time in the service's row.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Q, QuerySet

from audit.models import Entry, Outcome
from services.models import Service

#: Entries of changes that left the service disabled, and those of them that it was enabled before.
DISABLED = Q(outcome=Outcome.DONE, after__status="disabled") & ~Q(service_uuid="")
CAME_FROM_DISABLED = Q(before__status="disabled")


@dataclass(frozen=True)
class Disabling:
    """Who disabled the service, and when."""

    at: datetime.datetime
    username: str


def disablings_of(services: Iterable[Service | None]) -> dict[str, Disabling]:
    """Who disabled these services, by uuid; the audit is asked only about disabled ones.

    What has been changed since by other means than the portal is left out: the audit's latest
    entry about a service has to agree with the service's row.
    """
    disabled = {
        service.uuid: service
        for service in services
        if service and service.disabled and service.uuid
    }
    if not disabled:
        return {}
    of_services = Entry.objects.filter(service_uuid__in=list(disabled), outcome=Outcome.DONE)
    latest = _last_of_each(of_services.filter(after__isnull=False))
    last_disabled = _last_of_each(of_services.filter(DISABLED).exclude(CAME_FROM_DISABLED))
    return {
        uuid: Disabling(entry.at, entry.username)
        for uuid, entry in last_disabled.items()
        if _agrees(latest[uuid].after, disabled[uuid])
    }


def _last_of_each(entries: "QuerySet[Entry]") -> dict[str, Entry]:
    """The last of the entries about each service."""
    ids = entries.order_by().values("service_uuid").annotate(last=Max("id")).values("last")
    return {entry.service_uuid: entry for entry in Entry.objects.filter(id__in=ids)}


def _agrees(after: Mapping[str, Any] | None, service: Service) -> bool:
    state = after or {}
    return bool(
        state.get("status") == "disabled"
        and state.get("disabled_reason") == service.disabled_reason
    )


def uuids_disabled_before(before: datetime.datetime) -> list[str]:
    """The uuids of services whose last disabling on record in the audit is older."""
    last = (
        Entry.objects.filter(DISABLED)
        .exclude(CAME_FROM_DISABLED)
        .order_by()
        .values("service_uuid")
        .annotate(last=Max("at"))
        .filter(last__lt=before)
    )
    return [row["service_uuid"] for row in last]
