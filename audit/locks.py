"""Work that only one process at a time may do, agreed on through the database."""

import datetime
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db.models import Q
from django.utils import timezone

from audit.models import Lock


@contextmanager
def held(name: str, duration: datetime.timedelta) -> Iterator[Callable[[], bool] | None]:
    """Hold the lease ``name`` for ``duration`` at a time; ``None`` when another holds it.

    Else yields a function that renews it, which is ``False`` once the lease is lost.
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
