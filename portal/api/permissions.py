"""Nova's policy, checked for the endpoint that was asked for."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from portal.api.faults import Forbidden
from portal.roles import may


class NovaPolicy(BasePermission):
    """Refuse as Nova does, naming the policy rule: ``os_compute_api:os-services:list``.

    The view names the rule in ``policy``.  A token may be limited to reading.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        read_only = getattr(request.auth, "read_only", False)
        if (read_only and request.method not in SAFE_METHODS) or not may(request.user, view.policy):
            raise Forbidden(f"Policy doesn't allow {view.policy} to be performed.")
        return True
