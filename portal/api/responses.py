"""The responses of the compute API."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import orjson
from rest_framework.response import Response


class JSONList:
    """An answer that is a list, each part of which is JSON already: objects with commas between.

    A list of 100,000 services is 20 MB of JSON, but several times as much as objects.
    """

    def __init__(self, collection_name: str, parts: Iterable[bytes]) -> None:
        self.collection_name = collection_name
        self.parts = [part for part in parts if part]

    @staticmethod
    def part(objects: list[dict[str, Any]]) -> bytes:
        """These objects as a part."""
        return orjson.dumps(objects)[1:-1]

    def to_json(self) -> bytes:
        """The whole answer."""
        return b'{"%b":[%b]}' % (self.collection_name.encode(), b",".join(self.parts))

    def to_data(self, at_least: int) -> dict[str, list[dict[str, Any]]]:
        """The first parts as objects: at least so many of these, if there are."""
        objects: list[dict[str, Any]] = []
        for part in self.parts:
            if len(objects) >= at_least:
                break
            objects += orjson.loads(b"[%b]" % part)
        return {self.collection_name: objects}


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
