"""oslo.messaging as a client with threads: imported when it is needed, and without its noise.

Importing it takes a second, brings eventlet with it (which oslo.service and others require, and
which warns that it is deprecated) and chooses oslo.service's backend for the whole process.  The
portal has threads, so the threading backend is chosen first; nothing is monkey-patched.
"""

import importlib
import threading
import warnings
from types import ModuleType
from typing import Any

from oslo_config import cfg

from cloud.config import NovaConfig
from cloud.setting_sources import masked_url

_importing = threading.Lock()


class TransportError(Exception):
    """A transport URL cannot be used, whatever the broker does; ``str()`` has no password."""


def ignore_eventlet_warnings() -> None:
    """Say nothing about eventlet, which several oslo libraries import where it is installed.

    Warning filters are the process's own, so this is done once and not around an import.
    """
    warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")
    warnings.filterwarnings("ignore", "eventletutils module is deprecated")


def oslo_messaging() -> ModuleType:
    """The library, imported at the first call."""
    with _importing:
        ignore_eventlet_warnings()
        from oslo_service import backend  # type: ignore[import-untyped]

        if backend.get_backend_type() is None:
            backend.init_backend(backend.BackendType.THREADING)
        return importlib.import_module("oslo_messaging")


def rpc_transport(config: NovaConfig, url: str) -> Any:
    """A transport for RPC over ``url``, with the options nova.conf has for its driver.

    Raises ``TransportError``.
    """
    library = oslo_messaging()
    conf = config.oslo_config()
    _declare(conf)
    try:
        return library.get_rpc_transport(conf, url=url)
    except (library.InvalidTransportURL, library.DriverLoadFailure) as error:
        cause = getattr(error, "ex", None) or error
        raise TransportError(f"transport URL: {masked_url(str(cause))}") from None
    except ValueError:  # its text may be a part of a password
        raise TransportError("transport URL: host and port cannot be read") from None


def _declare(conf: cfg.ConfigOpts) -> None:
    """Declare what the library reads for each call but only declares on the global ``cfg.CONF``."""
    from oslo_messaging._metrics.client import oslo_messaging_metrics
    from oslo_messaging._tracing.client import oslo_messaging_tracing

    conf.register_opts(oslo_messaging_metrics, group="oslo_messaging_metrics")
    conf.register_opts(oslo_messaging_tracing, group="oslo_messaging_tracing")
