"""How drf-spectacular describes an endpoint: by what is declared for a microversion.

Parameters and bodies are those that requests are validated by, responses those of the serializers.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from portal.api.endpoints import Endpoint
from portal.api.schemas import ID_SCHEMAS, Schema, collection, member, shown, validator_of
from portal.api.versioning import HEADER
from portal.microversions import Version

#: Responses recorded from Nova: ``<resource>/v<version>/<name>.json``.
SAMPLES = Path(__file__).parent / "samples"

FAULT: Schema = {
    "type": "object",
    "description": "What was refused, by its name: badRequest, itemNotFound, and so on.",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
        "required": ["code", "message"],
    },
}
FAULTS = {
    "400": "The request is malformed, or an integer id exists in several cells.",
    "401": "There is no valid token.",
    "403": "The policy does not allow it.",
    "404": "There is no such object, or the microversion has no such endpoint.",
    "503": "A cell that may have the object does not answer.",
}
OF_CHANGES = {"409": "It cannot be done in the state that the object is in."}
WARNING = OpenApiParameter(
    "Warning",
    str,
    OpenApiParameter.HEADER,
    description="Names the cells that the response does not cover, and why.",
    response=["200"],
)


class EndpointSchema(AutoSchema):
    """The operation of an endpoint at ``view.described_version``."""

    @property
    def described(self) -> Any:
        """The viewset."""
        return self.view

    @property
    def version(self) -> Version:
        version: Version = self.described.described_version
        return version

    @property
    def endpoint(self) -> Endpoint:
        endpoint: Endpoint = self.described.endpoint
        return endpoint

    def is_excluded(self) -> bool:
        return not self.endpoint.versions.at(self.version)

    def get_operation_id(self) -> str:
        return f"{self.described.action}_{self.described.basename}".replace("-", "_")

    def get_tags(self) -> list[str]:
        return [self.described.basename]

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [{"token": []}, {"basic": []}]

    def get_summary(self) -> str:
        return self._text().partition("\n\n")[0].replace("\n", " ")

    def get_description(self) -> str:  # type: ignore[override]
        return self._text().partition("\n\n")[2]

    def _text(self) -> str:
        return re.sub("``([^`]+)``", r"`\1`", super().get_description())

    # --- requests ---------------------------------------------------------------------------

    def get_override_parameters(self) -> list[Any]:
        version = f"compute {self.version}"
        header = {"type": "string", "enum": [version], "default": version}
        parameters = [
            OpenApiParameter(
                HEADER, header, OpenApiParameter.HEADER, required=True, description="This version."
            )
        ]
        kwarg = self.described.lookup_url_kwarg
        if f"{{{kwarg}}}" in self.path:
            schema = dict(self._id_schema())
            text = schema.pop("description", "")
            parameters.append(
                OpenApiParameter(
                    kwarg, schema, OpenApiParameter.PATH, required=True, description=text
                )
            )
        query = self.endpoint.query.at(self.version) if self.endpoint.query else None
        for name, schema in (query or {"properties": {}})["properties"].items():
            items = dict(schema["items"])
            text = items.pop("description", "")
            value = items if schema.get("maxItems") == 1 else {"type": "array", "items": items}
            parameters.append(OpenApiParameter(name, value, description=text))
        return [*parameters, WARNING] if self.method == "GET" else parameters

    def _id_schema(self) -> Schema:
        declared = self.endpoint.id_schema.at(self.version) if self.endpoint.id_schema else None
        return declared or ID_SCHEMAS[self.described.lookup_fields.at(self.version)]

    def _get_filter_parameters(self) -> list[Any]:
        return []  # the schema of the query string has them

    def _get_pagination_parameters(self) -> list[Any]:
        return []

    def map_parsers(self) -> list[str]:
        return ["application/json"]

    def get_request_serializer(self) -> Any:
        body = self.endpoint.body.at(self.version) if self.endpoint.body else None
        return {"application/json": body} if body else None

    # --- responses ----------------------------------------------------------------------------

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False  # the body is described as a whole

    def map_renderers(self, attribute: str) -> list[str]:
        return ["application/json"]

    def get_response_serializers(self) -> Any:
        faults = FAULTS if self.method == "GET" else dict(sorted((FAULTS | OF_CHANGES).items()))
        refused = {code: OpenApiResponse(FAULT, text) for code, text in faults.items()}
        refused["default"] = OpenApiResponse(FAULT, "Any other refusal.")
        if self.method == "DELETE":
            return {"204": OpenApiResponse(description="It is deleted."), **refused}
        body = self._response()
        examples = list(self._examples(body))
        return {"200": OpenApiResponse(body, self.get_summary(), examples), **refused}

    def _response(self) -> Schema:
        wrapper = self.endpoint.response.at(self.version) if self.endpoint.response else None
        if wrapper is None:
            is_list = self.method == "GET" and self.described.action.startswith("list")
            wrapper = (
                collection(self.described.collection_name)
                if is_list
                else member(self.described.member_name)
            )
        return wrapper(self._shown())

    def _shown(self) -> Schema:
        return self._object(self.described.get_serializer_class().fields_at(self.version))

    def _object(self, fields: dict[str, Any]) -> Schema:
        return shown({name: self._field(name, field) for name, field in fields.items()})

    def _field(self, name: str, field: Any) -> Schema:
        if isinstance(field, dict):
            return self._object(field)
        schema: Schema = self._map_serializer_field(field, "response")  # type: ignore[no-untyped-call]
        return schema

    def _examples(self, body: Schema) -> Iterator[OpenApiExample]:
        """The newest sample of each name that is a response of the version."""
        validator = validator_of(body)
        for name in self.endpoint.samples:
            for version, samples in reversed(samples_of(self.described.basename)):
                if version <= self.version and name in samples:
                    if validator.is_valid(samples[name]):
                        yield OpenApiExample(name, samples[name], response_only=True)
                    break


@cache
def samples_of(resource: str) -> list[tuple[Version, dict[str, Any]]]:
    """The samples of a resource by name, for each version that has some, oldest first."""
    return sorted(
        (
            Version.parse(directory.name.removeprefix("v")),
            {path.stem: json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))},
        )
        for directory in (SAMPLES / resource).glob("v*")
    )
