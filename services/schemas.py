"""Requests about services: JSON schemas, and what the body of a PUT asks for; and responses."""

from collections.abc import Callable
from typing import Any, TypeAlias

from portal.api.faults import BadRequest
from portal.api.schemas import (
    BOOLEAN,
    HOST_NAME,
    Schema,
    as_bool,
    body,
    collection,
    member,
    query,
    repeatable,
    shown,
)
from portal.microversions import Versioned
from services.changes import Change
from services.filters import ServiceFilterSet

Body: TypeAlias = dict[str, Any]


def list_query(filterset_class: type[ServiceFilterSet]) -> Versioned[Any]:
    """The query string of a list: the filters, and up to 2.74 anything else, which is ignored."""
    filters = {
        name: repeatable(
            {"type": "string", "description": f"The {name} of the services, exactly; all if empty."}
        )
        for name in filterset_class.base_filters
    }
    return Versioned({"2.1": query(filters, others=True), "2.75": query(filters, others=False)})


LIST = list_query(ServiceFilterSet)

TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
REASON = TEXT | {"description": "Why the service is disabled."}
FORCED_DOWN = BOOLEAN | {
    "description": "Whether the service counts as down, whatever it reports: true only once its "
    "host has been fenced."
}
BY_HOST = {
    "host": HOST_NAME | {"description": "The host of the service."},
    "binary": TEXT | {"description": "The binary of the service, such as nova-compute."},
    "disabled_reason": REASON,
}

UPDATE = Versioned(
    {
        "2.1": body(BY_HOST, "host", "binary"),
        "2.11": body({**BY_HOST, "forced_down": FORCED_DOWN}, "host", "binary"),
        "2.53": body(
            {
                "status": {
                    "type": "string",
                    "enum": ["enabled", "disabled"],
                    "description": "Whether new servers are scheduled to the host.",
                },
                "disabled_reason": REASON,
                "forced_down": FORCED_DOWN,
            }
        ),
    }
)


def change(body: Body) -> Change:
    """What a PUT to a service asks for, from 2.53."""
    forced_down = body.get("forced_down")
    return Change(
        status=body.get("status"),
        reason=body.get("disabled_reason"),
        forced_down=None if forced_down is None else as_bool(forced_down),
    )


# --- before 2.53 the URL of a PUT names the action --------------------------------------------


def _enable(body: Body) -> Change:
    return Change(status="enabled")


def _disable(body: Body) -> Change:
    """A reason in the body does not count here."""
    return Change(status="disabled")


def _disable_log_reason(body: Body) -> Change:
    if "disabled_reason" not in body:
        raise BadRequest("Missing disabled reason field")
    return Change(status="disabled", reason=body["disabled_reason"])


def _force_down(body: Body) -> Change:
    if "forced_down" not in body:
        raise BadRequest("Missing forced_down field")
    return Change(forced_down=as_bool(body["forced_down"]))


_ACTIONS: dict[str, Callable[[Body], Change]] = {
    "enable": _enable,
    "disable": _disable,
    "disable-log-reason": _disable_log_reason,
}

#: What a PUT asks for, by the action in its URL.
ACTIONS = Versioned(
    {"2.1": _ACTIONS, "2.11": {**_ACTIONS, "force-down": _force_down}, "2.53": None}
)


# --- descriptions -------------------------------------------------------------------------------

_UNKNOWN: Schema = shown(
    {
        "binary": {"type": "string", "description": "nova-compute."},
        "host": {"type": "string", "description": "A host of a cell that does not answer."},
        "status": {"const": "UNKNOWN", "description": "That of a cell that does not answer."},
    }
)
LISTED = Versioned(
    {"2.1": collection("services"), "2.69": collection("services", or_else=_UNKNOWN)}
)
_AS_ASKED: Schema = {
    "host": {"type": "string"},
    "binary": {"type": "string"},
    "status": {"type": "string"},
    "disabled_reason": {"type": "string"},
    "forced_down": {"type": "boolean"},
}
UPDATED = Versioned(
    {
        "2.1": lambda _: shown(
            {"service": shown(_AS_ASKED, "status", "disabled_reason", "forced_down")}
        ),
        "2.53": member("service"),
    }
)


def _action_names(*names: str) -> Schema:
    return {"type": "string", "enum": list(names), "description": "What is done to the service."}


#: The id in the URL of a PUT; from 2.53 it is that of the service.
ACTION_NAMES = Versioned(
    {
        "2.1": _action_names(*_ACTIONS),
        "2.11": _action_names(*_ACTIONS, "force-down"),
        "2.53": None,
    }
)
