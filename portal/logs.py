"""Log lines that nothing can forge or flood: one line each, bounded, and not the same all the time.

What is logged repeats names from Nova's databases and texts of drivers, which may have line breaks
in them or be as long as they like; and in a fault, every request logs the same.
"""

import logging
import threading
import time

#: The longest line, in characters, and the most lines of a traceback: its beginning and its end.
MAX_LINE = 2000
MAX_TRACEBACK = (4, 36)
#: How often the same may be said within so many seconds.
REPEATS, PERIOD = 2, 60.0

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def one_line(text: str) -> str:
    """``text`` with control characters escaped, cut to ``MAX_LINE``."""
    text = text[: MAX_LINE + 1].translate(_CONTROLS)
    return text if len(text) <= MAX_LINE else f"{text[: MAX_LINE - 4]} ..."


class LineFormatter(logging.Formatter):
    """A record as one line; a traceback as indented lines below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return one_line(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]
        first, last = MAX_TRACEBACK
        if len(lines) > first + last:
            lines = [*lines[:first], f"... {len(lines) - first - last} more", *lines[-last:]]
        return "\n".join(f"    {one_line(line)}" for line in lines)


class RepeatFilter(logging.Filter):
    """Drops what has been said ``REPEATS`` times within ``PERIOD`` seconds.

    The same is the same text of a logger about the same thing, its first argument: that one cell
    does not answer, whatever the cause.  Records that pass have ``repeated``, which says how many
    were dropped before.
    """

    MAX_KEPT = 10_000

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}  # since when, and how often

    def filter(self, record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        same = (record.name, str(record.msg)[:MAX_LINE], str(about)[:MAX_LINE])
        now = time.monotonic()
        with self._lock:
            since, times = self._said.get(same, (now, 0))
            dropped = max(0, times - REPEATS)
            if now - since >= PERIOD:
                since, times = now, 0
            if len(self._said) >= self.MAX_KEPT:
                self._said.clear()
            self._said[same] = (since, times + 1)
        record.repeated = f" (and {dropped} times before)" if dropped and not times else ""
        return times < REPEATS
