"""Keystone: whose token is this, and does this password open the console.

Tokens are validated by keystonemiddleware with the options of ``[keystone_authtoken]``, so caching,
service tokens, access rules of application credentials and discovery are as in Nova.  It is used
behind ``Keystone.identify`` instead of in front of the application, so that a request with a token
of the portal's own, or with a session, never waits for Keystone.
"""

import logging
import uuid
from dataclasses import dataclass, field
from typing import Any, Final
from wsgiref.util import setup_testing_defaults

from django.core.cache.backends.locmem import LocMemCache
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1.access import AccessInfo, AccessInfoV3
from keystoneauth1.identity import generic
from keystoneauth1.loading import session as session_loading
from keystonemiddleware import auth_token  # type: ignore[import-untyped]
from keystonemiddleware.auth_token import (  # type: ignore[import-untyped]
    AuthProtocol,
    InvalidToken,
    ServiceError,
)

from cloud.auth_plugins import declare_plugin, look_for_certificates
from cloud.causes import one_line
from cloud.config import NovaConfig
from cloud.deadlines import BoundedExecutor, CloudError, ServiceUnavailable
from cloud.identity import Identity
from cloud.messaging import ignore_eventlet_warnings

logger = logging.getLogger(__name__)

GROUP: Final = "keystone_authtoken"
#: Tokens that are remembered in a process where no memcached is configured.
TOKENS_AT_MOST: Final = 10_000

#: What keystonemiddleware catches and, with ``delay_auth_decision``, calls an invalid token.
_UNREACHABLE: Final = (
    ksa_exceptions.ConnectFailure,
    ksa_exceptions.DiscoveryFailure,
    ksa_exceptions.RequestTimeout,
    ServiceError,
)
#: What keystonemiddleware raises for options that do not go together, or name what is not there.
_UNUSABLE: Final = (
    ksa_exceptions.ClientException,
    auth_token.ConfigurationError,
    ImportError,
    OSError,
    ValueError,
    TypeError,
)


class KeystoneUnavailable(ServiceUnavailable):
    """Keystone cannot say anything at the moment; a request with its token gets 503."""


class LoginRefused(CloudError):
    """Keystone does not let this user in: name, password, domain or project is wrong."""


@dataclass(frozen=True)
class Login:
    """What a password was exchanged for: a token, and whose it is."""

    identity: Identity
    token: str = field(repr=False)


class _TokenCache:
    """Validated tokens of this process, under keystonemiddleware's keys, which are digests."""

    def __init__(self) -> None:
        # Django shares caches of the same name within a process.
        name = f"keystone-tokens-{uuid.uuid4()}"
        self._cache = LocMemCache(name, {"OPTIONS": {"MAX_ENTRIES": TOKENS_AT_MOST}})

    def get(self, key: str) -> bytes | None:
        found: bytes | None = self._cache.get(key)
        return found

    def set(self, key: str, value: bytes, time: int = 0) -> None:
        self._cache.set(key, value, timeout=time)


class _TokenValidation(AuthProtocol):  # type: ignore[misc]  # it has no type hints
    """keystonemiddleware, telling a Keystone that is away from a token that is invalid."""

    def open_cache(self, environ: dict[str, Any]) -> None:
        """Make the first client of the cache, else that is done for a first token.

        It connects to nothing, but reads what names the servers.
        """
        self._token_cache.initialize(environ)
        with self._token_cache._cache_pool.reserve():
            pass

    def fetch_token(self, token: str, allow_expired: bool = False) -> Any:
        try:
            return super().fetch_token(token, allow_expired=allow_expired)
        except InvalidToken as error:
            cause = error.__context__
            if isinstance(cause, _UNREACHABLE):
                raise KeystoneUnavailable(f"keystone: {one_line(cause)}") from cause
            raise
        except ksa_exceptions.ClientException as error:
            raise KeystoneUnavailable(f"keystone: {one_line(error)}") from error


