"""JSON schemas of the bodies of os-services."""

from typing import Any

from portal.api.schemas import BOOLEAN, HOST_NAME
from portal.microversions import Versioned

TEXT = {"type": "string", "minLength": 1, "maxLength": 255}


def body(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


BY_HOST = {"host": HOST_NAME, "binary": TEXT, "disabled_reason": TEXT}

UPDATE = Versioned(
    {
        "2.1": body(BY_HOST, "host", "binary"),
        "2.11": body({**BY_HOST, "forced_down": BOOLEAN}, "host", "binary"),
        "2.53": body(
            {
                "status": {"type": "string", "enum": ["enabled", "disabled"]},
                "disabled_reason": TEXT,
                "forced_down": BOOLEAN,
            }
        ),
    }
)
