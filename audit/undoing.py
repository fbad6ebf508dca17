"""Taking back what is on record: whether that is offered, and where.

The apps whose actions can be taken back say so; see ``services.undo``.
"""

from collections.abc import Callable, Sequence

from django.contrib.auth.models import AnonymousUser, User

from audit.models import Entry

#: The URL of the page that asks whether to take back what the entries of one action say; empty if
#: it cannot be, or not by this user.
UndoURL = Callable[[User | AnonymousUser, Sequence[Entry]], str]

_undo_urls: list[UndoURL] = []


def register(undo_url: UndoURL) -> None:
    """Let the pages of the audit link to where an app's actions are taken back."""
    _undo_urls.append(undo_url)


def undo_url(user: User | AnonymousUser, entries: Sequence[Entry]) -> str:
    """Where to take back the action that has these entries; empty if it cannot be."""
    return next((url for of_app in _undo_urls if (url := of_app(user, entries))), "")
