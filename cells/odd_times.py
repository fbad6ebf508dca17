"""Times that databases can store and Python cannot represent: read as null, with a warning.

PostgreSQL has years before Christ and after 9999, MariaDB has ``0000-00-00``.
"""

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


def unreadable(where: str, value: object) -> None:
    """What a time becomes that cannot be read; the log gets a warning."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    logger.warning("%s: a time that cannot be read is shown as none: %s", where, str(value)[:40])


def or_none(read: Callable[..., Any], where: str) -> Callable[..., Any]:
    """``read``, but with ``None`` for what is no time to it.

    Drivers raise ``ValueError`` for such a value, or return its text or ``None``.
    """

    def read_or_none(value: Any, *args: Any) -> Any:
        try:
            time = read(value, *args)
        except (ValueError, OverflowError):
            return unreadable(where, value)
        is_time = value is None or not (time is None or isinstance(time, str))
        return time if is_time else unreadable(where, value)

    return read_or_none
