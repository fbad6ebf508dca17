"""What went wrong, in one line: libraries say it at length, and wrapped several times."""

import re
from collections.abc import Iterator
from typing import Any

#: What requests and urllib3 say of a connection that failed, around the words of the system.
_WRAPPED = re.compile(r"(?:^|(?<=: ))(?:HTTPS?ConnectionPool\(|\('Connection aborted).*")


def one_line(error: BaseException) -> str:
    """The error's text in one line; of a connection that failed, only what and why."""
    text = " ".join(str(error).split()) or type(error).__name__
    if wrapped := _WRAPPED.search(text):
        for cause in causes(error):
            reason = getattr(cause, "strerror", None)
            if not reason and isinstance(cause, ConnectionError):
                reason = str(cause)
            if reason:
                return f"{text[: wrapped.start()]}{reason}"
    return text


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The errors that led to one, also those that requests wraps as arguments and reasons."""
    seen: list[BaseException] = []
    todo: list[Any] = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and not any(one is other for other in seen):
            seen.append(one)
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    yield from seen
