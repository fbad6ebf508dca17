"""``/metrics``: who may scrape, and the answer."""

import hmac
import ipaddress
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.http import StreamingHttpResponse
from django.middleware.gzip import re_accepts_gzip
from django.utils.cache import patch_vary_headers
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from portal.api.renderers import JSONRenderer
from portal.metrics import scrape
from portal.proxies import is_forwarded
from portal.roles import LIST_SERVICES, permits

#: Of zlib.  Samples repeat themselves so much that Django's level, 6, takes three times as long
#: to save a seventh more.
COMPRESSION_LEVEL = 2


class MayScrape(BasePermission):
    """Machines in ``METRICS_ALLOWED``, bearers of ``METRICS_TOKEN``, and readers."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return is_near(request) or bears_token(request) or may_read(request)


def is_near(request: Request) -> bool:
    """Whether the request comes from an allowed network, and not through a proxy there."""
    if is_forwarded(request):
        return False
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return False
    return any(address in network for network in settings.METRICS_ALLOWED)


def bears_token(request: Request) -> bool:
    """Whether the request has the token, as Prometheus sends it (``authorization`` in its job)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return (
        bool(wanted)
        and scheme.lower() == "bearer"
        and hmac.compare_digest(token.strip().encode(), wanted.encode())
    )


def may_read(request: Request) -> bool:
    """Whether the user may list services, in the API or in the console."""
    return permits(request.user, LIST_SERVICES, "cells.view_cellmapping")


class MetricsView(APIView):
    """``/metrics``, in Prometheus's text format."""

    permission_classes = (MayScrape,)
    renderer_classes = (JSONRenderer,)  # for refusals
    versioning_class = None

    def get(self, request: Request) -> StreamingHttpResponse:
        """Everything that is collected; cells that do not answer in time are missing."""
        pieces = scrape()
        response = StreamingHttpResponse(pieces, content_type=CONTENT_TYPE_LATEST)
        patch_vary_headers(response, ["Accept-Encoding"])
        if re_accepts_gzip.search(request.headers.get("Accept-Encoding", "")):
            response.streaming_content = compressed(pieces)
            response.headers["Content-Encoding"] = "gzip"
        return response


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as one gzip stream, each of them compressed while the next one is written."""
    compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=zlib.MAX_WBITS | 16)
    with ThreadPoolExecutor(1, thread_name_prefix="gzip") as thread:
        compressing = thread.submit(bytes)
        for piece in pieces:
            yield compressing.result()
            compressing = thread.submit(compressor.compress, piece)
        yield compressing.result()
    yield compressor.flush()
