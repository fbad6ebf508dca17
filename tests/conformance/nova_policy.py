"""Dumps Nova's own policy as data; run by the Python of an environment with Nova.

    python tests/conformance/nova_policy.py > tests/conformance/nova-policy.json

``rules`` are the defaults of the resources that the portal serves and of what they refer to.
``decisions`` are what Nova allows whom under several policy files.  Imports nothing of the
portal's.
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVICES = "os_compute_api:os-services"
HYPERVISORS = "os_compute_api:os-hypervisors"

#: Options of ``[oslo_policy]`` and the text of a policy file.
POLICIES: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {}),
    ({}, {f"{SERVICES}:list": "role:reader"}),
    ({}, {f"{SERVICES}:list": "@", f"{HYPERVISORS}:show": "!", f"{SERVICES}:update": ""}),
    ({}, {SERVICES: "role:reader"}),
    ({}, {SERVICES: "role:reader", f"{SERVICES}:list": "role:member"}),
    ({}, {HYPERVISORS: "rule:admin_api"}),
    ({}, {"os_compute_api:os-aggregates": "role:reader"}),
    ({}, {"context_is_admin": "role:reader"}),
    ({}, {"context_is_admin": "role:cloud_admin or role:admin"}),
    ({}, {"context_is_admin": "is_admin:True"}),
    ({}, {"admin_api": "role:reader"}),
    ({}, {"rule:admin_api": "role:reader"}),
    ({}, {"admin_or_owner": "role:reader", f"{SERVICES}:list": "rule:admin_or_owner"}),
    ({}, {f"{SERVICES}:list": "rule:project_reader_api"}),
    ({}, {f"{SERVICES}:list": "rule:project_reader_or_admin"}),
    ({}, {f"{SERVICES}:list": "project_id:%(project_id)s"}),
    ({}, {f"{SERVICES}:list": "project_id:p2 or user_id:u2"}),
    ({}, {f"{SERVICES}:list": "rule:service_api", f"{SERVICES}:delete": "rule:service_or_admin"}),
    ({}, {f"{SERVICES}:list": "service_roles:service"}),
    ({}, {f"{SERVICES}:list": "system_scope:all or domain_id:d1"}),
    ({}, {f"{SERVICES}:list": "is_admin_project:True and role:reader"}),
    ({}, {f"{SERVICES}:list": "not role:admin"}),
    ({}, {f"{SERVICES}:list": "rule:nowhere", "default": "role:member"}),
    ({}, {f"{SERVICES}:list": "nonsense"}),
    ({"enforce_new_defaults": "false"}, {}),
    ({"enforce_new_defaults": "false"}, {"admin_api": "role:reader"}),
    ({"policy_default_rule": "fallback"}, {f"{SERVICES}:list": "rule:no", "fallback": "@"}),
]

IDENTITIES: list[dict[str, Any]] = [
    {"user_id": "u1", "project_id": "p1", "roles": ["admin", "member", "reader"]},
    {"user_id": "u1", "project_id": "p1", "roles": ["Admin"]},
    {"user_id": "u2", "project_id": "p2", "roles": ["member", "reader"]},
    {"user_id": "u3", "project_id": "p1", "roles": ["reader"]},
    {"user_id": "u3", "project_id": "p1", "roles": ["manager"]},
    {"user_id": "u4", "project_id": "p1", "roles": ["service"]},
    {"user_id": "u4", "project_id": "p1", "roles": ["reader"], "service_roles": ["service"]},
    {"user_id": "u5", "project_id": "p1", "roles": ["cloud_admin"]},
    {"user_id": "u6", "system_scope": "all", "roles": ["admin"]},
    {"user_id": "u7", "domain_id": "d1", "roles": ["admin"]},
    {"user_id": "u8", "project_id": "p1", "roles": []},
]


def main() -> None:
    """Print the document."""
    here = Path(__file__).resolve().parent  # or nova.py of this directory would be imported
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    rules = [rule for name in ("base", "services", "hypervisors") for rule in defaults(name)]
    rules += [rule for rule in defaults("aggregates") if rule.name.endswith((":index", ":show"))]
    names = [rule.name for rule in rules if rule.name.startswith("os_compute_api:")]
    document = {
        "rules": [described(rule) for rule in rules],
        "decisions": [
            {"options": options, "policy": policy, "allowed": decided(options, policy, names)}
            for options, policy in POLICIES
        ],
        "identities": IDENTITIES,
    }
    json.dump(document, sys.stdout, indent=1)
    print()


def defaults(module: str) -> Any:
    """The rules of a module of ``nova.policies``."""
    return importlib.import_module(f"nova.policies.{module}").list_rules()


def described(rule: Any) -> dict[str, Any]:
    """A default rule as data."""
    old = rule.deprecated_rule
    return {
        "name": rule.name,
        "check": rule.check_str,
        "scope_types": rule.scope_types,
        "deprecated": None if old is None else [old.name, old.check_str, old.deprecated_since],
        "retired": rule.deprecated_for_removal,
    }


def decided(options: dict[str, str], policy_rules: dict[str, str], names: list[str]) -> Any:
    """The rules that allow each of ``IDENTITIES``."""
    context, policy = (importlib.import_module(f"nova.{name}") for name in ("context", "policy"))
    conf_of_nova = importlib.import_module("nova.conf").CONF
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "policy.yaml"
        file.write_text(json.dumps(policy_rules))  # JSON is YAML
        conf = Path(directory) / "nova.conf"
        lines = [f"{name} = {value}" for name, value in options.items()]
        conf.write_text("\n".join(["[oslo_policy]", f"policy_file = {file}", *lines, ""]))
        conf_of_nova.reset()
        conf_of_nova(["--config-file", str(conf)], project="nova")
        policy.reset()
        policy.init(suppress_deprecation_warnings=True)
        allowed = []
        for identity in IDENTITIES:
            who = context.RequestContext(**identity, overwrite=False)
            allowed.append([name for name in names if who.can(name, target={}, fatal=False)])
        return allowed


if __name__ == "__main__":
    main()
