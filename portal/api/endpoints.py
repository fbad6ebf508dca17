"""Declaring the endpoints of the compute API."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from portal.api.schemas import Schema, Wrapper
from portal.api.serializers import VersionedSerializer
from portal.microversions import Versioned

F = TypeVar("F", bound=Callable[..., Any])

ALWAYS = Versioned({"2.1": True})


@dataclass(frozen=True)
class Endpoint:
    """The declaration of one endpoint; see ``endpoint``."""

    policy: str
    versions: Versioned[bool] = ALWAYS
    query: Versioned[Schema] | None = None
    body: Versioned[Schema] | None = None
    serializer: type[VersionedSerializer] | None = None
    early_id_check: Versioned[Callable[[str], None]] | None = None
    id_schema: Versioned[Schema] | None = None
    response: Versioned[Wrapper] | None = None
    samples: tuple[str, ...] = ()


def endpoint(
    policy: str,
    *,
    versions: Versioned[bool] = ALWAYS,
    query: Versioned[Schema] | None = None,
    body: Versioned[Schema] | None = None,
    serializer: type[VersionedSerializer] | None = None,
    early_id_check: Versioned[Callable[[str], None]] | None = None,
    id_schema: Versioned[Schema] | None = None,
    response: Versioned[Wrapper] | None = None,
    samples: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Declare a method of a ``NovaViewSet`` to be an endpoint.

    ``policy``
        The name of Nova's policy rule, without the resource's ``policy_base``.
    ``versions``
        The microversions that have the endpoint; at any other it responds with 404.
    ``query``, ``body``
        The JSON schemas of the query string and of the body.  Without a schema, the query
        parameters or the body are ignored.
    ``serializer``
        The serializer of the response, if not the viewset's ``serializer_class``.
    ``early_id_check``
        Checks the id in the URL before the policy does, and raises a ``Fault``.

    What follows is only for the API's description:

    ``id_schema``
        What the id in the URL is, if not the viewset's ``lookup_fields``.
    ``response``
        The body of the response, if it is not one object, or a list of objects.
    ``samples``
        The names of recorded responses (``samples/``).
    """

    def decorate(method: F) -> F:
        declared = Endpoint(
            policy, versions, query, body, serializer, early_id_check, id_schema, response, samples
        )
        method.endpoint = declared  # type: ignore[attr-defined]
        return method

    return decorate
