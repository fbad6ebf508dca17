"""Taking back what is on record: whether that is offered, and where; and what has been taken back.

The apps whose actions can be taken back say so; see ``services.undo``.
"""

from collections.abc import Callable, Iterable, Sequence

from django.contrib.auth.models import AnonymousUser, User

from audit.models import Entry, Outcome

#: The URL of the page that asks whether to take back what the entries of one action say; empty if
#: it cannot be, or not by this user.
UndoURL = Callable[[User | AnonymousUser, Sequence[Entry]], str]

_undo_urls: list[UndoURL] = []


def register(undo_url: UndoURL) -> None:
    """Let the pages of the audit link to where an app's actions are taken back."""
    _undo_urls.append(undo_url)


def undo_url(user: User | AnonymousUser, entries: Sequence[Entry]) -> str:
    """Where to take back the action that has these entries; empty if it cannot be.

    What is taken back already (``undone_by``) is not to be among them.
    """
    return next((url for of_app in _undo_urls if (url := of_app(user, entries))), "")


def undone_by(entries: Iterable[Entry]) -> dict[int, Entry]:
    """The entries that took these back, by the ids of those that are taken back.

    One whose undo has been taken back in turn is in force again, and not among them.
    """
    levels: list[list[Entry]] = []
    below = list(entries)
    while below:
        ids = [entry.pk for entry in below]
        done = Entry.objects.filter(undoes__in=ids, outcome=Outcome.DONE)
        levels.append(below := list(done.order_by("id")))
    undone: dict[int, Entry] = {}
    for undos in reversed(levels):
        undone = {one.undoes: one for one in undos if one.undoes and one.pk not in undone}
    return undone
