"""Whose word counts for where a request comes from."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from audit.models import Entry
from portal.middleware import ProxyMiddleware
from portal.proxies import FORWARDED_PROTO
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

NEAR, FAR = "10.0.0.1", "10.9.0.1"


@pytest.fixture(autouse=True)
def _proxies(settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = (FORWARDED_PROTO, "https")
    settings.TRUSTED_PROXIES = [NEAR, "10.9.0.0/16", "fd00::/8", "unix"]


def seen(peer: str, forwarded_for: str | None = None, **headers: str) -> tuple[str, bool]:
    """The client's address and whether it came by HTTPS, as views see them."""
    if forwarded_for is not None:
        headers["HTTP_X_FORWARDED_FOR"] = forwarded_for
    request = RequestFactory().get("/", REMOTE_ADDR=peer, **headers)  # type: ignore[arg-type]
    ProxyMiddleware(lambda request: None)(request)  # type: ignore[arg-type,return-value]
    return request.META["REMOTE_ADDR"], request.is_secure()


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        (NEAR, "192.0.2.7", "192.0.2.7"),
        (NEAR, "192.0.2.7:4711", "192.0.2.7"),
        (NEAR, "[2001:db8::1]:4711", "2001:db8::1"),
        (NEAR, "2001:db8::1", "2001:db8::1"),
        ("fd00::1", "192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("", "192.0.2.7", "192.0.2.7"),
        # what the client itself sent stands before what the proxies appended
        (NEAR, "127.0.0.1, 192.0.2.7", "192.0.2.7"),
        (NEAR, f"127.0.0.1, 192.0.2.7, {FAR}", "192.0.2.7"),
        (NEAR, f"{FAR}", FAR),
        (NEAR, "nonsense", NEAR),
        (NEAR, f"nonsense, {FAR}", FAR),
        (NEAR, "", NEAR),
        (NEAR, None, NEAR),
        (NEAR, "," * 8000, NEAR),
        # nobody else is believed
        ("192.0.2.9", "127.0.0.1", "192.0.2.9"),
        ("192.0.2.9", NEAR, "192.0.2.9"),
        ("10.0.0.2", "192.0.2.7", "10.0.0.2"),
    ],
)
def test_the_address_is_what_trusted_proxies_say(
    peer: str, forwarded_for: str | None, address: str
) -> None:
    assert seen(peer, forwarded_for)[0] == address


def test_https_is_what_trusted_proxies_say() -> None:
    for header, peer, secure in (
        ("https", NEAR, True),
        ("http", NEAR, False),
        ("https, http", NEAR, False),
        ("https", "192.0.2.9", False),
    ):
        assert seen(peer, HTTP_X_FORWARDED_PROTO=header)[1] is secure, (header, peer)


def test_the_audit_has_the_clients_address(cloud: Cloud, api: ApiClient) -> None:
    cloud.host("cell1", "a")
    body = {"host": "a", "binary": "nova-compute"}
    api.client.defaults["REMOTE_ADDR"] = NEAR
    assert api.put("/os-services/disable", body, X_Forwarded_For="192.0.2.7").status == 200
    api.client.defaults["REMOTE_ADDR"] = "192.0.2.9"
    assert api.put("/os-services/enable", body, X_Forwarded_For="127.0.0.1").status == 200
    actions = Entry.objects.filter(host="a").order_by("id")
    assert [entry.remote_address for entry in actions] == ["192.0.2.7", "192.0.2.9"]
