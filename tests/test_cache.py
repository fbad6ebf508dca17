"""In-process caches."""

import threading
import time
from collections.abc import Iterator

import pytest

from cells.cache import CachedValue, Hints


def numbers() -> CachedValue[int]:
    """A cached value that counts how often it was loaded."""
    loads = iter(range(1, 100))
    return CachedValue(lambda: next(loads), ttl=600)


def test_a_value_is_loaded_once() -> None:
    cached = numbers()
    assert cached.last is None
    assert [cached.get(), cached.get(), cached.last] == [1, 1, 1]


def test_an_old_value_is_reloaded() -> None:
    age = 600.0
    loads = iter(range(1, 100))
    cached = CachedValue(lambda: next(loads), ttl=lambda: age)
    assert cached.get() == 1
    age = 0
    assert cached.get() == 2
    age = 600
    assert cached.get() == 2
    time.sleep(0.01)
    assert cached.get(max_age=0.001) == 3


def test_an_expired_value_is_served_until_it_is_reloaded() -> None:
    cached = numbers()
    cached.get()
    cached.expire()
    assert cached.last == 1
    assert cached.get() == 2


def test_a_value_that_expires_during_loading_is_reloaded() -> None:
    loads = 0

    def load() -> int:
        nonlocal loads
        loads += 1
        if loads == 1:
            cached.expire()
        return loads

    cached = CachedValue(load, ttl=600)
    assert [cached.get(), cached.get(), cached.get()] == [1, 2, 2]


def test_clearing_removes_the_value() -> None:
    cached = numbers()
    cached.get()
    cached.clear()
    assert cached.last is None
    assert cached.get() == 2


def test_clearing_removes_a_value_that_is_being_loaded() -> None:
    is_loading, go_on = threading.Event(), threading.Event()

    def load() -> int:
        is_loading.set()
        assert go_on.wait(10)
        return 1

    cached = CachedValue(load, ttl=600)
    cached.refresh()
    assert is_loading.wait(10)
    threading.Timer(0.1, go_on.set).start()
    cached.clear()
    assert go_on.is_set()
    assert cached.last is None


def test_an_error_keeps_the_last_value() -> None:
    results: Iterator[int | OSError] = iter([1, OSError("away"), 3])

    def load() -> int:
        result = next(results)
        if isinstance(result, OSError):
            raise result
        return result

    cached = CachedValue(load, ttl=0)
    assert cached.get() == 1
    with pytest.raises(OSError, match="away"):
        cached.get()
    assert cached.last == 1
    assert cached.get() == 3


def test_how_old_a_value_is_that_cannot_be_loaded_again() -> None:
    results: Iterator[int | OSError] = iter([1, OSError("away"), 3])

    def load() -> int:
        result = next(results)
        if isinstance(result, OSError):
            raise result
        return result

    cached = CachedValue(load, ttl=0, kept_on=(OSError,))
    assert [cached.get(), cached.age_if_kept(60)] == [1, None]
    time.sleep(0.01)
    assert cached.get() == 1
    age = cached.age_if_kept(60)
    assert age is not None
    assert 0.01 <= age < 10
    assert cached.age_if_kept(0) is None  # it may be back since
    assert [cached.get(), cached.age_if_kept(60)] == [3, None]


def test_one_thread_loads_for_all() -> None:
    together = threading.Barrier(8)
    loads: list[int] = []
    seen: list[str] = []

    def load() -> str:
        loads.append(threading.get_ident())
        time.sleep(0.1)
        return "value"

    cached = CachedValue(load, ttl=600)

    def ask() -> None:
        together.wait(10)
        seen.append(cached.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (seen, len(loads)) == (["value"] * 8, 1)


def test_the_number_of_hints_is_limited() -> None:
    hints = Hints[str, int](max_length=10)
    hints.note(["a", "b"], 1)
    hints.note(["b", "c"], 2)
    assert [hints.get(key) for key in "abcd"] == [1, 2, 2, None]
    hints.discard("b")
    hints.discard("d")
    assert (hints.get("b"), len(hints)) == (None, 2)
    for number in range(100):
        hints.note([str(number)], number)
        assert len(hints) <= 10
    hints.clear()
    assert len(hints) == 0


def test_the_latest_value_is_not_waited_for() -> None:
    may_load, ages = threading.Event(), [600.0]
    loads = iter(range(1, 100))

    def load() -> int:
        number = next(loads)
        if number == 2:
            may_load.wait(60)
        return number

    cached = CachedValue(load, ttl=lambda: ages[0])
    assert [cached.latest(), cached.latest()] == [1, 1]
    began = time.monotonic()
    time.sleep(0.05)
    ages[0] = (time.monotonic() - began) / 2  # so that it is too old, but not ten times
    assert cached.latest() == 1
    ages[0] = 600.0
    may_load.set()
    while cached.last == 1:
        time.sleep(0.01)
    assert [cached.latest(), cached.last] == [2, 2]
    cached.expire()
    assert cached.latest() == 3
    ages[0] = 0.0
    assert cached.latest() == 4


def test_how_old_a_value_may_be_that_is_not_waited_for() -> None:
    loads, ages = iter(range(1, 100)), [600.0]
    cached = CachedValue(lambda: next(loads), ttl=lambda: ages[0])
    assert cached.latest() == 1
    began = time.monotonic()
    time.sleep(0.3)
    ages[0] = (time.monotonic() - began) / 3  # so that it is three times as old
    assert cached.latest(2) == 2
