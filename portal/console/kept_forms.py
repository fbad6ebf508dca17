"""Forms that a session's end has kept from being sent, until who sent them has logged in again.

An address has no room for the keys of hundreds of rows, so the form is kept in the session that
begins at the login, for its sender alone.  Who that is says a signature in the form itself
(``{% sender %}``), since nobody is logged in when it arrives: without one, nothing is kept.  A form
that was kept is shown again, and never carried out by itself.
"""

import secrets
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, QueryDict

#: The field that says who sends a form, and the parameter that says which form was kept.
SENDER, KEPT = "sender", "kept"
#: Where the session keeps forms, and how many, so that each tab of the browser finds its own.
SESSION_KEY = "kept_forms"
MAX_FORMS = 5


def signature(user: Any) -> str:
    """What a form says of the user whom it was shown to; it lasts as long as a session."""
    return signing.dumps(user.pk, salt=__name__)


def keep(request: HttpRequest, fields: Iterable[str]) -> str:
    """Keep these fields of a form; returns the address that shows it, to its sender only.

    Empty if the form does not say who that is.
    """
    try:
        sender = signing.loads(
            request.POST.get(SENDER, ""), salt=__name__, max_age=settings.SESSION_COOKIE_AGE
        )
    except signing.BadSignature:
        return ""
    form = request.GET.copy()
    for field in fields:
        if field in request.POST:
            form.setlist(field, request.POST.getlist(field))
    name = secrets.token_hex(8)
    kept = list(request.session.get(SESSION_KEY, {}).items())[1 - MAX_FORMS :]
    request.session[SESSION_KEY] = dict(kept) | {name: {"of": sender, "form": form.urlencode()}}
    return f"{request.path}?{KEPT}={name}"


def find(request: HttpRequest) -> QueryDict | None:
    """The form that the address names; ``None`` if it is not kept, or not for this user.

    Somebody else's is forgotten.
    """
    forms: dict[str, Any] = request.session.get(SESSION_KEY, {})
    name = request.GET[KEPT]
    kept = forms.get(name)
    if kept is None:
        return None
    if kept["of"] != request.user.pk:
        request.session[SESSION_KEY] = {key: forms[key] for key in forms if key != name}
        return None
    return QueryDict(kept["form"])
