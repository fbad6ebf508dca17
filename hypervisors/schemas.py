"""JSON schemas of the query strings of os-hypervisors."""

from portal.api.schemas import BOOLEAN, HOST_NAME, NON_NEGATIVE_INTEGER, once, query, repeatable
from portal.microversions import Versioned

WITH_SERVERS = {"with_servers": once(BOOLEAN)}

LIST = Versioned(
    {
        "2.1": query({}, others=True),
        "2.33": query(
            {"limit": repeatable(NON_NEGATIVE_INTEGER), "marker": repeatable({"type": "string"})},
            others=True,
        ),
        "2.53": query(
            {
                "limit": once(NON_NEGATIVE_INTEGER),
                "marker": once({"type": "string"}),
                "hypervisor_hostname_pattern": once(HOST_NAME),
                **WITH_SERVERS,
            },
            others=False,
        ),
    }
)

SHOW = Versioned({"2.1": query({}, others=True), "2.53": query(WITH_SERVERS, others=False)})
