"""Nova's API: having servers moved, as the service user of ``[nova]`` or of ``NOVA_*`` settings.

By keystoneauth1, which renews the token when it expires.  It is used in the background only, where
a request may take its time: each is bounded by a timeout, and is never repeated here, since only
the caller can find out whether Nova has had it.
"""

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import loading
from keystoneauth1.adapter import Adapter
from keystoneauth1.loading import BaseLoader
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session
from oslo_config.cfg import ConfigOpts
from requests import Response
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from cloud.auth_plugins import declare_plugin, declare_session
from cloud.causes import causes, one_line
from cloud.config import ConfigError, NovaConfig
from cloud.deadlines import CloudError, ServiceUnavailable

GROUP: Final = "nova"

#: ``host`` in every action (2.56), no ``force`` any more (2.68): Stein.
_ACTIONS: Final = "2.68"
#: Why an event failed (2.84): Victoria.
_DETAILS: Final = "2.84"
#: What Nova answers a request with.
_REQUEST_ID: Final = "x-openstack-request-id"

#: Statuses of proxies and servers that did not pass the request on, and of those that may have.
_NOT_PASSED_ON: Final = frozenset({401, 429, 503})


class ComputeUnavailable(ServiceUnavailable):
    """Nova's API cannot be reached, does not answer in time, or answers with a 5xx.

    ``sent`` says whether Nova may have had the request all the same.
    """

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class ComputeRefused(CloudError):
    """Nova's API answered, and did not do it.  ``status`` is that of its answer."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class ComputeAPI:
    """The compute API of the catalogue, or of ``endpoint_override``.  One per process is enough.

    ``credentials`` are the options of keystoneauth1 (``auth_url``, ``username`` ...) that the
    portal's own settings give; they go before those of ``[nova]``.  ``timeout`` is in seconds.
    """

    def __init__(
        self, config: NovaConfig, credentials: Mapping[str, str], *, timeout: float
    ) -> None:
        conf = config.oslo_config()
        given = {name: value for name, value in credentials.items() if value}
        of_session: dict[str, str] = {
            name: given.pop(name)
            for name in ("endpoint_override", "region_name", "cafile")
            if name in given
        }
        declare_session(config, conf, GROUP, of_session)
        conf.set_default("service_type", "compute", group=GROUP)
        conf.set_default("valid_interfaces", ["internal", "public"], group=GROUP)
        # Keystone's answers are waited for no longer than Nova's.
        conf.set_default("timeout", max(1, round(timeout)), group=GROUP)
        try:
            auth = _plugin_of(given) if given else _declared_plugin(config, conf)
            session: Session = loading.load_session_from_conf_options(conf, GROUP, auth=auth)
            self._adapter: Adapter = loading.load_adapter_from_conf_options(
                conf, GROUP, session=session, auth=auth, raise_exc=False
            )
        except _UNUSABLE as error:
            raise config.error(GROUP, error) from None
        self._timeout = timeout

    # --- moving a server: each returns Nova's id of the request that it has accepted ------------

    def live_migrate(self, server: str, target: str = "") -> str:
        """Migrate a running or paused server to ``target``, empty where Nova is to choose."""
        return self._act(server, "os-migrateLive", {"host": target or None, **_AUTO})

    def cold_migrate(self, server: str, target: str = "") -> str:
        """Migrate a server that is shut off; it is then to be confirmed."""
        return self._act(server, "migrate", {"host": target} if target else None)

    def confirm_resize(self, server: str) -> str:
        """Confirm a cold migration."""
        return self._act(server, "confirmResize", None)

    def evacuate(self, server: str, target: str = "") -> str:
        """Rebuild a server of a dead host elsewhere."""
        return self._act(server, "evacuate", {"host": target} if target else {})

    def _act(self, server: str, action: str, body: Any) -> str:
        path = f"/servers/{quote(server, safe='')}/action"
        response = self._request("POST", path, _ACTIONS, {action: body})
        return str(response.headers.get(_REQUEST_ID, ""))

    # --- what became of a request -----------------------------------------------------------------

    def failure(self, server: str, request_id: str) -> str | None:
        """Why a request that was accepted failed; ``None`` when it has not, or is not over."""
        path = f"/servers/{quote(server, safe='')}/os-instance-actions/{quote(request_id, safe='')}"
        try:
            found = self._request("GET", path, _DETAILS).json()["instanceAction"]
        except ComputeRefused as refusal:
            if refusal.status == 404:
                return None
            raise
        for event in found.get("events") or ():
            if event.get("result") == "Error":
                trace = [line for line in (event.get("traceback") or "").splitlines() if line]
                return str(event.get("details") or (trace or ["Error"])[-1])
        message: str | None = found.get("message")  # "Error", or nothing
        return message

    def latest_request(self, server: str, action: str) -> str:
        """The id of the latest request of that kind about the server; empty where there is none.

        ``action`` is a migration's type: ``live-migration``, ``migration`` or ``evacuation``.
        """
        path = f"/servers/{quote(server, safe='')}/os-instance-actions"
        try:
            found = self._request("GET", path, _DETAILS).json()["instanceActions"]
        except ComputeRefused as refusal:
            if refusal.status == 404:
                return ""
            raise
        wanted = [one for one in found if one["action"] == _REQUESTS[action]]
        latest = max(wanted, key=lambda one: one["start_time"], default=None)
        return "" if latest is None else str(latest["request_id"])

    # --- requests ---------------------------------------------------------------------------------

    def _request(self, method: str, path: str, microversion: str, body: Any = None) -> Response:
        began = time.monotonic()
        try:
            # First what does not reach Nova: a token, and where its API is.
            if not self._adapter.get_token() or not self._adapter.get_endpoint():
                raise ComputeUnavailable("nova: not in Keystone's catalogue", sent=False)
        except ksa_exceptions.ClientException as error:
            raise ComputeUnavailable(f"nova: {one_line(error)}", sent=False) from None
        if time.monotonic() - began > self._timeout:
            # Whoever asked may be thought dead by now, and somebody else may ask in its place.
            raise ComputeUnavailable("nova: Keystone took too long", sent=False)
        try:
            response: Response = self._adapter.request(
                path,
                method,
                json=body,
                microversion=microversion,
                headers={"Accept": "application/json"},
                connect_retries=0,
                timeout=self._timeout,
            )
        except ksa_exceptions.ClientException as error:
            raise ComputeUnavailable(
                f"nova: {one_line(error)}", sent=not _never_connected(error)
            ) from None
        if response.status_code < 400:
            return response
        text = f"nova: {_reason(response)}"
        if response.status_code in _NOT_PASSED_ON or response.status_code >= 500:
            raise ComputeUnavailable(text, sent=response.status_code not in _NOT_PASSED_ON)
        raise ComputeRefused(text, response.status_code)


#: What Nova calls the request behind each type of migration, in its record of a server's actions.
_REQUESTS: Final = {
    "live-migration": "live-migration",
    "migration": "migrate",
    "evacuation": "evacuate",
}
#: What keystoneauth1 raises for options that it cannot use.
_UNUSABLE: Final = (ksa_exceptions.ClientException, ValueError, TypeError)
#: Block migration where the storage is not shared, as Nova finds it (2.25).
_AUTO: Final = {"block_migration": "auto"}


def _plugin_of(given: dict[str, str]) -> BaseAuthPlugin:
    """The auth plugin of the portal's own settings."""
    try:
        loader: BaseLoader[Any] = loading.get_plugin_loader(given.pop("auth_type", "password"))
        plugin: BaseAuthPlugin = loader.load_from_options(**given)
    except _UNUSABLE as error:
        raise ConfigError(f"NOVA_AUTH_TYPE: {one_line(error)}") from None
    return plugin


def _declared_plugin(config: NovaConfig, conf: ConfigOpts) -> BaseAuthPlugin | None:
    """That of ``[nova]``."""
    declare_plugin(config, conf, GROUP)
    return loading.load_auth_from_conf_options(conf, GROUP)


def _never_connected(error: BaseException) -> bool:
    """Whether no connection was made, so that nothing was sent."""
    return any(isinstance(one, NewConnectionError | ConnectTimeoutError) for one in causes(error))


def _reason(response: Response) -> str:
    """Status and explanation in one line; a proxy in front answers with something else."""
    try:
        (fault,) = response.json().values()
        text = str(fault["message"])
    except (ValueError, LookupError, TypeError, AttributeError):
        text = response.reason or ""
    return f"{response.status_code} {' '.join(text.split())}"
