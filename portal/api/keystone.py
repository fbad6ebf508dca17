"""Authentication by a token of Keystone, where the portal is attached to a cloud that has one."""

from dataclasses import dataclass
from typing import Any, ClassVar

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from cloud import clients
from cloud.deadlines import ServiceUnavailable
from cloud.identity import Identity
from portal.api.faults import KeystoneAway


@dataclass
class KeystoneUser:
    """The user of a request with a token of Keystone, whom the portal itself does not know."""

    identity: Identity

    pk: ClassVar[None] = None
    is_active: ClassVar[bool] = True
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_staff: ClassVar[bool] = False
    is_superuser: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.get_username()

    def get_username(self) -> str:
        """``name@domain``, which no other user of the cloud has."""
        return self.identity.qualified_name

    def has_perm(self, permission: str, obj: Any = None) -> bool:
        """Django's permissions are for users of the portal; this one has Nova's policy."""
        return False


class KeystoneAuthentication(BaseAuthentication):
    """``X-Auth-Token`` (and ``X-Service-Token``) of Keystone.

    It comes after the portal's own tokens, which never wait for Keystone.  Raises
    ``KeystoneAway``, which is answered with 503.
    """

    def authenticate(self, request: Request) -> tuple[KeystoneUser, Identity] | None:
        keystone = clients.keystone()
        token = request.headers.get("X-Auth-Token")
        if keystone is None or not token:
            return None
        try:
            identity = keystone.identify(
                token,
                service_token=request.headers.get("X-Service-Token", ""),
                method=request.method or "GET",
                path=request.path,
            )
        except ServiceUnavailable as error:
            raise KeystoneAway from error
        if identity is None:
            raise AuthenticationFailed
        return KeystoneUser(identity), identity
