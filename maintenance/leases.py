"""Who carries a maintenance on: one worker at a time, for as long as it renews its lease.

A task queue does not say that a worker has died, so a lease expires, and whoever comes next goes
on from what is written down.  Everything is written under the lease: a worker that was asleep for
longer changes nothing any more.
"""

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from maintenance import record
from maintenance.models import ENDED, Maintenance

#: How long a lease lasts unless it is renewed: longer than one request to Nova may take.
DURATION = datetime.timedelta(seconds=30)


def silent_for(maintenance: Maintenance) -> datetime.timedelta | None:
    """How long nothing was heard of the worker that holds the lease; ``None`` if none does."""
    if maintenance.lease_until is None:
        return None
    return timezone.now() - (maintenance.lease_until - DURATION)


class LeaseLost(Exception):
    """Another worker carries the maintenance on; this one must not touch it any more."""


class Lease:
    """The right to carry on ``maintenance``, whose columns are changed through it alone."""

    def __init__(self, maintenance: Maintenance, holder: str) -> None:
        self.maintenance = maintenance
        self._row = Maintenance.objects.filter(pk=maintenance.pk, lease_holder=holder)

    def update(self, **columns: Any) -> None:
        """Write columns; raises ``LeaseLost``."""
        if not self._row.update(**columns):
            raise LeaseLost(str(self.maintenance))
        for name, value in columns.items():
            setattr(self.maintenance, name, value)

    def renew(self) -> None:
        """Hold the lease for as long again, and see whether someone wants it stopped."""
        self.update(lease_until=timezone.now() + DURATION)
        self.maintenance.refresh_from_db(fields=["stop_requested_by", "return_requested_by"])

    def change_state(self, state: str, message: str = "", username: str = "") -> None:
        """Go on to ``state``, on record, and tell those who want to know."""
        columns: dict[str, Any] = {"state": state, "message": message}
        if state in ENDED:
            columns |= {"ended_at": timezone.now(), "active_key": None}
        before = self.maintenance.state
        with transaction.atomic(using=router.db_for_write(Maintenance)):
            self.update(**columns)
            record.state_changed(self.maintenance, before, username)

    def say(self, message: str) -> None:
        """Write down what it is waiting for."""
        if message != self.maintenance.message:
            self.update(message=message)


@contextmanager
def leased(maintenance_id: int) -> Iterator[Lease | None]:
    """Hold the lease of a maintenance whose next step is due; ``None`` if there is nothing to do.

    That is so when another worker holds the lease, when the step is not due yet (another has made
    it), and when the maintenance has ended.
    """
    holder, now = str(uuid.uuid4()), timezone.now()
    due = Maintenance.objects.unleased(now).filter(pk=maintenance_id, due_at__lte=now)
    if not due.update(lease_holder=holder, lease_until=now + DURATION):
        yield None
        return
    yield Lease(Maintenance.objects.get(pk=maintenance_id), holder)
