"""Calls to nova-compute over the message bus of its cell.

What is on the wire is that of ``nova.compute.rpcapi.ComputeAPI`` at version 6.0, which every
nova-compute since Wallaby takes: exchange ``nova``, topic ``compute``, the host as server, no
namespace.  A call says which of its two ways of failing happened: the bus of the cell is away
(then it is left alone for a while), or this one nova-compute did not answer or answered with an
error.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.utils import timezone

from cells.database_urls import DatabaseURLError, fill_template
from cells.models import CellMapping
from cells.registry import Cell
from cloud.config import NovaConfig
from cloud.deadlines import BoundedExecutor, CloudError, ServiceUnavailable
from cloud.identity import Identity
from cloud.messaging import TransportError, oslo_messaging, rpc_transport
from cloud.setting_sources import masked_url

logger = logging.getLogger(__name__)
T = TypeVar("T")

TOPIC: Final = "compute"
VERSION: Final = "6.0"
#: For clouds that pin ``[upgrade_levels]/compute`` to a release before Wallaby.
OLD_VERSION: Final = "5.0"
OLD_RELEASES: Final = frozenset({"queens", "rocky", "stein", "train", "ussuri", "victoria"})

#: Since this version a nova-compute sets ``COMPUTE_STATUS_DISABLED`` when it is asked to
#: (``nova.compute.api.MIN_COMPUTE_SYNC_COMPUTE_STATUS_DISABLED``); older ones are not asked.
MIN_SERVICE_VERSION: Final = 38

#: Share of the deadline for the reply: the rest is for connecting, so that a nova-compute that
#: does not answer can be told from a bus that does not.
_REPLY_SHARE: Final = 0.9


class MessageBusUnavailable(ServiceUnavailable):
    """The message bus of a cell cannot be reached."""


class NoTransport(CloudError):
    """The cell has no message bus that could be used: none in its mapping, or a malformed URL."""


class ComputeTimeout(CloudError):
    """The nova-compute did not answer in time.  It may still do what it was asked."""


class ComputeFailed(CloudError):
    """The nova-compute answered with an error.  ``remote``: the name of its exception class."""

    def __init__(self, text: str, remote: str) -> None:
        super().__init__(text)
        self.remote = remote


class NotSupported(ComputeFailed):
    """The hypervisor's driver cannot do this; nova-api answers 501."""


class ComputeRPC:
    """Calls to the nova-computes of all cells.  Thread-safe; one per process is enough.

    ``main_url`` is ``[DEFAULT]/transport_url``, from which the templates in cell mappings are
    filled.  ``deadline`` and ``retry_after`` are in seconds.
    """

    def __init__(
        self, config: NovaConfig, *, main_url: str, deadline: float, retry_after: float
    ) -> None:
        self._config = config
        self._main_url = main_url
        self._deadline = deadline
        self._retry_after = retry_after
        self._version = rpc_version(config["upgrade_levels", "compute"])
        self._exchange = config["DEFAULT", "control_exchange"]
        self._lock = threading.Lock()
        self._buses: dict[str, _Bus] = {}

    def set_host_enabled(
        self, cell: Cell, host: str, enabled: bool, identity: Identity, request_id: str = ""
    ) -> str:
        """Let the nova-compute set or remove the trait ``COMPUTE_STATUS_DISABLED`` of its nodes.

        Returns what it answers, ``enabled`` or ``disabled``.  Raises a ``CloudError``, which the
        caller logs: the service's row counts, and nova-compute syncs the trait by itself with its
        next ``update_available_resource`` (as ``_update_compute_provider_status`` of
        ``nova.compute.api`` relies on).
        """
        context = request_context(identity, request_id)
        return str(self._call(cell, host, context, "set_host_enabled", enabled=enabled))

    def get_host_uptime(
        self, cell: Cell, host: str, identity: Identity, request_id: str = ""
    ) -> str:
        """What ``uptime`` prints on the host.  Raises a ``CloudError``, maybe ``NotSupported``."""
        return str(self._call(cell, host, request_context(identity, request_id), "get_host_uptime"))

    def has_transport(self, cell: Cell) -> bool:
        """Whether the mapping of the cell names a message bus."""
        return bool(self._url_of(cell))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for bus in self._buses.values():
                bus.close()
            self._buses.clear()

    def _call(
        self, cell: Cell, host: str, context: dict[str, Any], method: str, **arguments: Any
    ) -> Any:
        bus = self._bus_of(cell)
        return bus.call(cell.name, host, context, method, arguments)

    def _url_of(self, cell: Cell) -> str:
        """The transport URL of a cell as Nova fills it in; empty for none (``none:///``)."""
        urls = CellMapping.objects.filter(uuid=cell.uuid).values_list("transport_url", flat=True)
        url = urls.first() or ""
        if not url or url.startswith("none"):
            return ""
        try:
            return fill_template(url, self._main_url)
        except DatabaseURLError as error:
            raise NoTransport(f"cell {cell.name}: transport URL: {error}") from None

    def _bus_of(self, cell: Cell) -> "_Bus":
        url = self._url_of(cell)
        if not url:
            raise NoTransport(f"cell {cell.name}: its mapping names no message bus")
        with self._lock:
            bus = self._buses.get(cell.uuid)
            if bus is None or bus.url != url:
                if bus is not None:
                    bus.close()
                bus = self._buses[cell.uuid] = _Bus(
                    url,
                    lambda: self._client(url),
                    BoundedExecutor(
                        f"message bus of {cell.name}",
                        MessageBusUnavailable,
                        deadline=self._deadline,
                        retry_after=self._retry_after,
                    ),
                )
        return bus

    def _client(self, url: str) -> Any:
        library = oslo_messaging()
        target = library.Target(exchange=self._exchange, topic=TOPIC, version=self._version)
        return library.get_rpc_client(
            rpc_transport(self._config, url),
            target,
            timeout=self._deadline * _REPLY_SHARE,
            retry=1,  # a connection that was kept may have died since
        )


