"""What the processes of a machine tell one another: which databases do not answer.

Each process has breakers of its own, and would find out for itself that one hangs, which costs a
deadline each time.  So a process whose breaker opens leaves a notice, a file named after the cell
or the database, in a directory that all of them know; the others, which look at it all the time,
open theirs, and close them when the notice is gone because one of them has had an answer.

Nothing is read while a request is answered.  A notice that cannot be written costs what it cost
without notices.
"""

import logging
import threading
from contextlib import suppress
from pathlib import Path

from cells import breakers
from cells.breakers import CircuitBreaker

logger = logging.getLogger(__name__)

#: Seconds between looks at the directory.
INTERVAL = 0.2


class NoticeBoard:
    """The directory, and the thread that looks at it.  Notices are named by ``breaker.key``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._seen: set[str] = set()
        self._changed_at = -1
        self._stopping = threading.Event()

    def start(self) -> None:
        """Post what this process finds out from now on, and take notice of others."""
        breakers.on_change = self.post
        threading.Thread(target=self._run, name="notices", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        breakers.on_change = None

    def post(self, breaker: CircuitBreaker) -> None:
        """Tell the others that the breaker has opened, or closed."""
        notice = self.directory / breaker.key
        try:
            if breaker.is_open():
                notice.write_text(breaker.last_error)
            else:
                notice.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("other processes are not told of %s: %s", breaker.name, error)

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL):
            try:
                self.look()
            except Exception:  # a defect must not end the thread; the log has it
                logger.exception("notices of other processes are not read")

    def look(self) -> None:
        """Open the breakers of which there are notices, and close those whose notice is gone."""
        try:
            changed_at = self.directory.stat().st_mtime_ns
        except OSError:  # the arbiter has removed it, and ends this process
            return
        if changed_at == self._changed_at:
            return
        there = {notice.name for notice in self.directory.iterdir()}
        for key in there | self._seen:
            breaker = breakers.known.get(key)
            if breaker is None:
                changed_at = -1  # it may be made yet: look again
            elif key in there and not breaker.is_open():
                with suppress(OSError):  # it is gone already
                    cause = (self.directory / key).read_text()  # it may be being written
                    breaker.told(cause or "it does not answer")
            elif key not in there and breaker.is_open():
                breaker.told("")
        self._seen, self._changed_at = there, changed_at
