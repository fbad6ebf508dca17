"""The responses of the compute API."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from rest_framework.response import Response


class NovaResponse(Response):
    """A response that sends ``Vary`` as Nova does: one line per header name."""

    def items(self) -> Iterator[tuple[str, Any]]:
        for name, value in super().items():
            if name == "Vary":
                for header in value.split(", "):
                    yield name, header
            else:
                yield name, value


class NoContent(NovaResponse):
    """204, with Nova's content type of JSON although there is no body."""

    def __init__(self) -> None:
        super().__init__(status=HTTPStatus.NO_CONTENT)

    @property
    def rendered_content(self) -> Any:
        content = super().rendered_content
        self["Content-Type"] = "application/json"
        return content
