"""Parsing request bodies as Nova does."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.parsers import BaseParser

from portal.api.faults import BadRequest, RequestTooLarge, UnsupportedMediaType

#: Content types that Nova accepts; ``text/plain`` and a missing type also mean JSON.
JSON_TYPES = ("application/json", "application/vnd.openstack.compute+json")

#: In bytes; the default of Nova's ``[oslo_middleware]/max_request_body_size``.
MAX_BODY_SIZE = 114688


def check_content_type(header: str | None) -> None:
    """Raise ``UnsupportedMediaType`` for a ``Content-Type`` that Nova refuses.

    The comparison is case-sensitive, as Nova's is.
    """
    if header is None:
        return
    content_type = header.partition(";")[0].strip()
    if content_type not in ("", "text/plain", *JSON_TYPES):
        raise UnsupportedMediaType


class NovaJSONParser(BaseParser):
    """Parses JSON, whichever of the accepted content types it has."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(MAX_BODY_SIZE + 1)
        if len(body) > MAX_BODY_SIZE:
            raise RequestTooLarge
        try:
            return json.loads(body.decode(settings.DEFAULT_CHARSET))
        except (ValueError, RecursionError) as error:
            raise BadRequest("Malformed request body") from error
