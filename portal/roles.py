"""Who may do what: Nova's policy for roles; users of the portal have their groups as roles."""

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission, User

from cloud import clients
from cloud.identity import Identity

ADMIN_ROLE = "admin"
#: The group of those who may look at everything in the console and change nothing.
READER_ROLE = "reader"

#: Who may see the fleet by Nova's policy may also see the metrics and have a token.
LIST_SERVICES = "os_compute_api:os-services:list"

#: Keystone's roles imply one another as ``keystone-manage bootstrap`` makes them; so do groups.
IMPLIED_ROLES = {
    ADMIN_ROLE: ("manager", "member", READER_ROLE),
    "manager": ("member", READER_ROLE),
    "member": (READER_ROLE,),
}


def groups_of(user: Any) -> set[str]:
    """The groups of a user in lower case: ``admin`` alone for a superuser.

    A user of Keystone is in those that its roles amount to, for as long as the session lasts:
    Nova's administrators in ``admin``, others who may see the fleet in ``reader``.  A mere
    ``reader`` of some project is in none, as Nova shows such users nothing of the fleet either.
    """
    if not user.is_active or user.is_anonymous:
        return set()
    identity: Identity | None = getattr(user, "identity", None)
    if identity is not None and identity.is_of_keystone:
        if clients.policy().is_admin(identity):
            return {ADMIN_ROLE}
        return {READER_ROLE} if may(user, LIST_SERVICES) else set()
    if user.is_superuser:
        return {ADMIN_ROLE}
    return {name.lower() for name in user.groups.values_list("name", flat=True)}


def identity_of(user: Any) -> Identity:
    """Who a request's user is to Nova's policy.

    That of its token for a user of Keystone; a portal user's groups are its roles.
    """
    identity: Identity | None = getattr(user, "identity", None)
    if identity is None:
        roles = groups_of(user)
        roles |= {implied for role in roles for implied in IMPLIED_ROLES.get(role, ())}
        identity = Identity(
            user_id=str(user.pk), user_name=user.get_username(), roles=tuple(sorted(roles))
        )
        user.identity = identity  # for the rest of the request
    return identity


def may_enter(user: Any) -> bool:
    """Staff, members of the groups that the portal itself has made, and who may list services."""
    return bool(user.is_active) and (
        bool(user.is_staff)
        or bool(groups_of(user) & {ADMIN_ROLE, READER_ROLE})
        or may(user, LIST_SERVICES)
    )


def may_have_tokens(user: Any) -> bool:
    """Whether the portal issues tokens to the user; Keystone does to its own."""
    return may_enter(user) and not identity_of(user).is_of_keystone


def may_administer(user: User) -> bool:
    """Whether a user, active or not, is an administrator by role or may become one."""
    return user.is_superuser or user.groups.filter(name__iexact=ADMIN_ROLE).exists()


def may(user: Any, rule: str) -> bool:
    """Whether Nova's policy allows ``user`` what ``rule`` (``os_compute_api:...``) is about."""
    return bool(user.is_active) and clients.policy().authorize(rule, identity_of(user))


# --- in the console ---------------------------------------------------------------------------

_rules: dict[str, str] = {}


def register_rules(rules: Mapping[str, str]) -> None:
    """Tie Django's permissions on a resource (``services.delete_service``) to Nova's rules.

    The rules decide then, whatever permissions a user's groups have: see ``permits``.
    """
    _rules.update(rules)


def rule_of(permission: str) -> str | None:
    """The rule that a permission is tied to; ``None`` for what is the portal's own."""
    return _rules.get(permission)


def permits(user: Any, rule: str, permission: str) -> bool:
    """Whether the console offers ``user`` what ``rule`` is about: as the API does.

    Beyond that, an account of the portal may look at what its groups' ``permission`` lets it view,
    as the group ``reader`` does, as long as the operator's policy has no rule of its own for it.
    """
    if not user.is_active:
        return False
    identity = identity_of(user)
    allowed: frozenset[str] | None = getattr(user, "allowed_rules", None)
    if allowed is None:
        allowed = user.allowed_rules = clients.policy().allowed(identity)  # for the request
    return rule in allowed or (
        permission.partition(".")[2].startswith("view_")
        and not identity.is_of_keystone
        and clients.policy().is_default(rule)
        and (user.is_superuser or permission in user.get_all_permissions())
    )


def grant(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Give both groups their permissions on an app's models, after the app has been migrated.

    Follows ``django.contrib.auth``, which makes the permissions on the same occasion.
    """
    if using != "default":
        return
    permissions = Permission.objects.using(using).filter(content_type__app_label=sender.label)
    for name, granted in (
        (ADMIN_ROLE, permissions),
        (READER_ROLE, permissions.filter(codename__startswith="view_")),
    ):
        group, _created = Group.objects.using(using).get_or_create(name=name)
        group.permissions.add(*granted)
