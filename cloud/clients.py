"""The clients of the running cloud, one of each per process, ``None`` where the cloud has none.

They are made when they are first asked for.  Their threads do not survive a fork, so a forked
process makes its own.
"""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings

if TYPE_CHECKING:  # each takes a while to import, and not every process needs it
    from cloud.compute_api import ComputeAPI
    from cloud.compute_rpc import ComputeRPC
    from cloud.keystone import Keystone
    from cloud.placement import Placement
    from cloud.policy import Policy

T = TypeVar("T")

_made: dict[str, Any] = {}
_lock = threading.Lock()


def keystone() -> "Keystone | None":
    """Keystone, where ``[keystone_authtoken]`` says how to ask it; may raise ``ConfigError``."""
    if not settings.NOVA_CONFIG.has_keystone:
        return None

    def make() -> "Keystone":
        from cloud.keystone import Keystone

        return Keystone(
            settings.NOVA_CONFIG,
            deadline=settings.KEYSTONE_DEADLINE,
            retry_after=settings.CLOUD_RETRY_AFTER,
        )

    return _client("keystone", make)


def policy() -> "Policy":
    """Nova's policy and the operator's; may raise ``PolicyError``, a ``ConfigError``."""

    def make() -> "Policy":
        from cloud.policy import Policy

        return Policy(
            settings.NOVA_CONFIG,
            policy_file=settings.POLICY_FILE,
            deadline=settings.POLICY_DEADLINE,
            retry_after=settings.CLOUD_RETRY_AFTER,
        )

    return _client("policy", make)


def placement() -> "Placement | None":
    """Placement, where ``[placement]`` says how to reach it; may raise ``ConfigError``."""
    if not settings.NOVA_CONFIG.has_placement:
        return None

    def make() -> "Placement":
        from cloud.placement import Placement

        return Placement(
            settings.NOVA_CONFIG,
            deadline=settings.PLACEMENT_DEADLINE,
            retry_after=settings.CLOUD_RETRY_AFTER,
        )

    return _client("placement", make)


def compute_rpc() -> "ComputeRPC | None":
    """Calls to nova-compute, where ``NOVA_TRANSPORT_URL`` or nova.conf names a message bus."""
    if not settings.NOVA_TRANSPORT_URL:
        return None

    def make() -> "ComputeRPC":
        from cloud.compute_rpc import ComputeRPC

        return ComputeRPC(
            settings.NOVA_CONFIG,
            main_url=settings.NOVA_TRANSPORT_URL,
            deadline=settings.RPC_DEADLINE,
            retry_after=settings.CLOUD_RETRY_AFTER,
        )

    return _client("compute_rpc", make)


def compute_api() -> "ComputeAPI | None":
    """Nova's API, where ``NOVA_AUTH_URL`` or ``[nova]`` is set; may raise ``ConfigError``."""
    if not (settings.NOVA_CREDENTIALS or settings.NOVA_CONFIG.has_compute_api):
        return None

    def make() -> "ComputeAPI":
        from cloud.compute_api import ComputeAPI

        return ComputeAPI(
            settings.NOVA_CONFIG,
            settings.NOVA_CREDENTIALS,
            timeout=settings.COMPUTE_API_TIMEOUT,
        )

    return _client("compute_api", make)


def prepare() -> None:
    """Make all that the cloud has, so that mistakes are found now and no request waits for it.

    Raises ``ConfigError``; its text is one line.
    """
    for accessor in (keystone, policy, placement, compute_rpc, compute_api):
        accessor()


def forget_clients() -> None:
    """Make the next call of each function make its client anew: the settings have changed."""
    with _lock:
        rpc = _made.pop("compute_rpc", None)
        _made.clear()
    if rpc is not None:
        rpc.close()


def _client(name: str, make: Callable[[], T]) -> T:
    client: T | None = _made.get(name)
    if client is None:
        with _lock:
            client = _made.get(name)
            if client is None:
                client = _made[name] = make()
    return client


def _after_fork() -> None:
    """In the child: its parent's clients, and a lock that a thread of the parent's may hold."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _made.clear()


os.register_at_fork(after_in_child=_after_fork)
