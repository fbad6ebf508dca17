"""Errors of the compute API, as Nova writes them on the wire."""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest as BadInput
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.request import Request
from webob import Request as WebObRequest
from webob.exc import HTTPServiceUnavailable

from cells.databases import cause_of, is_in_trouble, lacks_schema
from cells.locate import MayBeMissing
from cloud import clients
from portal import schema
from portal.api.responses import NovaResponse

logger = logging.getLogger(__name__)

#: Nova's name for a fault by status; every other status is a ``computeFault``.
FAULT_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


#: Seconds after which a client may try again.
RETRY_AFTER = 10
DATABASE_AWAY = "A database that every request needs does not answer."


class Fault(exceptions.APIException):
    """A refusal with its status and the message for the client."""

    status_code = HTTPStatus.BAD_REQUEST

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers or {}


class BadRequest(Fault):
    """400; without a message, the one that Nova gives where it has none of its own."""

    def __init__(
        self,
        message: str = "The server could not comply with the request since it is either "
        "malformed or otherwise incorrect.",
    ) -> None:
        super().__init__(message)


class Forbidden(Fault):
    """403"""

    status_code = HTTPStatus.FORBIDDEN


class ItemNotFound(Fault):
    """404 with a JSON body; without a message, the one for an endpoint that a version lacks."""

    status_code = HTTPStatus.NOT_FOUND

    def __init__(self, message: str = "The resource could not be found.") -> None:
        super().__init__(message)


class NotAcceptable(Fault):
    """406"""

    status_code = HTTPStatus.NOT_ACCEPTABLE


class ConflictFault(Fault):
    """409"""

    status_code = HTTPStatus.CONFLICT


class RequestTooLarge(Fault):
    """413"""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self) -> None:
        super().__init__("Request is too large.")


class UnsupportedMediaType(Fault):
    """415"""

    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def __init__(self) -> None:
        super().__init__("Unsupported Content-Type")


class TooManyRequests(Fault):
    """429"""

    status_code = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class ComputeFault(Fault):
    """500: another service of the cloud failed, which Nova has no other answer for."""

    status_code = HTTPStatus.INTERNAL_SERVER_ERROR


class NotImplementedFault(Fault):
    """501"""

    status_code = HTTPStatus.NOT_IMPLEMENTED

    def __init__(self) -> None:
        super().__init__("The requested functionality is not supported.")


class ServiceUnavailable(Fault):
    """503: what was asked for may be in a cell that does not answer."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": str(RETRY_AFTER)})


class KeystoneAway(Exception):
    """The token may be Keystone's, which cannot be asked."""


def fault_body(status: int, message: str) -> dict[str, Any]:
    """Nova's JSON for an error."""
    return {FAULT_NAMES.get(status, "computeFault"): {"code": int(status), "message": message}}


def challenge() -> str:
    """``WWW-Authenticate`` of a 401: Keystone's, as Nova's, where the cloud has one."""
    keystone = clients.keystone()
    return 'Basic realm="compute"' if keystone is None else keystone.www_authenticate


def keystone_is_away(request: Request) -> HttpResponse:
    """The 503 of keystonemiddleware: HTML, JSON or text, as ``Accept`` has it."""
    asked = WebObRequest.blank("/", headers={"Accept": request.headers.get("Accept", "")})
    answer = asked.get_response(
        HTTPServiceUnavailable("The Keystone service is temporarily unavailable.")
    )
    return HttpResponse(
        answer.body, status=answer.status_code, content_type=answer.headers["Content-Type"]
    )


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's hook: turn an exception into Nova's answer.

    An unexpected error is logged with its traceback and answered as Nova's 500; the details stay
    in the log.
    """
    if isinstance(error, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        # The body of keystonemiddleware, which stands in front of a real Nova.
        return NovaResponse(
            {
                "error": {
                    "code": 401,
                    "title": "Unauthorized",
                    "message": "The request you have made requires authentication.",
                }
            },
            status=HTTPStatus.UNAUTHORIZED,
            headers={"WWW-Authenticate": challenge()},
        )
    if isinstance(error, KeystoneAway):
        return keystone_is_away(context["request"])
    if isinstance(error, Fault):
        return NovaResponse(
            fault_body(error.status_code, error.message),
            status=error.status_code,
            headers=error.headers,
        )
    if isinstance(error, MayBeMissing):
        return exception_handler(
            ServiceUnavailable(f"It may be in a cell that does not answer: {error}"), context
        )
    if isinstance(error, (Http404, exceptions.NotFound)):
        fault = ItemNotFound()
        return NovaResponse(fault_body(404, fault.message), status=404)
    if isinstance(error, (BadInput, SuspiciousOperation, UnreadablePostError)):
        return NovaResponse(fault_body(400, "Malformed request."), status=400)
    if isinstance(error, exceptions.APIException):
        return NovaResponse(
            fault_body(error.status_code, str(error.detail)), status=error.status_code
        )
    lacks_migrations = lacks_schema(error) and schema.is_incomplete(look=True)
    if is_in_trouble(error) or lacks_migrations:
        # A cell that fails is missing from an answer; this is the API's database or the portal's.
        logger.error("a database that every request needs failed: %s", cause_of(error))
        message = schema.INCOMPLETE if lacks_migrations else DATABASE_AWAY
        headers = {"Retry-After": str(RETRY_AFTER)}
        return NovaResponse(fault_body(503, message), status=503, headers=headers)
    request = context["request"]
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return NovaResponse(
        fault_body(
            500,
            "Unexpected API Error. The log of the portal has the details under request id "
            f"{getattr(request, 'request_id', '-')}.",
        ),
        status=500,
    )
