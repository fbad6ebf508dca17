"""Validating bodies, query strings and ids, with Nova's messages."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from oslo_utils.uuidutils import is_uuid_like

from portal.api.faults import BadRequest

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

#: A JSON schema.
Schema: TypeAlias = dict[str, Any]
#: From the schema of an object, as its serializer shows it, to that of a response's body.
Wrapper: TypeAlias = Callable[[Schema], Schema]

#: The spellings of a boolean that Nova accepts; numbers are not among them.
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

#: What the id in a URL is, by the field that it is looked up in.
ID_SCHEMAS: dict[str, Schema] = {
    "id": {"type": "integer", "description": "The integer id; refused if several cells have it."},
    "uuid": {"type": "string", "format": "uuid", "description": "The uuid."},
}


def as_bool(value: bool | str) -> bool:
    """A value that is valid for ``BOOLEAN``, as a bool."""
    return value if isinstance(value, bool) else value in TRUE


def as_integer(text: str) -> int | None:
    """``text`` as an integer, by Nova's rules; ``None`` if it is not one.

    Whitespace, a sign and leading zeros are allowed, digits outside ASCII are not.
    """
    try:
        return int(text) if text.isascii() else None
    except ValueError:
        return None


def check_uuid(text: str) -> None:
    """Raise ``BadRequest`` unless Nova accepts ``text`` as a uuid."""
    if not is_uuid_like(text):
        raise BadRequest(f"Invalid uuid {text}")


def once(schema: Schema) -> Schema:
    """The schema of a query parameter that may be given at most once."""
    return {"type": "array", "items": schema, "maxItems": 1}


def repeatable(schema: Schema) -> Schema:
    """The schema of a query parameter that may be repeated; the last value is used."""
    return {"type": "array", "items": schema}


def query(properties: Schema, *, others: bool) -> Schema:
    """The schema of a query string; ``others`` allows (and ignores) unknown parameters."""
    return {"type": "object", "properties": properties, "additionalProperties": others}


def body(properties: Schema, *required: str) -> Schema:
    """The schema of a body: an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


# --- responses; these only describe, nothing is validated by them -------------------------------

LINKS = {
    "type": "array",
    "description": "The link to the next page, if there is one.",
    "items": {
        "type": "object",
        "properties": {"rel": {"const": "next"}, "href": {"type": "string", "format": "uri"}},
        "required": ["rel", "href"],
    },
}


def shown(properties: Schema, *optional: str) -> Schema:
    """The schema of an object that has these properties, the ``optional`` ones not always."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def member(name: str, **also: Schema) -> Wrapper:
    """One object called ``name``, which may have the properties ``also`` besides its fields."""
    return lambda each: shown({name: _with(each, also)})


def collection(
    name: str, *, links: bool = False, or_else: Schema | None = None, **also: Schema
) -> Wrapper:
    """A list called ``name`` of objects that may have the properties ``also`` besides their fields.

    ``links``: the list has pages.  ``or_else``: what may stand in it instead of an object.
    """

    def wrap(each: Schema) -> Schema:
        items = _with(each, also)
        properties = {
            name: {"type": "array", "items": {"anyOf": [items, or_else]} if or_else else items}
        }
        more = f"{name}_links"
        return shown(properties | ({more: LINKS} if links else {}), more)

    return wrap


def _with(each: Schema, also: Schema) -> Schema:
    return {**each, "properties": {**each["properties"], **also}} if also else each


def validator_of(schema: Schema) -> "Validator":
    """A validator by ``schema``, of draft 2020-12 as in Nova."""
    import jsonschema  # slow to import, and no command needs it

    return jsonschema.Draft202012Validator(schema)


def validate(schema: Schema, value: Any, *, is_body: bool) -> None:
    """Raise ``BadRequest`` with Nova's message if ``value`` is invalid for ``schema``."""
    error = next(iter(validator_of(schema).iter_errors(value)), None)
    if error is None:
        return
    if not error.path:
        raise BadRequest(error.message)
    kind = "field/attribute" if is_body else "query parameters"
    name = error.path[-1] if is_body else error.path[0]
    raise BadRequest(f"Invalid input for {kind} {name}. Value: {error.instance}. {error.message}")
