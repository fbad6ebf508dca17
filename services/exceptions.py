"""Why an action on a service was refused.

* Refused (of ``audit.journal``)
  x Invalid
  x Missing
  x Conflict
  x Unavailable
"""

from audit.journal import Refused
from audit.models import Outcome

__all__ = ["Conflict", "Invalid", "Missing", "Refused", "Unavailable"]


class Invalid(Refused):
    """The request makes no sense, or not for this service."""


class Missing(Refused):
    """There is no such service, or it is gone by now."""


class Conflict(Refused):
    """Something on the host forbids it for now."""


class Unavailable(Refused):
    """A cell that is needed does not answer."""

    outcome = Outcome.FAILED
