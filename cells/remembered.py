"""What was last read of the API database, for reads while it does not answer."""

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from django.db import DatabaseError

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """The values of at most ``max_length`` keys, as they were last read."""

    def __init__(self, max_length: int = 500_000) -> None:
        self.max_length = max_length
        self._values: dict[K, V] | None = None  # nothing has been read

    def read(self, keys: Collection[K] | None, load: Callable[[], dict[K, V]]) -> dict[K, V]:
        """What ``load`` returns: the values of ``keys``, or of all there are; others may be in it.

        When that raises ``DatabaseError``, what is remembered of them instead.  It is raised if
        nothing is remembered at all.
        """
        try:
            found = load()
        except DatabaseError:
            if (values := self._values) is None:
                raise
            if keys is None:
                return dict(values)  # at once, since another thread may be noting what it has read
            return {key: values[key] for key in keys if key in values}
        self._note(keys, found)
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._values = None

    def _note(self, keys: Collection[K] | None, found: dict[K, V]) -> None:
        values = self._values or {}
        if keys is None or len(values) + len(found) > self.max_length:
            self._values = dict(found)
            return
        for key in keys:
            if key not in found:
                values.pop(key, None)
        values.update(found)
        self._values = values
