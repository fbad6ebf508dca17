"""The response class of the compute API."""

from collections.abc import Iterator
from typing import Any

from rest_framework.response import Response


class NovaResponse(Response):
    """A response that writes ``Vary`` as Nova does: one line for each header."""

    def items(self) -> Iterator[tuple[str, Any]]:
        for name, value in super().items():
            if name == "Vary":
                for one in value.split(", "):
                    yield name, one
            else:
                yield name, value
