"""A program that deletes services, each in a process that is killed one step later than the last.

``python -m tests.kill_at_each_step UUID...`` prints how each process ended: the number of the
signal, negative, or 0 for the first that lived to the end, which is the last.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import django


class Steps:
    """Kills the process at its ``last`` step."""

    def __init__(self, last: int) -> None:
        self.left = last

    def step(self) -> None:
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def before(self, function: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
        """The function, with a step before it, and another after it."""

        @wraps(function)
        def stepping(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = function(*args, **kwargs)
            if after:
                self.step()
            return result

        return stepping

    def watch(self) -> None:
        """Make a step of every statement, commit and request from now on."""
        from django.db.backends.base.base import BaseDatabaseWrapper
        from django.db.backends.utils import CursorWrapper

        from cloud.placement import Placement

        for owner, name, after in (
            (CursorWrapper, "_execute", False),
            (BaseDatabaseWrapper, "_commit", True),
            (Placement, "_send", True),
        ):
            setattr(owner, name, self.before(getattr(owner, name), after=after))


def delete(uuid: str, last_step: int) -> None:
    from audit.journal import Actor
    from audit.models import Channel
    from services import actions

    Steps(last_step).watch()
    actions.delete(actions.ServiceRef(uuid=uuid), Actor("ann", Channel.COMMAND))


def main() -> None:
    django.setup()
    from services import actions  # noqa: F401 - once, not in each process

    for number, uuid in enumerate(sys.argv[1:], 1):
        child = os.fork()
        if child == 0:
            delete(uuid, number)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()
        if status != -signal.SIGKILL:
            break


if __name__ == "__main__":
    main()
