"""Locks between processes, kept in the portal's own database."""

import datetime
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db.models import Q
from django.utils import timezone

from audit.models import Lock


@contextmanager
def held(name: str, duration: datetime.timedelta) -> Iterator[Callable[[], bool] | None]:
    """Hold the lock ``name`` for the block, or yield ``None`` when another process holds it.

    A lock expires after ``duration``, so that a process that dies does not hold it for ever.
    The function that is yielded renews it for as long again; it returns ``False`` when the lock
    had expired and another process has taken it.
    """
    holder = uuid.uuid4().hex
    mine = Lock.objects.filter(name=name, holder=holder)

    def renew() -> bool:
        return bool(mine.update(until=timezone.now() + duration))

    Lock.objects.get_or_create(name=name)
    now = timezone.now()
    free = Lock.objects.filter(Q(holder="") | Q(until__lt=now), name=name)
    if not free.update(holder=holder, until=now + duration):
        yield None
        return
    try:
        yield renew
    finally:
        mine.update(holder="")
