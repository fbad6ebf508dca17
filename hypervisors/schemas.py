"""JSON schemas of the query strings of os-hypervisors, and of its responses."""

from typing import Any

from hypervisors.models import CAPACITY
from portal.api.schemas import (
    BOOLEAN,
    HOST_NAME,
    NON_NEGATIVE_INTEGER,
    Schema,
    collection,
    member,
    once,
    query,
    repeatable,
    shown,
)
from portal.microversions import Versioned

WITH_SERVERS = {
    "with_servers": once(BOOLEAN | {"description": "Whether each hypervisor names its servers."})
}
LIMIT: Schema = NON_NEGATIVE_INTEGER | {
    "description": "The most hypervisors in a page; API_MAX_LIMIT if it is greater or not given."
}
MARKER: Schema = {
    "type": "string",
    "description": "The id of the last hypervisor of the page before.",
}
PATTERN: Schema = HOST_NAME | {
    "description": "A part of the hypervisor's name; % and _ are wildcards."
}

LIST = Versioned(
    {
        "2.1": query({}, others=True),
        "2.33": query(
            {"limit": repeatable(LIMIT), "marker": repeatable(MARKER)},
            others=True,
        ),
        "2.53": query(
            {
                "limit": once(LIMIT),
                "marker": once(MARKER),
                "hypervisor_hostname_pattern": once(PATTERN),
                **WITH_SERVERS,
            },
            others=False,
        ),
    }
)

SHOW = Versioned({"2.1": query({}, others=True), "2.53": query(WITH_SERVERS, others=False)})

# --- responses ------------------------------------------------------------------------------

SERVERS: Schema = {
    "type": "array",
    "description": "The servers on the hypervisor's host, if they are asked for.",
    "items": shown({"uuid": {"type": "string"}, "name": {"type": "string"}}),
}

LISTED = Versioned(
    {
        "2.1": collection("hypervisors"),
        "2.33": collection("hypervisors", links=True),
        "2.53": collection("hypervisors", links=True, servers=SERVERS),
    }
)
FOUND = Versioned({"2.1": collection("hypervisors")})
FOUND_WITH_SERVERS = Versioned({"2.1": collection("hypervisors", servers=SERVERS)})
SHOWN = Versioned({"2.1": member("hypervisor"), "2.53": member("hypervisor", servers=SERVERS)})
NAME: Versioned[Schema] = Versioned({"2.1": PATTERN})

_SUMS: dict[str, Any] = {
    "count": {"type": "integer", "description": "Hypervisors of live, enabled services."}
} | {name: {"type": "integer", "description": "The sum over them."} for name in CAPACITY}
STATISTICS = Versioned({"2.1": lambda _: shown({"hypervisor_statistics": shown(_SUMS)})})
