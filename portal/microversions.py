"""Microversions of the compute API as pairs of integers, and values that change with them.

Knows no app and no Django.  Source of the range and of what each version changed: the
REST API version history of Nova 34.0.0 (2026.2).
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")

_FORM = re.compile(r"([1-9]\d*)\.([1-9]\d*|0)")


class Version(NamedTuple):
    """A microversion; compares as a pair of integers, so 2.9 < 2.53 < 2.100."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read ``"2.53"``; leading zeros or anything else raise ``ValueError``."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(text)
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


#: The versions in which something served here changed, oldest first.  Every other version up to
#: ``MAX_VERSION`` is served like the one before it.
HISTORY: list[tuple[Version, str]] = [
    (Version(2, 1), "The first version."),
    (Version(2, 11), "os-services: forced_down, and the force-down action."),
    (Version(2, 28), "os-hypervisors: cpu_info is an object."),
    (Version(2, 33), "os-hypervisors: pages by limit and marker, with links."),
    (Version(2, 41), "os-aggregates: uuid."),
    (
        Version(2, 53),
        "Services and hypervisors are identified by uuid; PUT and DELETE os-services/{uuid}; "
        "hypervisor_hostname_pattern and with_servers replace search and servers.",
    ),
    (Version(2, 69), "os-services: hosts of cells that do not answer are listed as UNKNOWN."),
    (
        Version(2, 75),
        "os-services: unknown query parameters are refused; "
        "os-hypervisors: servers is always there when asked for.",
    ),
    (
        Version(2, 88),
        "os-hypervisors: capacity and cpu_info are gone, uptime is in the details; "
        "the uptime and statistics resources are gone.",
    ),
    (Version(2, 102), "os-aggregates: query parameters, of which there are none, are refused."),
]

MIN_VERSION = HISTORY[0][0]
#: The newest version of Nova 34.0.0, unless something newer is served here.
MAX_VERSION = max(Version(2, 104), HISTORY[-1][0])


class Versioned(Generic[T]):
    """A step function from version to value.

    ``Versioned({"2.1": a, "2.53": b})`` is ``a`` from 2.1 up to 2.52 and ``b`` from 2.53 on.
    ``None`` as a value means that there is nothing from that version on; before the first step
    there is nothing either.
    """

    def __init__(self, steps: Mapping[str, T | None]) -> None:
        self._from = [Version.parse(text) for text in steps]
        self._values = list(steps.values())
        if not self._from or self._from != sorted(set(self._from)):
            raise ValueError(f"steps must be in ascending order: {list(steps)}")

    def at(self, version: Version) -> T | None:
        """The value in force at ``version``; ``None`` where there is none."""
        step = bisect_right(self._from, version)
        return self._values[step - 1] if step else None

    def steps(self) -> Iterator[tuple[Version, T | None]]:
        """Each version in which the value changes, with the new value, oldest first."""
        return zip(self._from, self._values, strict=True)


def before(version: str, value: Any = True) -> Versioned[Any]:
    """``value`` from the first version until the last one before ``version``, then nothing."""
    return Versioned({str(MIN_VERSION): value, version: None})
