"""Requests for changes, from the API's words into those of the actions and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oslo_utils.uuidutils import is_uuid_like
from rest_framework.request import Request

from audit.journal import Actor
from audit.models import Channel
from portal.api.faults import BadRequest, ConflictFault, Fault, ItemNotFound, ServiceUnavailable
from portal.api.schemas import as_bool
from portal.roles import roles_of
from services.actions import Change, Conflict, Invalid, Missing, Refused, ServiceRef, Unavailable

FAULTS: dict[type[Refused], type[Fault]] = {
    Invalid: BadRequest,
    Missing: ItemNotFound,
    Conflict: ConflictFault,
    Unavailable: ServiceUnavailable,
}


@contextmanager
def refusals_as_faults() -> Iterator[None]:
    """Answer an action's refusal with the fault that says so."""
    try:
        yield
    except Refused as refusal:
        raise FAULTS[type(refusal)](refusal.message) from refusal


def actor_of(request: Request) -> Actor:
    """Who sent the request."""
    user = request.user
    return Actor(
        username=user.get_username(),
        channel=Channel.API,
        request_id=getattr(request, "request_id", ""),
        remote_address=request.META.get("REMOTE_ADDR") or None,
        user_id=str(user.pk),
        project_id=getattr(request.auth, "project_id", "") or None,
        roles=tuple(sorted(roles_of(user))),
    )


# --- ids --------------------------------------------------------------------------------------


def check_uuid(id: str) -> None:
    """Raise ``BadRequest`` unless ``id`` looks like a uuid to Nova."""
    if not is_uuid_like(id):
        raise BadRequest(f"Invalid uuid {id}")


def ref_by_uuid(id: str) -> ServiceRef:
    """The service with that uuid."""
    check_uuid(id)
    return ServiceRef(uuid=id)


def ref_by_integer(id: str) -> ServiceRef:
    """The service with that integer id, if it is the only one of all cells."""
    try:
        return ServiceRef(id=int(id.encode("ascii")), text=id)
    except ValueError:  # other scripts' digits are none to Nova
        raise BadRequest("Invalid input received: id must be an integer") from None


# --- PUT before 2.53 --------------------------------------------------------------------------


def enable(body: dict[str, Any]) -> Change:
    return Change(status="enabled")


def disable(body: dict[str, Any]) -> Change:
    """A reason in the body does not count here."""
    return Change(status="disabled")


def disable_log_reason(body: dict[str, Any]) -> Change:
    if "disabled_reason" not in body:
        raise BadRequest("Missing disabled reason field")
    return Change(status="disabled", reason=body["disabled_reason"])


def force_down(body: dict[str, Any]) -> Change:
    if "forced_down" not in body:
        raise BadRequest("Missing forced_down field")
    return Change(forced_down=as_bool(body["forced_down"]))


NAMED_CHANGES = {
    "enable": enable,
    "disable": disable,
    "disable-log-reason": disable_log_reason,
}


def as_asked(ref: ServiceRef, change: Change) -> dict[str, Any]:
    """The answer: what was asked for, not the service."""
    answer: dict[str, Any] = {"host": ref.host, "binary": ref.binary}
    if change.status is not None:
        answer["status"] = change.status
    if change.reason is not None:
        answer["disabled_reason"] = change.reason
    if change.forced_down is not None:
        answer["forced_down"] = change.forced_down
    return answer
