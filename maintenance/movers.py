"""What moves servers: Nova's API, or in the embedded demo a simulator."""

from typing import Protocol

from django.conf import settings

from cells.registry import Cell
from cloud.clients import compute_api
from maintenance.simulator import Simulator


class Mover(Protocol):
    """Moves servers, as ``cloud.compute_api.ComputeAPI`` does.

    Each request returns Nova's id of it as soon as Nova has accepted it; the move itself is
    followed in the cell's tables.  ``target`` is the host to go to, empty where Nova chooses.
    All raise ``ComputeUnavailable`` and ``ComputeRefused``.
    """

    def live_migrate(self, server: str, target: str) -> str: ...
    def cold_migrate(self, server: str, target: str) -> str: ...
    def confirm_resize(self, server: str) -> str: ...
    def evacuate(self, server: str, target: str) -> str: ...

    def failure(self, server: str, request_id: str) -> str | None:
        """Why a request that was accepted failed; ``None`` when it did not, as far as is known."""

    def latest_request(self, server: str, action: str) -> str:
        """Nova's id of the latest request to move the server; empty if it cannot be told.

        ``action`` is a value of ``maintenance.models.Method``.
        """


def mover_for(cell: Cell) -> Mover | None:
    """What moves servers in ``cell``; ``None`` when the portal cannot ask Nova's API."""
    if settings.EMBEDDED:
        return Simulator(cell)
    return compute_api()
