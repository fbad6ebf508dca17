"""What a process keeps in memory for a while, so that it need not be read for every request."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils import translation

logger = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")


class _Loaded(NamedTuple, Generic[V]):
    value: V
    generation: int
    at: float


class CachedValue(Generic[V]):
    """What ``load()`` returned, until it is ``ttl`` seconds old.

    One thread loads; others that need the value meanwhile wait for it.  ``ttl`` is a number of
    seconds, or a function that returns one where it comes from the settings.  If loading raises
    one of ``kept_on``, the last value goes on being used, if there is one.
    """

    def __init__(
        self,
        load: Callable[[], V],
        ttl: float | Callable[[], float],
        kept_on: tuple[type[Exception], ...] = (),
    ) -> None:
        self.load = load
        self.ttl = ttl
        self.kept_on = kept_on
        self._lock = threading.Lock()
        self._in_background = threading.Lock()
        self._generation = 0
        self._loaded: _Loaded[V] | None = None
        self._kept_at = float("-inf")  # of time.monotonic()

    @property
    def last(self) -> V | None:
        """The value as it was last loaded, however old; ``None`` if it never was."""
        return None if self._loaded is None else self._loaded.value

    @property
    def is_fresh(self) -> bool:
        """Whether ``get()`` would return the value without loading it."""
        return self._fresh(None) is not None

    def age_if_kept(self, within: float) -> float | None:
        """How many seconds old the value is, if the last attempt to load it again has failed.

        ``None`` if it has not, or not ``within`` so many seconds from now.
        """
        loaded, now = self._loaded, time.monotonic()
        if loaded is None or self._kept_at < loaded.at or now - self._kept_at > within:
            return None
        return now - loaded.at

    def get(self, max_age: float | None = None) -> V:
        """The value, at most ``max_age`` seconds old (``ttl`` unless given).

        Raises what ``load`` raises; the last value is kept then, and loading is tried again at
        the next call.
        """
        if (loaded := self._fresh(max_age)) is None:
            with self._lock:
                if (loaded := self._fresh(max_age)) is None:
                    generation = self._generation
                    try:
                        # It is everybody's: not in the language of whoever happens to load it.
                        with translation.override(settings.LANGUAGE_CODE):
                            value = self.load()
                    except self.kept_on as error:
                        if self._loaded is None:
                            raise
                        logger.warning("%s: not read again: %s", self.load.__name__, error)
                        self._kept_at = time.monotonic()
                        return self._loaded.value
                    loaded = self._loaded = _Loaded(value, generation, time.monotonic())
        return loaded.value

    def latest(self, times: float = 10) -> V:
        """The value without waiting for it: one that is too old is loaded anew in the background.

        Only a value that was never loaded, has expired or is so many ``times`` too old is waited
        for.
        """
        max_age = times * (self.ttl() if callable(self.ttl) else self.ttl)
        if self._fresh(max_age) is not None:
            self.refresh()
        return self.get(max_age)

    def refresh(self) -> None:
        """Load the value anew in the background, if it is too old or never was loaded."""
        if self.is_fresh or not self._in_background.acquire(blocking=False):
            return

        def load() -> None:
            try:
                self.get()
            except DatabaseError as error:
                logger.warning("not loaded again: %r: %s", self.load, error)
            except Exception:  # a defect must be told, and tried again
                logger.exception("not loaded again: %r", self.load)
            finally:
                connections.close_all()
                self._in_background.release()

        threading.Thread(target=load, name="cache", daemon=True).start()

    def expire(self) -> None:
        """Load the value again at the next ``get()``, also if it is being loaded right now."""
        self._generation += 1

    def clear(self) -> None:
        """Forget the value, ``last`` included, also one that is being loaded: wait for that."""
        with self._in_background, self._lock:
            self.expire()
            self._loaded = None

    def _fresh(self, max_age: float | None) -> _Loaded[V] | None:
        loaded = self._loaded
        if loaded is None or loaded.generation != self._generation:
            return None
        if max_age is None:
            max_age = self.ttl() if callable(self.ttl) else self.ttl
        return loaded if time.monotonic() - loaded.at < max_age else None


class Hints(Generic[K, V]):
    """Values that were once true of keys, for at most ``max_length`` keys.

    A hint may be out of date, so whoever uses one has to check it.  When there are too many,
    all are forgotten: that costs less than keeping track of the oldest.
    """

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self._values: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        return self._values.get(key)

    def note(self, keys: Iterable[K], value: V) -> None:
        """Remember ``value`` for all ``keys``."""
        if len(self._values) >= self.max_length:
            self._values.clear()
        self._values.update(dict.fromkeys(keys, value))

    def discard(self, key: K) -> None:
        self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()
