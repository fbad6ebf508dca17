"""Waiting for a condition, and noticing what takes too long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.models import Service
from tests.clouds import Cloud


@contextmanager
def lasting(at_most: float) -> Iterator[None]:
    """The block must not take longer; the bound leaves a busy machine some seconds."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < at_most


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def count(alias: str) -> int:
    return Service.objects.using(alias).count()


def count_disabled(cloud: Cloud) -> int:
    return Service.objects.using(cloud.cell("cell2").alias).filter(disabled=True).count()
