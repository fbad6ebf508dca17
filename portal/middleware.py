"""What every request gets."""

import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

API_ROOTS = ("v2.1", "v2")


class RequestIdMiddleware:
    """Give each request an id, and put it on the answers of the API as Nova does.

    ``request.request_id`` is what the audit record and the logs carry.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = f"req-{uuid.uuid4()}"
        request.request_id = request_id  # type: ignore[attr-defined]
        response = self.get_response(request)
        if request.path_info.split("/", 2)[1] in API_ROOTS:
            response["x-openstack-request-id"] = request_id
            response["x-compute-request-id"] = request_id
        return response
