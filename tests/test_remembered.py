"""What is remembered of the API database while it does not answer."""

import pytest
from django.db import OperationalError

from cells.remembered import Remembered


def fail() -> dict[str, int]:
    raise OperationalError("gone")


def test_what_was_last_read_is_remembered() -> None:
    remembered: Remembered[str, int] = Remembered()
    with pytest.raises(OperationalError):
        remembered.read(None, fail)
    assert remembered.read(None, lambda: {"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert remembered.read(["b", "c"], lambda: {"c": 3}) == {"c": 3}
    assert remembered.read(["a", "b"], fail) == {"a": 1}
    assert remembered.read(None, fail) == {"a": 1, "c": 3}


def test_another_thread_may_read_meanwhile() -> None:
    """As when the database comes back, and one of two threads has noticed."""

    class Key(str):
        """Lets the other thread on while it is looked for."""

        __slots__ = ()

        def __hash__(self) -> int:
            if is_reading:
                is_reading.clear()
                remembered.read(["other"], lambda: {"other": 2})
            return super().__hash__()

    is_reading: list[bool] = []
    remembered: Remembered[str, int] = Remembered()
    remembered.read(None, lambda: {Key("a"): 1, "b": 1})
    is_reading.append(True)
    assert remembered.read(None, fail) in ({"a": 1, "b": 1}, {"a": 1, "b": 1, "other": 2})
