"""Who a request comes from, when proxies stand in front of the portal.

Anyone can send ``X-Forwarded-For`` and ``X-Forwarded-Proto``; they count only from the proxies in
``TRUSTED_PROXIES``, which must overwrite or append to what their clients sent.
"""

import ipaddress
from functools import lru_cache
from typing import TypeAlias

from django.conf import settings
from django.http import HttpRequest

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

#: In ``TRUSTED_PROXIES``: whoever connects by the Unix socket that the portal is bound to.
UNIX_SOCKET = "unix"
#: Headers by which a request tells that it has been passed on, whoever wrote them.
FORWARDING_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_REAL_IP",
)
#: Where ``forwarded`` leaves the scheme that a trusted proxy named, for
#: ``SECURE_PROXY_SSL_HEADER``; no header of a request can be called so.
FORWARDED_PROTO = "portal.forwarded_proto"
#: The proxies in a row that are looked through.
MAX_PROXIES = 32


def parse_networks(texts: list[str]) -> tuple[Network, ...]:
    """``TRUSTED_PROXIES`` as networks; raises ``ValueError`` for what is none."""
    return tuple(ipaddress.ip_network(text) for text in texts if text != UNIX_SOCKET)


_networks = lru_cache(lambda texts: parse_networks(list(texts)))


def is_forwarded(request: HttpRequest) -> bool:
    """Whether the request tells that it has come through a proxy, truly or not."""
    return any(name in request.META for name in FORWARDING_HEADERS)


def forwarded(request: HttpRequest) -> None:
    """Make ``REMOTE_ADDR`` the client's address, and note its scheme, by trusted proxies' word.

    The client is the last address of ``X-Forwarded-For`` that is not a trusted proxy's.
    """
    meta = request.META
    peer = meta.get("REMOTE_ADDR", "")
    if not _is_trusted(peer):
        return
    chain = meta.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", MAX_PROXIES)
    for text in reversed(chain):
        address = _address(text)
        if address is None:
            break
        meta["REMOTE_ADDR"] = str(address)
        if not _is_trusted(str(address)):
            break
    protocols = meta.get("HTTP_X_FORWARDED_PROTO", "").split(",")
    meta[FORWARDED_PROTO] = protocols[-1].strip().lower()


def _is_trusted(text: str) -> bool:
    if not text:
        return UNIX_SOCKET in settings.TRUSTED_PROXIES
    address = _address(text)
    networks = _networks(tuple(settings.TRUSTED_PROXIES))
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """An IP address, with or without a port; IPv4 in IPv6 is read as IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
