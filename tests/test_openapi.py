"""The OpenAPI documents: valid, complete, and true of what the API answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hypervisors.demo.fleet import Fleet
from portal.api.documents import document
from portal.microversions import HISTORY, MAX_VERSION, MIN_VERSION, Version
from portal.wsgi import application
from tests.clients import ApiClient

pytestmark = pytest.mark.any_engine

VERSIONS = pytest.mark.parametrize("version", [*dict(HISTORY), MAX_VERSION], ids=str)


def operations(version: Version) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document(version)["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def answer_schema(operation: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return schema


@VERSIONS
def test_documents_are_valid_and_show_recorded_answers(version: Version) -> None:
    validate(document(version))
    for method, _path, operation in operations(version):
        assert operation["summary"]
        assert all(each["description"] for each in operation.get("parameters", []))
        if method == "delete":
            assert "204" in operation["responses"]
            continue
        content = operation["responses"]["200"]["content"]["application/json"]
        assert content["examples"]
        for example in content["examples"].values():
            Draft202012Validator(content["schema"]).validate(example["value"])


def test_a_document_has_the_endpoints_of_its_version_only() -> None:
    def paths(text: str) -> set[str]:
        return {path.removeprefix("/v2.1/os-") for path in document(Version.parse(text))["paths"]}

    hypervisors = {"hypervisors", "hypervisors/detail", "hypervisors/{id}"}
    services = {"services", "services/{id}"}
    old = {f"hypervisors/{name}" for name in ("statistics", "{id}/uptime")}
    oldest = {f"hypervisors/{{id}}/{name}" for name in ("search", "servers")}
    assert paths("2.52") >= hypervisors | services | old | oldest
    assert paths("2.53") & oldest == set()
    assert paths("2.88") & (old | oldest) == set()


def test_every_field_is_described() -> None:
    for version in dict(HISTORY):
        for method, path, operation in operations(version):
            if method == "get":
                schemas = [answer_schema(operation)]
                while schemas:
                    schema = schemas.pop()
                    for name, each in schema.get("properties", {}).items():
                        is_object = {"properties", "items"} & each.keys()
                        named = name in ("rel", "href", "uuid", "name", "binary")
                        assert is_object or named or each.get("description"), (path, name)
                        schemas.append(each)
                    schemas += schema.get("anyOf", [])
                    if "items" in schema:
                        schemas.append(schema["items"])
    service = answer_schema(document(Version(2, 53))["paths"]["/v2.1/os-services/{id}"]["put"])
    fields = service["properties"]["service"]["properties"]
    assert fields["disabled_reason"]["description"] == "Why it is disabled."
    assert fields["forced_down"]["type"] == ["boolean", "null"]


@VERSIONS
def test_live_answers_are_as_described(fleet: Fleet, api: ApiClient, version: Version) -> None:
    nodes = api.get("/os-hypervisors/detail", "2.53")["hypervisors"]
    shown = next(each for each in nodes if each["state"] == "up" and each["status"] == "enabled")
    names = {"search": shown["hypervisor_hostname"], "servers": shown["hypervisor_hostname"]}
    before = {
        each["hypervisor_hostname"]: each["id"]
        for each in api.get("/os-hypervisors", "2.52")["hypervisors"]
    }
    ids = list(before.values())
    # An integer id that no other cell has; such are the odd corners of the demo.
    unique = next(id for id in ids if ids.count(id) == 1)
    asked = 0
    for method, path, operation in operations(version):
        if method != "get":
            continue
        if "os-aggregates" in path:
            continue
        id = names.get(path.rpartition("/")[2], shown["id"] if version >= (2, 53) else unique)
        answer = api.get(path.format(id=id), str(version))
        if path.endswith("/uptime") and answer.status in (400, 501):
            continue  # none was reported; or the service is down
        assert answer.status == 200, (path, answer.text)
        validator = Draft202012Validator(answer_schema(operation), format_checker=FormatChecker())
        validator.validate(answer.body)
        asked += 1
        if "with_servers" in {each["name"] for each in operation["parameters"]}:
            more = api.get(f"{path.format(id=id)}?with_servers=true", str(version))
            validator.validate(more.body)
    assert asked >= 4


CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.mark.parametrize("version", [MIN_VERSION, Version(2, 53), MAX_VERSION], ids=str)
def test_generated_requests_are_answered_as_described(
    fleet: Fleet, admin_token: str, version: Version
) -> None:
    url = f"/docs/openapi.json?microversion={version}"
    schema = schemathesis.openapi.from_wsgi(url, application)

    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]

        @settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(headers={"X-Auth-Token": admin_token}, checks=CHECKS)

        ask()


# --- the page -------------------------------------------------------------------------------


def test_the_page_shows_the_document_offline(client: Client) -> None:
    page = client.get("/docs/?microversion=2.60")
    text = page.content.decode()
    assert 'data-document="openapi.json?microversion=2.60"' in text
    assert "https://" not in text
    assert "<style" not in text
    assert page.headers["Content-Security-Policy"].count("unsafe") == 0
    answer = client.get("/docs/openapi.json?microversion=2.60")
    assert answer.headers["Content-Type"] == "application/json"
    made = json.loads(answer.content)
    assert made["openapi"] == "3.1.0"
    assert "(microversion 2.60)" in made["info"]["version"]
    assert json.loads(client.get("/docs/openapi.json").content) == document(MAX_VERSION)


@pytest.mark.parametrize("version", ["2.0", "2.9999", "3.1", "x", "2.053"])
def test_a_version_that_is_not_served_has_no_document(client: Client, version: str) -> None:
    assert client.get(f"/docs/openapi.json?microversion={version}").status_code == 400