class Keystone:
    """The Keystone of ``[keystone_authtoken]``.  Thread-safe; one per process is enough.

    ``deadline`` and ``retry_after`` are in seconds, see ``cloud.deadlines.BoundedExecutor``.
    """

    ENVIRON_KEY: Final = "portal.token_cache"

    def __init__(self, config: NovaConfig, *, deadline: float, retry_after: float) -> None:
        self._conf = config.oslo_config()
        self._timeout = max(1, int(deadline))
        overrides: dict[str, Any] = {
            "oslo_config_config": self._conf,
            "delay_auth_decision": True,
            "include_service_catalog": True,  # access rules are checked against it
            "http_connect_timeout": self._timeout,
            "http_request_max_retries": 0,
        }
        ignore_eventlet_warnings()  # oslo.cache's pool of memcached clients imports it
        self._conf.register_opts(auth_token.AUTH_TOKEN_OPTS[0][1], group=GROUP)
        declare_plugin(config, self._conf, GROUP)
        look_for_certificates(config, self._conf, GROUP)
        self._cache: _TokenCache | None = None
        if not self._conf[GROUP].memcached_servers and not self._conf[GROUP].cache:
            self._cache = _TokenCache()
            overrides["cache"] = self.ENVIRON_KEY
        try:
            self._protocol = _TokenValidation(_nothing, overrides)
            self._protocol.open_cache({self.ENVIRON_KEY: self._cache})
        except _UNUSABLE as error:
            raise config.error(GROUP, error) from None
        self._executor = BoundedExecutor(
            "keystone", KeystoneUnavailable, deadline=deadline, retry_after=retry_after
        )

    @property
    def www_authenticate(self) -> str:
        """The value of ``WWW-Authenticate`` in a 401, as keystonemiddleware writes it."""
        return f'Keystone uri="{self._protocol.www_authenticate_uri}"'

    def identify(
        self, token: str, *, service_token: str = "", method: str = "GET", path: str = "/"
    ) -> Identity | None:
        """Whose token it is; ``None`` when it, or the service token with it, is not valid.

        ``method`` and ``path`` are those of the request: an application credential may be
        restricted to some.  Raises ``KeystoneUnavailable`` within the deadline.
        """
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path}
        setup_testing_defaults(environ)  # fills in what WSGI demands
        environ["HTTP_X_AUTH_TOKEN"] = token
        if service_token:
            environ["HTTP_X_SERVICE_TOKEN"] = service_token
        if self._cache is not None:
            environ[self.ENVIRON_KEY] = self._cache
        return self._executor.call(lambda: self._identify(environ))

    def _identify(self, environ: dict[str, Any]) -> Identity | None:
        self._protocol(environ, lambda status, headers, exc_info=None: None)
        if environ.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
            return None
        if environ.get("HTTP_X_SERVICE_IDENTITY_STATUS", "Confirmed") != "Confirmed":
            return None
        plugin = environ["keystone.token_auth"]
        return _identity(plugin.user, plugin.service)

    def login(
        self, username: str, password: str, *, user_domain: str, project: str, project_domain: str
    ) -> Login:
        """A token for a user with that password in that project; domains are names.

        The password is not kept.  Raises ``LoginRefused``, and ``KeystoneUnavailable`` within the
        deadline.
        """
        plugin = generic.Password(
            auth_url=self._auth_url(),
            username=username,
            password=password,
            user_domain_name=user_domain,
            project_name=project,
            project_domain_name=project_domain,
            reauthenticate=False,
        )
        return self._executor.call(lambda: self._login(plugin))

    def _auth_url(self) -> str:
        group = self._conf[GROUP]
        return str(group.auth_url or self._protocol.www_authenticate_uri)

    def _login(self, plugin: generic.Password) -> Login:
        options = self._conf[GROUP]
        session = session_loading.Session().load_from_options(
            cert=options.certfile,
            key=options.keyfile,
            cacert=options.cafile,
            insecure=options.insecure,
            timeout=self._timeout,
        )
        try:
            access = plugin.get_access(session)
        except (
            ksa_exceptions.Unauthorized,
            ksa_exceptions.Forbidden,
            ksa_exceptions.BadRequest,
            ksa_exceptions.MissingAuthMethods,
        ) as error:
            raise LoginRefused(f"keystone: {one_line(error)}") from None
        except ksa_exceptions.ClientException as error:
            raise KeystoneUnavailable(f"keystone: {one_line(error)}") from None
        return Login(_identity(access, None), access.auth_token or "")


def _nothing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The application behind the middleware: all that is wanted is what it put into environ."""
    start_response("204 No Content", [])
    return []


def _identity(user: AccessInfo, service: AccessInfo | None) -> Identity:
    system = user.system if isinstance(user, AccessInfoV3) else None
    return Identity(
        user_id=user.user_id or "",
        user_name=user.username or "",
        user_domain_id=user.user_domain_id,
        user_domain_name=user.user_domain_name,
        project_id=user.project_id,
        project_name=user.project_name,
        project_domain_id=user.project_domain_id,
        project_domain_name=user.project_domain_name,
        domain_id=user.domain_id,
        system_scope="all" if system and system.get("all") else None,
        roles=tuple(user.role_names or ()),
        is_admin_project=bool(user.is_admin_project),
        expires_at=user.expires,
        service_user_id=service.user_id if service else None,
        service_user_domain_id=service.user_domain_id if service else None,
        service_project_id=service.project_id if service else None,
        service_project_domain_id=service.project_domain_id if service else None,
        service_roles=tuple(service.role_names or ()) if service else (),
    )
