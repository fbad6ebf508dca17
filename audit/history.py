"""What is on record of a host, for the pages about it."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse

from audit.models import Entry

ENTRIES = 20


def history_of(
    user: User | AnonymousUser, host: str | None, binary: str | None = None
) -> dict[str, Any]:
    """The latest entries about a host (or one service of it), if ``user`` may see the audit."""
    if not user.has_perm("audit.view_entry"):
        return {"history": None}
    if not host:
        return {"history": []}
    entries = Entry.objects.filter(host=host)
    if binary:
        entries = entries.filter(binary=binary)
    return {
        "history": list(entries[:ENTRIES]),
        "history_url": f"{reverse('admin:audit_entry_changelist')}?{urlencode({'q': host})}",
    }
