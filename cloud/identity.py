"""Who is asking, in the words of Keystone; local users are described in them too."""

import datetime
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Identity:
    """A user with the scope and roles that a token, a login or a local account gives.

    Exactly one of ``project_id``, ``domain_id`` and ``system_scope`` is set in a scoped token.
    ``expires_at`` is aware, and ``None`` for local users.  The ``service_*`` fields describe the
    service that passes the request on, if it sent a valid service token.
    """

    user_id: str
    user_name: str = ""
    user_domain_id: str | None = None
    user_domain_name: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    project_domain_name: str | None = None
    domain_id: str | None = None
    system_scope: str | None = None
    roles: tuple[str, ...] = ()
    is_admin_project: bool = True
    expires_at: datetime.datetime | None = None
    service_user_id: str | None = None
    service_user_domain_id: str | None = None
    service_project_id: str | None = None
    service_project_domain_id: str | None = None
    service_roles: tuple[str, ...] = ()

    @property
    def is_of_keystone(self) -> bool:
        """Whether Keystone vouches for it; the portal itself does for its own accounts."""
        return self.expires_at is not None

    @property
    def qualified_name(self) -> str:
        """``name@domain``, which no other user of the cloud has."""
        return f"{self.user_name}@{self.user_domain_name or self.user_domain_id}"

    def policy_values(self) -> dict[str, Any]:
        """What policy rules can refer to: the names of ``oslo_context``'s ``to_policy_values``."""
        return {
            "user_id": self.user_id,
            "user_domain_id": self.user_domain_id,
            "system_scope": self.system_scope,
            "domain_id": self.domain_id,
            "project_id": self.project_id,
            "project_domain_id": self.project_domain_id,
            "roles": list(self.roles),
            "is_admin_project": self.is_admin_project,
            "service_user_id": self.service_user_id,
            "service_user_domain_id": self.service_user_domain_id,
            "service_project_id": self.service_project_id,
            "service_project_domain_id": self.service_project_domain_id,
            "service_roles": list(self.service_roles),
        }
