"""Forms of the browsable API, made from the schema of a body.

Nova has no page of a single service to put a form on, so it stands below the list.
"""

from dataclasses import dataclass
from typing import Any

from portal.api.endpoints import Endpoint
from portal.api.schemas import BOOLEAN, ID_SCHEMAS, Schema
from portal.microversions import Version

#: The action whose page has the form, and the one that the form is sent to.
PAGE, ACTION = "list", "update"


@dataclass(frozen=True)
class FormField:
    """A field; ``kind`` is ``text``, ``choice`` or ``boolean`` (sent as true or false)."""

    name: str
    kind: str
    help: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    max_length: int | None = None


def put_form(view: Any) -> list[FormField]:
    """The fields of the form below the list of ``view``: the id in the URL, then the body's.

    Empty for any other page, and where the microversion has no such request.
    """
    version = getattr(view.request, "version", None)
    if getattr(view, "action", None) != PAGE or not isinstance(version, Version):
        return []  # no list, or refused before its version was read
    endpoint: Endpoint | None = getattr(getattr(view, ACTION, None), "endpoint", None)
    if endpoint is None or endpoint.body is None or not endpoint.versions.at(view.version):
        return []
    ids = endpoint.id_schema.at(view.version) if endpoint.id_schema else None
    id_field = _field("id", ids or ID_SCHEMAS[view.lookup_field], required=True)
    body = endpoint.body.at(view.version) or {"properties": {}}
    required = body.get("required", ())
    return [
        id_field,
        *(
            _field(name, each, required=name in required)
            for name, each in body["properties"].items()
        ),
    ]


def _field(name: str, schema: Schema, *, required: bool) -> FormField:
    if schema.get("enum") == BOOLEAN["enum"]:
        kind, choices = "boolean", ("true", "false")
    else:
        choices = tuple(schema.get("enum", ()))
        kind = "choice" if choices else "text"
    return FormField(
        name=name,
        kind=kind,
        help=schema.get("description", ""),
        choices=choices,
        required=required,
        max_length=schema.get("maxLength"),
    )
