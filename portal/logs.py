"""Log lines that nothing can forge or flood: one line each, bounded, and not the same all the time.

What is logged repeats names from Nova's databases and texts of drivers, which may have line breaks
in them, be as long as they like, or quote a password; and in a fault, every request logs the same.
"""

import datetime
import io
import json
import logging
import re
import threading
import time
from traceback import walk_tb
from typing import Any

from oslo_utils.strutils import mask_password

from cells.database_urls import without_password
from cells.escaping import printable

logger = logging.getLogger(__name__)

#: The logger of the access lines: one for each request, however alike they are.
ACCESS = "portal.access"

#: The longest line, in characters, and the most lines of a traceback: its beginning and its end.
MAX_LINE = 2000
MAX_TRACEBACK = (4, 36)
#: How often the same may be said within so many seconds.
REPEATS, PERIOD = 1, 60.0

#: What a record about a request has besides its text, in the order in which JSON has it.
IDENTITY = ("request_id", "user", "project")
FIELDS = (
    "request_id",
    "global_request_id",
    "user",
    "project",
    "cell",
    "route",
    "microversion",
    "method",
    "path",
    "status",
    "milliseconds",
    "bytes",
    "client",
)
_CREDENTIALS = re.compile(
    r"((?:X-(?:Auth|Service|Subject)-Token|(?:Proxy-)?Authorization|X-CSRFToken)"
    r"[\"']?\s*[:=]\s*[\"']?(?:(?:Basic|Bearer)\s+)?)[^\s\"',;]+"
    r"|(Cookie[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+",
    re.IGNORECASE,
)


def one_line(text: str) -> str:
    """``text`` with control characters escaped, cut to ``MAX_LINE``."""
    text = printable(text[: MAX_LINE + 1])
    return text if len(text) <= MAX_LINE else f"{text[: MAX_LINE - 4]} ..."


def without_secrets(text: str) -> str:
    """``text`` with ``***`` for passwords and tokens: of URLs, of headers, of ``password=...``."""
    text = _CREDENTIALS.sub(r"\1\2***", text)
    return mask_password(without_password(text) if "://" in text else text)


class LineFormatter(logging.Formatter):
    """A record as one line; a traceback as indented lines below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return one_line(without_secrets(super().formatMessage(record)))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        return "\n".join(f"    {line}" for line in self.traceback(ei))

    def traceback(self, ei: object) -> list[str]:
        """The lines of a traceback that are shown: its beginning and its end."""
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]
        first, last = MAX_TRACEBACK
        if len(lines) > first + last:
            lines = [*lines[:first], f"... {len(lines) - first - last} more", *lines[-last:]]
        return [one_line(without_secrets(line)) for line in lines]


class OsloFormatter(LineFormatter):
    """The line that Nova's services write, by oslo.log's default formats.

    What stands in brackets is there for lines about a request (``request_id`` of the record).
    """

    START = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s"
    WITHOUT_REQUEST = f"{START} [-] %(message)s%(repeated)s"
    # global id, id, user, project, domain, system scope, the domains of the user and the project
    WITH_REQUEST = (
        f"{START} [%(global_request_id)s %(request_id)s %(user)s %(project)s - - - -] "
        "%(message)s%(repeated)s"
    )

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self._lines = {
            has_request: logging.PercentStyle(line, defaults={"repeated": ""})
            for has_request, line in ((False, self.WITHOUT_REQUEST), (True, self.WITH_REQUEST))
        }

    def usesTime(self) -> bool:  # noqa: N802 - logging's name
        return True

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        known = record.__dict__
        if not known.get("request_id"):
            line = self._lines[False].format(record)
        else:
            about = {name: _word(known.get(name)) for name in ("global_request_id", *IDENTITY)}
            line = self._lines[True].format(logging.makeLogRecord(known | about))
        return one_line(without_secrets(line))


class JSONFormatter(LineFormatter):
    """A record as an object of JSON, in one line; what is not known is left out."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        known = record.__dict__
        message = record.getMessage() + str(known.get("repeated", ""))
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": one_line(without_secrets(message)),
        }
        for name in FIELDS:
            value = known.get(name)
            if isinstance(value, str):
                value = one_line(without_secrets(value))
            if value not in (None, ""):
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.traceback(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


#: The values of LOG_FORMAT: as Nova's services write their logs, or for programs.
FORMATTERS = {"oslo": OsloFormatter, "json": JSONFormatter}


class LogStream(io.StringIO):
    """A stream whose lines are logged as errors: a command's, where programs read the log."""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            logger.error("%s", line)
        return len(text)


def _word(value: Any) -> str:
    """``value`` as a field between blanks and brackets, which cannot end either."""
    return re.sub(r"[\s\[\]]", "_", str(value)) if value else "-"


def _raised_at(record: logging.LogRecord) -> tuple[str, ...]:
    """The kind of error that a record has, with the file and the line; nothing if it has none."""
    if not record.exc_info or record.exc_info[0] is None:
        return ()
    kind, _error, traceback = record.exc_info
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(traceback)]
    file, line = places[-1] if places else ("", 0)
    return (kind.__name__, file, str(line))


class RepeatFilter(logging.Filter):
    """Drops what has been said ``REPEATS`` times within ``PERIOD`` seconds, except access lines.

    The same is the same text of a logger about the same thing, its first argument: that one cell
    does not answer, whatever the cause.  Errors with a traceback are the same if they were raised
    at the same line, whatever the text.  Records that pass have ``repeated``, which says how many
    were dropped before.
    """

    MAX_KEPT = 10_000

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}  # since when, and how often

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == ACCESS:
            record.repeated = ""
            return True
        about = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        what = _raised_at(record) or (str(record.msg)[:MAX_LINE],)
        same = (record.name, str(about)[:MAX_LINE], *what)
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
