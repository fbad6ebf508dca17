"""A few of the requests of ``tests.fuzz``, so that it and what it has found stay as they are."""

import pytest

from tests.fuzz import Known, Maker, fuzz, fuzzed_portal

#: A busy machine makes nothing wrong.
SLOW = 10.0


def test_no_request_ends_in_a_5xx() -> None:
    with fuzzed_portal() as (port, known, log):
        findings = fuzz(port, known, requests=500, seed="suite", slow=SLOW)
        assert not findings.wrong, findings.wrong[0]
        # They are not all refused at the door.
        assert {200, 302, 400, 401, 403, 404} <= set(findings.statuses)
        assert sum(findings.statuses.values()) == 500
        assert "Internal Server Error" not in log()


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_same_seed_makes_the_same_requests(seed: str) -> None:
    known = Known(dict.fromkeys(("viewer", "operator", "admin"), ("t", "s")), ["u"], ["h"])
    first, second, other = (Maker(name, known) for name in (seed, seed, f"{seed}0"))
    requests = [first.request() for _ in range(200)]
    assert requests == [second.request() for _ in range(200)]
    assert requests != [other.request() for _ in range(200)]