class _Bus:
    """The message bus of one cell, connected to with the first call."""

    def __init__(self, url: str, connect: Callable[[], Any], executor: BoundedExecutor) -> None:
        self.url = url
        self._connect = connect
        self._executor = executor
        self._lock = threading.Lock()
        self._client: Any = None

    def call(
        self, cell: str, host: str, context: dict[str, Any], method: str, arguments: dict[str, Any]
    ) -> Any:
        oslo_messaging()  # outside the deadline: importing it is our own affair
        until = time.monotonic() + self._executor.deadline

        def call() -> Any:
            client = self._connected(cell)
            if time.monotonic() >= until:  # the caller has given up: nothing may be sent late
                raise MessageBusUnavailable(f"{self._executor.name}: connected too late")
            return _call(client.prepare(server=host), cell, host, context, method, arguments)

        return self._executor.call(call)

    def _connected(self, cell: str) -> Any:
        """The client.  Before its first use a connection is tried.

        Otherwise oslo.messaging would try to connect for its replies for ever, and send what is
        waiting for that whenever it succeeds.
        """
        with self._lock:
            if self._client is None:
                try:
                    client = self._connect()
                except TransportError as error:
                    raise NoTransport(f"cell {cell}: {error}") from None
                try:
                    _try_connection(client.transport)
                except Exception as error:  # each driver has its own
                    raise self._executor.failed(masked_url(_first_line(error))) from None
                self._client = client
            return self._client

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.transport.cleanup()
                self._client = None


def _try_connection(transport: Any) -> None:
    """Connect once, by the driver's own pool, which keeps the connection; not all have one."""
    connect = getattr(transport._driver, "_get_connection", None)
    if connect is not None:
        with connect(retry=0):
            pass


def _call(
    client: Any,
    cell: str,
    host: str,
    context: dict[str, Any],
    method: str,
    arguments: dict[str, Any],
) -> Any:
    library = oslo_messaging()
    where = f"nova-compute on {host} ({cell})"
    try:
        return client.call(context, method, **arguments)
    except library.MessagingTimeout:
        raise ComputeTimeout(f"{where}: no answer in time") from None
    except library.MessageDeliveryFailure as error:
        raise MessageBusUnavailable(f"message bus of {cell}: {_first_line(error)}") from None
    except NotImplementedError:
        raise NotSupported(f"{where}: not supported", "NotImplementedError") from None
    except library.RemoteError as error:
        text = f"{where}: {error.exc_type}: {_first_line(error.value)}"
        raise ComputeFailed(text, str(error.exc_type)) from None
    except Exception as error:  # an exception of Python's own is raised here as it was there
        name = type(error).__name__
        raise ComputeFailed(f"{where}: {name}: {_first_line(error)}", name) from error


def rpc_version(upgrade_level: str | None) -> str:
    """The version to send under ``[upgrade_levels]/compute``: a release's name, ``5.x`` or so."""
    level = (upgrade_level or "").lower()
    return OLD_VERSION if level in OLD_RELEASES or level.startswith("5.") else VERSION


def request_context(identity: Identity, request_id: str = "") -> dict[str, Any]:
    """A request's context as ``nova.context.RequestContext.from_dict`` reads it; never a token."""
    from oslo_context.context import RequestContext

    context = RequestContext(
        user_id=identity.user_id,
        project_id=identity.project_id,
        user_domain_id=identity.user_domain_id,
        project_domain_id=identity.project_domain_id,
        roles=list(identity.roles),
        is_admin=True,
        request_id=request_id or None,
        overwrite=False,
    ).to_dict()
    return {
        **context,
        "user_id": identity.user_id,
        "user_name": identity.user_name,
        "project_id": identity.project_id,
        "project_name": identity.project_name,
        "read_deleted": "no",
        "remote_address": None,
        # With the fraction always there: Nova parses it by that format.
        "timestamp": timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "quota_class": None,
        "service_catalog": [],
    }


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
