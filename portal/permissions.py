"""Who may do what: Nova's default policy, with Django's users and groups as roles."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from portal.faults import Forbidden

ADMIN_ROLE = "admin"
#: The group of those who may look at everything in the console and change nothing.
READER_ROLE = "reader"


def roles_of(user: User | AnonymousUser) -> set[str]:
    """A user's roles in lower case: ``admin`` for a superuser, else the names of the groups."""
    if not user.is_active or user.is_anonymous:
        return set()
    names: set[str] = getattr(user, "_roles", set())
    if not hasattr(user, "_roles"):
        if user.is_superuser:
            names = {ADMIN_ROLE}
        else:
            names = {name.lower() for name in user.groups.values_list("name", flat=True)}
        user._roles = names  # type: ignore[attr-defined]
    return names


def may_read(user: User | AnonymousUser) -> bool:
    """Administrators; and the role named by ``API_READER_ROLE``, if one is."""
    allowed = {ADMIN_ROLE, settings.API_READER_ROLE.lower()} - {""}
    return bool(roles_of(user) & allowed)


def may_change(user: User | AnonymousUser) -> bool:
    """Administrators only."""
    return ADMIN_ROLE in roles_of(user)


class NovaPolicy(BasePermission):
    """Refuse as Nova does, naming the policy rule: ``os_compute_api:os-services:list``.

    The view says which in ``policy``.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        allowed = may_read if request.method in SAFE_METHODS else may_change
        if not allowed(request.user):
            raise Forbidden(f"Policy doesn't allow {view.policy} to be performed.")
        return True
