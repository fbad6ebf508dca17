"""Calls to a service that does not respond or fails."""

import threading
import time

import pytest

from cloud.deadlines import BoundedExecutor, ServiceUnavailable


class Away(ServiceUnavailable):
    """The service of these tests is unavailable."""


def executor(**options: float) -> BoundedExecutor:
    defaults: dict[str, float] = {"deadline": 0.2, "retry_after": 0.3}
    return BoundedExecutor("thing", Away, **{**defaults, **options}, max_workers=2)


def test_results_and_errors_are_passed_on() -> None:
    thing = executor()
    assert thing.call(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        thing.call(lambda: 1 // 0)
    assert not thing.is_open(), "an error of the caller's own is no outage"


def test_a_timeout_of_the_function_is_its_own() -> None:
    def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        executor().call(fail)


def test_a_call_is_abandoned_at_the_deadline_and_the_service_skipped_for_a_while() -> None:
    thing = executor()
    release = threading.Event()
    began = time.monotonic()
    with pytest.raises(Away, match=r"^thing: no answer within 0.2 s$"):
        thing.call(release.wait)
    assert 0.15 < time.monotonic() - began < 1
    calls: list[int] = []
    with pytest.raises(Away, match="no answer"):
        thing.call(lambda: calls.append(1))
    assert not calls, "nothing is asked while it is left alone"
    release.set()
    time.sleep(0.35)
    assert thing.call(lambda: 5) == 5
    assert not thing.is_open()


def test_a_longer_deadline_for_one_call() -> None:
    executor().call(lambda: time.sleep(0.4), deadline=5)


def test_hung_threads_do_not_delay_other_calls_beyond_the_deadline() -> None:
    thing = executor(retry_after=0)
    release = threading.Event()
    outcomes: list[str] = []

    def ask() -> None:
        try:
            thing.call(release.wait)
        except Away as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 1
    release.set()
    assert (
        sorted(outcomes)
        == ["thing: busy, all its threads wait"] * 3 + ["thing: no answer within 0.2 s"] * 2
    )


def test_an_outage_the_function_reports_is_noted() -> None:
    def fail() -> None:
        raise Away("thing: 503")

    thing = executor()
    with pytest.raises(Away):
        thing.call(fail)
    assert thing.is_open()
    assert thing.last_error == "thing: 503"
