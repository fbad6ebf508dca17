"""Nova's policy rules, checked against the roles of the user."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from portal.api.faults import Forbidden
from portal.roles import may_change, may_read


class NovaPolicy(BasePermission):
    """Refuse as Nova does, naming the policy rule: ``os_compute_api:os-services:list``.

    The view names the rule in ``policy``.  A token may be limited to reading.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        allowed = may_read if request.method in SAFE_METHODS else may_change
        read_only = getattr(request.auth, "read_only", False) and allowed is may_change
        if read_only or not allowed(request.user):
            raise Forbidden(f"Policy doesn't allow {view.policy} to be performed.")
        return True
