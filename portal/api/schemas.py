"""Checking bodies and query strings against JSON schemas, with Nova's messages."""

from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from portal.api.faults import BadRequest

#: Spellings of a boolean that Nova takes; numbers are not among them.
TRUE = ("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
FALSE = ("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")
BOOLEAN = {"type": ["boolean", "string"], "enum": [True, *TRUE, False, *FALSE]}

NON_NEGATIVE_INTEGER = {
    "type": ["integer", "string"],
    "pattern": "^[0-9]*$",
    "minimum": 0,
    "minLength": 1,
}
HOST_NAME = {
    "type": "string",
    "pattern": "^[a-zA-Z0-9-._]*$",
    "minLength": 1,
    "maxLength": 255,
}


def as_bool(value: bool | str) -> bool:
    """A value that passed ``BOOLEAN`` as a bool."""
    return value if isinstance(value, bool) else value in TRUE


def once(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter that may be given once."""
    return {"type": "array", "items": schema, "maxItems": 1}


def repeatable(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter that may be given several times; the last one counts."""
    return {"type": "array", "items": schema}


def query(properties: dict[str, Any], *, others: bool) -> dict[str, Any]:
    """The schema of a query string; ``others`` allows (and ignores) unknown parameters."""
    return {"type": "object", "properties": properties, "additionalProperties": others}


def validate(schema: dict[str, Any], value: Any, *, is_body: bool) -> None:
    """Raise ``BadRequest`` with Nova's message when ``value`` does not fit ``schema``.

    Draft 2020-12, as Nova uses.
    """
    validator: Validator = jsonschema.Draft202012Validator(schema)
    error: ValidationError | None = next(iter(validator.iter_errors(value)), None)
    if error is None:
        return
    if not error.path:
        raise BadRequest(error.message)
    kind = "field/attribute" if is_body else "query parameters"
    where = error.path[-1] if is_body else error.path[0]
    raise BadRequest(f"Invalid input for {kind} {where}. Value: {error.instance}. {error.message}")
