"""What moves servers: Nova's API, or in the embedded demo a simulator."""

from typing import Protocol

from django.conf import settings

from cells.registry import Cell


class MoverAway(Exception):
    """Nova's API did not answer.  ``sent`` says whether the request may have reached it."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class MoveRefused(Exception):
    """Nova's API answered, and does not do it.  ``status`` is that of its answer."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Mover(Protocol):
    """Moves servers of one cell.

    Each request returns Nova's id of it as soon as Nova has accepted it; the move itself is
    followed in the cell's tables.  ``target`` is the host to go to, empty where Nova chooses.
    All raise ``MoverAway`` and ``MoveRefused``.
    """

    #: Whether it only pretends.
    simulated: bool

    def live_migrate(self, server: str, target: str) -> str: ...
    def cold_migrate(self, server: str, target: str) -> str: ...
    def confirm(self, server: str) -> str: ...
    def evacuate(self, server: str, target: str) -> str: ...

    def failure(self, server: str, request_id: str) -> str | None:
        """Why a request that was accepted failed; ``None`` when it did not, as far as is known."""

    def latest_request(self, server: str) -> str:
        """Nova's id of the latest request about the server; empty if it cannot be told."""

    def go_on(self, host: str, servers: list[str]) -> None:
        """Called before a maintenance looks at the cell: what a simulator does next."""


def mover_for(cell: Cell) -> Mover | None:
    """What moves servers in ``cell``; ``None`` when the portal cannot ask Nova's API."""
    if settings.EMBEDDED:
        from maintenance.simulator import Simulator

        return Simulator(cell)
    return None
