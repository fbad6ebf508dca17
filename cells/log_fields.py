"""Which cell a line of the log is about; imports nothing, so that logging can be set up first."""

import threading
from contextvars import ContextVar

#: What the names of the threads of a cell begin with, before its own name.
THREADS = "executor-"
#: The cell of the row that a request is about, once it is known.
located_in: ContextVar[str] = ContextVar("located_in", default="")


def current_cell() -> str:
    """The cell that this thread works for, or that the request is about; empty if there is none."""
    thread = threading.current_thread().name
    return thread.removeprefix(THREADS) if thread.startswith(THREADS) else located_in.get()
