"""Stand-ins for the rest of a cloud inside the real nova-api while answers are recorded.

Loaded by Nova's paste file in place of keystone's ``authtoken``; runs in the
environment that Nova is installed in, so it imports nothing of the portal.

* keystone: the tokens ``admin`` and ``member``; a refusal is worded as keystonemiddleware's.
* nova-compute: ``get_host_uptime`` answers with the uptime that the node last reported in its
  ``stats``, and as a driver without one when there is none; ``set_host_enabled`` is accepted.
* placement: every node has its resource provider, and removing it succeeds.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

#: Roles of the user of each token; all belong to the same project.
TOKENS = {"admin": "admin,member,reader", "member": "member,reader"}
PROJECT_ID = "0123456789abcdef0123456789abcdef"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
UNAUTHORIZED = {
    "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }
}


class StandInForKeystone:
    """A WSGI filter that sets the headers that keystonemiddleware would set."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        user = environ.get("HTTP_X_AUTH_TOKEN", "")
        if user not in TOKENS:
            body = json.dumps(UNAUTHORIZED).encode()
            start_response(
                "401 Unauthorized",
                [
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(body))),
                    ("WWW-Authenticate", 'Keystone uri="http://keystone/v3"'),
                ],
            )
            return [body]
        environ |= {
            "HTTP_X_IDENTITY_STATUS": "Confirmed",
            "HTTP_X_USER_ID": user,
            "HTTP_X_USER_NAME": user,
            "HTTP_X_USER_DOMAIN_ID": "default",
            "HTTP_X_PROJECT_ID": PROJECT_ID,
            "HTTP_X_PROJECT_NAME": "operations",
            "HTTP_X_PROJECT_DOMAIN_ID": "default",
            "HTTP_X_ROLES": TOKENS[user],
        }
        return self.application(environ, start_response)


def _stand_in_for_compute() -> None:
    from nova import objects  # type: ignore[import-not-found]
    from nova.compute import rpcapi  # type: ignore[import-not-found]

    def get_host_uptime(self: Any, context: Any, host: str) -> str:
        for node in objects.ComputeNodeList.get_all(context):
            if node.host == host and (uptime := (node.stats or {}).get("uptime")):
                return str(uptime)
        raise NotImplementedError

    def set_host_enabled(self: Any, context: Any, host: str, enabled: bool) -> str:
        return "enabled" if enabled else "disabled"

    rpcapi.ComputeAPI.get_host_uptime = get_host_uptime
    rpcapi.ComputeAPI.set_host_enabled = set_host_enabled


def _stand_in_for_placement() -> None:
    from nova.scheduler.client import report  # type: ignore[import-not-found]

    def nothing(self: Any, *args: Any, **kwargs: Any) -> None:
        """Succeeds."""

    report.SchedulerReportClient.delete_resource_provider = nothing
    report.SchedulerReportClient.aggregate_remove_host = nothing


def filter_factory(
    global_conf: dict[str, str], **local_conf: str
) -> Callable[[Application], StandInForKeystone]:
    """Paste's entry point."""
    _stand_in_for_compute()
    _stand_in_for_placement()
    return StandInForKeystone
