"""JSON schemas of the query strings of os-aggregates, and of the id in its URLs."""

from portal.api.schemas import Schema, query
from portal.microversions import Versioned

#: There are no parameters; up to 2.101 others are ignored.
NO_PARAMETERS = Versioned({"2.1": query({}, others=True), "2.102": query({}, others=False)})

ID: Versioned[Schema] = Versioned({"2.1": {"type": "integer", "description": "The integer id."}})
