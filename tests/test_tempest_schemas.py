"""Answers conform to the response schemas of Tempest, with which clients are tested.

Tempest has schemas of these resources for 2.1, 2.11, 2.28, 2.33 and 2.53; each is checked on both
ends of the versions that it holds for.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest
from jsonschema import Draft4Validator
from pytest_django import Settings
from tempest.lib.common.jsonschema_validator import FORMAT_CHECKER  # type: ignore[import-untyped]

from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.conformance import fleet
from tests.conformance.nova import SERVICE_DOWN_TIME
from tests.conformance.picks import Picks

SCHEMAS = "tempest.lib.api_schema.response.compute"
SERVICES = {"v2_1": ("2.1", "2.10"), "v2_11": ("2.11", "2.52"), "v2_53": ("2.53", "2.104")}
HYPERVISORS = {
    "v2_1": ("2.1", "2.27"),
    "v2_28": ("2.28", "2.32"),
    "v2_33": ("2.33", "2.52"),
    "v2_53": ("2.53", "2.87"),
}


@pytest.fixture
def picks(cloud: Cloud, settings: Settings) -> Picks:
    settings.SERVICE_DOWN_TIME = SERVICE_DOWN_TIME
    rows = fleet.load()
    for place in Picks(rows).cells:  # Nova also returns nulls, which the schemas do not allow
        rows[place]["compute_nodes"] = [
            row for row in rows[place]["compute_nodes"] if row["running_vms"] is not None
        ]
    fleet.World(rows).fill()
    return Picks(rows)


def cases(modules: Mapping[str, tuple[str, ...]]) -> list[Any]:
    return [(module, version) for module, versions in modules.items() for version in versions]


def check(module: str, name: str, status: int, body: Any) -> None:
    """Fail unless the answer conforms to a schema."""
    schema = getattr(import_module(f"{SCHEMAS}.{module}"), name)
    assert status in schema["status_code"], body
    Draft4Validator(schema["response_body"], format_checker=FORMAT_CHECKER).validate(body)


@pytest.mark.any_engine
@pytest.mark.parametrize(("module", "version"), cases(SERVICES))
def test_services(api: ApiClient, picks: Picks, module: str, version: str) -> None:
    listed = api.get("/os-services", version)
    assert listed["services"]
    check(f"{module}.services", "list_services", listed.status, listed.body)
    service = picks.plain()
    named = {"host": service["host"], "binary": service["binary"]}
    if module == "v2_53":
        for body in (
            {"status": "disabled", "disabled_reason": "test"},
            {"status": "enabled"},
            {"forced_down": True},
        ):
            updated = api.put(f"/os-services/{service['uuid']}", body, version)
            check(f"{module}.services", "update_service", updated.status, updated.body)
        return
    for action, more, name in (
        ("disable", {}, "enable_disable_service"),
        ("enable", {}, "enable_disable_service"),
        ("disable-log-reason", {"disabled_reason": "test"}, "disable_log_reason"),
        ("force-down", {"forced_down": True}, "update_forced_down"),
    ):
        if action == "force-down" and module == "v2_1":
            continue
        done = api.put(f"/os-services/{action}", named | more, version)
        check(f"{module}.services", name, done.status, done.body)


@pytest.mark.any_engine
@pytest.mark.parametrize(("module", "version"), cases(HYPERVISORS))
def test_hypervisors(api: ApiClient, picks: Picks, module: str, version: str) -> None:
    by_uuid = module == "v2_53"
    node = picks.node_of(picks.plain()) if by_uuid else picks.unique("compute_nodes")[1]
    one = node["uuid"] if by_uuid else node["id"]
    paths = [
        ("", "list_search_hypervisors"),
        ("/detail", "list_hypervisors_detail"),
        ("/statistics", "get_hypervisor_statistics"),
        (f"/{one}", "get_hypervisor"),
        (f"/{one}/uptime", "get_hypervisor_uptime"),
    ]
    if by_uuid:
        paths += [
            ("?with_servers=true", "list_search_hypervisors"),
            ("/detail?with_servers=true", "list_hypervisors_detail"),
            (f"/{one}?with_servers=true", "get_hypervisor"),
        ]
    else:
        name = picks.node_of(picks.plain())["hypervisor_hostname"]
        paths += [
            (f"/{name}/search", "list_search_hypervisors"),
            (f"/{name}/servers", "get_hypervisors_servers"),
        ]
    if module in ("v2_33", "v2_53"):
        paths += [
            ("?limit=2", "list_search_hypervisors"),
            ("/detail?limit=2", "list_hypervisors_detail"),
        ]
    for path, name in paths:
        answer = api.get(f"/os-hypervisors{path}", version)
        check(f"{module}.hypervisors", name, answer.status, answer.body)
