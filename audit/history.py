"""The latest entries about a host, for the pages that show it."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse

from audit.models import Entry
from audit.undoing import undo_url

#: How many entries such a page shows.
ENTRIES = 20


def history_of(
    user: User | AnonymousUser, host: str | None, binary: str | None = None
) -> dict[str, Any]:
    """The context of ``admin/audit/history.html``: the latest entries about a host, or about one
    service of it; ``None`` for a user who may not see the audit.
    """
    if not user.has_perm("audit.view_entry"):
        return {"history": None}
    if not host:
        return {"history": []}
    entries = Entry.objects.filter(host=host)
    if binary:
        entries = entries.filter(binary=binary)
    shown: list[Any] = list(entries[:ENTRIES])
    for entry in shown:
        entry.undo_url = undo_url(user, [entry])
    return {
        "history": shown,
        "history_url": f"{reverse('admin:audit_entry_changelist')}?{urlencode({'q': host})}",
    }
