"""The microversion of a request."""

from typing import Any

import microversion_parse
from rest_framework.request import Request
from rest_framework.versioning import BaseVersioning

from portal.api.faults import BadRequest, NotAcceptable
from portal.microversions import MAX_VERSION, MIN_VERSION, Version

HEADER = "OpenStack-API-Version"
LEGACY_HEADER = "X-OpenStack-Nova-API-Version"

#: The query parameter for the version in the browsable API; ignored for JSON.
PICKER = "microversion"


class MicroversionVersioning(BaseVersioning):
    """Takes the version from either header, as Nova does; the default is 2.1.

    ``request.version`` is a ``Version``; it stays ``None`` if the header is malformed.
    """

    def determine_version(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("legacy"):  # /v2 has no microversions
            return MIN_VERSION
        text = microversion_parse.get_version(
            dict(request.headers), service_type="compute", legacy_headers=[LEGACY_HEADER]
        )
        if text is None and request.accepted_renderer.format == "api":
            text = request.query_params.get(PICKER) or None
        if text is None:
            return MIN_VERSION
        if text == "latest":
            return MAX_VERSION
        try:
            version = Version.parse(text)
        except ValueError:
            raise BadRequest(
                f"API Version String {text} is of invalid format. "
                "Must be of format MajorNum.MinorNum."
            ) from None
        if not MIN_VERSION <= version <= MAX_VERSION:
            request.version = version  # type: ignore[assignment]  # echoed in the headers
            raise NotAcceptable(
                f"Version {version} is not supported by the API. "
                f"Minimum is {MIN_VERSION} and maximum is {MAX_VERSION}."
            )
        return version
