"""Views of the console's lists that are saved under a name: each user's own."""

from typing import cast
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from portal.models import SavedFilterSet

#: Lists that can be saved.
PAGES = ("hypervisors_computenode_changelist", "services_service_changelist")
#: Parameters that are not part of a view.
NOT_KEPT = ("p", "e")


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # the console lets nobody else in


def saved_for(request: HttpRequest) -> list[SavedFilterSet]:
    """The user's saved views of the list that is being shown."""
    match = request.resolver_match
    if match is None or match.url_name not in PAGES:
        return []
    return list(SavedFilterSet.objects.filter(user=_user(request), page=match.url_name))


def save(request: HttpRequest) -> HttpResponse:
    """Save the view of a list under a name; one of that name is replaced."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    page = request.POST.get("page", "")
    if page not in PAGES:
        raise BadRequest("no such list")
    query = urlencode(
        [
            (key, value)
            for key, value in parse_qsl(request.POST.get("query", ""), keep_blank_values=True)
            if key not in NOT_KEPT
        ]
    )
    name = request.POST.get("name", "").strip()[:100]
    if name:
        user = _user(request)
        SavedFilterSet.objects.update_or_create(
            user=user, page=page, name=name, defaults={"query": query}
        )
        messages.success(request, _("Saved as “%(name)s”.") % {"name": name})
    else:
        messages.warning(request, _("A name is needed to save the view."))
    return HttpResponseRedirect(f"{reverse(f'admin:{page}')}?{query}")


def forget(request: HttpRequest, set_id: int) -> HttpResponse:
    """Delete a saved view of the user's own."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    saved = SavedFilterSet.objects.filter(user=_user(request), id=set_id).first()
    if saved is None:
        return HttpResponseRedirect(reverse("admin:index"))
    saved.delete()
    messages.success(request, _("“%(name)s” is forgotten.") % {"name": saved.name})
    return HttpResponseRedirect(reverse(f"admin:{saved.page}"))
