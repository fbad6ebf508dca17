"""Dumps Nova's own JSON schemas as data; run by the Python of an environment with Nova.

    python tests/conformance/nova_schemas.py > tests/conformance/nova-schemas.json

``schemas`` are those of ``nova.api.openstack.compute.schemas`` by name, and ``endpoints`` say for
which microversions which of them holds for an action's query, body and response (``null``: no
limit).  Imports nothing of the portal's.
"""

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

RESOURCES = {
    "os-hypervisors": ("hypervisors", "HypervisorsController"),
    "os-services": ("services", "ServiceController"),
    "os-aggregates": ("aggregates", "AggregateController"),
}
#: The actions of a resource that the portal serves; all, if the resource is not listed.
SERVED = {"os-aggregates": ("index", "show")}
PARTS = {
    "query": "request_query_schemas",
    "body": "request_body_schemas",
    "response": "response_body_schemas",
}


def main() -> None:
    """Print the document."""
    here = Path(__file__).resolve().parent  # or nova.py of this directory would be imported
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    document: dict[str, Any] = {
        "nova": importlib.metadata.version("nova"),
        "schemas": {},
        "endpoints": {},
    }
    for resource, (module_name, controller_name) in RESOURCES.items():
        module = importlib.import_module(f"nova.api.openstack.compute.schemas.{module_name}")
        controllers = importlib.import_module(f"nova.api.openstack.compute.{module_name}")
        names = {
            id(value): name
            for name, value in vars(module).items()
            if isinstance(value, dict) and not name.startswith("_")
        }
        endpoints = {}
        used = set()
        for action, method in vars(getattr(controllers, controller_name)).items():
            if action.startswith("_") or action not in SERVED.get(resource, (action,)):
                continue
            parts = {
                part: [
                    {"schema": names[id(schema)], "min": version(low), "max": version(high)}
                    for schema, low, high in getattr(method, attribute)._schemas
                ]
                for part, attribute in PARTS.items()
                if hasattr(method, attribute)
            }
            if parts:
                endpoints[action] = parts
                used |= {step["schema"] for steps in parts.values() for step in steps}
        document["endpoints"][resource] = endpoints
        document["schemas"][resource] = {
            name: getattr(module, name) for name in sorted(names.values()) if name in used
        }
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


def version(request: Any) -> "str | None":
    """A microversion as text; ``None`` for an open end of a range."""
    return None if request.is_null() else request.get_string()


if __name__ == "__main__":
    main()
