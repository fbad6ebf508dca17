"""Who may enter, and with which permissions: Django's authentication backends of the portal."""

import threading
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.db import IntegrityError, router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from cloud import clients
from cloud.identity import Identity
from portal.logins import TooManyLogins, password_turn
from portal.models import KeystoneAccount, PortalUser
from portal.roles import groups_of

#: Of gunicorn's eight threads, per process: how many may wait for Keystone because of logins.
MAX_KEYSTONE_LOGINS = 4
MAX_USERNAME_LENGTH = 150  # of Django's users


class PortalBackend(ModelBackend):
    """Django's, whose sessions are those of a ``PortalUser``."""

    def get_user(self, user_id: int) -> PortalUser | None:
        user = PortalUser.objects.filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None

    # A user of Keystone has what the session's roles amount to, and nothing of its own.

    def _get_user_permissions(self, user_obj: Any) -> "QuerySet[Permission]":
        if getattr(user_obj, "is_of_keystone", False):
            return Permission.objects.none()
        found: QuerySet[Permission] = super()._get_user_permissions(user_obj)  # type: ignore[misc]
        return found

    def _get_group_permissions(self, user_obj: Any) -> "QuerySet[Permission]":
        if getattr(user_obj, "is_of_keystone", False):
            return Permission.objects.filter(group__name__in=groups_of(user_obj))
        found: QuerySet[Permission] = super()._get_group_permissions(user_obj)  # type: ignore[misc]
        return found


class PasswordBackend(PortalBackend):
    """Accounts of the portal, few of whose passwords are checked at a time."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if kwargs:  # a login with Keystone
            return None
        with password_turn():
            return super().authenticate(request, username, password)


@dataclass(frozen=True)
class KeystoneScope:
    """A user's name in Keystone, and the project that is logged in to; domains are names."""

    name: str
    user_domain: str
    project: str
    project_domain: str

    @property
    def account(self) -> str:
        """What failed logins are counted for."""
        return f"{self.name}@{self.user_domain}"


_logins = threading.BoundedSemaphore(MAX_KEYSTONE_LOGINS)


class KeystoneBackend(PortalBackend):
    """Users of Keystone: their password is asked for there, and kept nowhere.

    The roles of the login are those of its session alone (``portal.keystone_sessions``).
    """

    def authenticate(  # type: ignore[override]  # called with these credentials only
        self,
        request: HttpRequest | None,
        *,
        username: str,
        password: str,
        keystone: KeystoneScope,
    ) -> PortalUser | None:
        """The user; ``None`` if Keystone refuses it.

        Raises ``TooManyLogins``, and ``KeystoneUnavailable`` within its deadline.
        """
        from cloud.keystone import LoginRefused  # takes a while, and not everyone has a Keystone

        client = clients.keystone()
        if client is None:
            return None
        if not _logins.acquire(blocking=False):
            raise TooManyLogins(1)
        try:
            login = client.login(
                keystone.name,
                password,
                user_domain=keystone.user_domain,
                project=keystone.project,
                project_domain=keystone.project_domain,
            )
        except LoginRefused:
            return None
        finally:
            _logins.release()
        user = account_of(login.identity)
        if not self.user_can_authenticate(user):
            return None
        user.enter(login.identity)
        user.keystone_login = login
        return user


def account_of(identity: Identity) -> PortalUser:
    """The portal's account of a user of Keystone, which is made at the first login.

    Its name is ``name@domain``, or begins so where another account has that name.
    """
    account = KeystoneAccount.objects.filter(keystone_id=identity.user_id).first()
    names = _names(identity)
    if account is not None:
        user = PortalUser.objects.get(pk=account.user_id)
        if user.username not in names:  # renamed in Keystone
            _rename(user, names)
        return user
    for name in names:
        try:
            with transaction.atomic(using=router.db_for_write(KeystoneAccount)):
                # Not by save(): nobody has made the account, so it is not put on record as
                # somebody's doing.
                PortalUser.objects.bulk_create(
                    [PortalUser(username=name, password=make_password(None))]
                )
                user = PortalUser.objects.get(username=name)
                KeystoneAccount.objects.create(user=user, keystone_id=identity.user_id)
                return user
        except IntegrityError:  # the name is taken, or another login is making the account
            account = KeystoneAccount.objects.filter(keystone_id=identity.user_id).first()
            if account is not None:
                return PortalUser.objects.get(pk=account.user_id)
    raise IntegrityError(f"no free name for {identity.qualified_name}")


def _names(identity: Identity) -> list[str]:
    plain = identity.qualified_name
    unique = f"{plain[: MAX_USERNAME_LENGTH - len(identity.user_id) - 1]}#{identity.user_id}"
    return [plain, unique] if len(plain) <= MAX_USERNAME_LENGTH else [unique]


def _rename(user: PortalUser, names: list[str]) -> None:
    for name in names:
        try:
            with transaction.atomic(using=router.db_for_write(KeystoneAccount)):
                PortalUser.objects.filter(pk=user.pk).update(username=name)
        except IntegrityError:
            continue
        user.username = name
        return
