"""Nova's policy, checked for the endpoint that was asked for."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from portal.api.faults import Forbidden
from portal.roles import may


class NovaPolicy(BasePermission):
    """Refuse as Nova does, naming the policy rule: ``os_compute_api:os-services:list``.

    The view names the rule in ``policy``.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not may(request.user, view.policy):
            raise Forbidden(f"Policy doesn't allow {view.policy} to be performed.")
        return True
