"""What every log line carries: the id of the request that is being answered.

Loaded before the apps are, so it imports nothing of them.
"""

import logging
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestIdFilter(logging.Filter):
    """Gives log records ``request_id``: that of the request being answered, or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True
