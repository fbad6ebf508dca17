"""Who may do what, by oslo.policy: Nova's default rules and the operator's ``policy.yaml``.

The defaults are those of Nova 34 (``nova/policies/{base,services,hypervisors,aggregates}.py``)
for the resources that the portal serves, with the old names that still stand in policy files.
"""

import logging
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from oslo_config import cfg
from oslo_policy import policy

from cells.cache import Hints
from cloud.causes import one_line
from cloud.config import ConfigError, NovaConfig
from cloud.identity import Identity

logger = logging.getLogger(__name__)

ADMIN: Final = "rule:context_is_admin"

SERVICES: Final = "os_compute_api:os-services"
HYPERVISORS: Final = "os_compute_api:os-hypervisors"
AGGREGATES: Final = "os_compute_api:os-aggregates"

#: The rules of each resource, and whether its older, undivided rule is still understood.
ACTIONS: Final[Mapping[str, tuple[tuple[str, ...], bool]]] = {
    SERVICES: (("list", "update", "delete"), True),
    HYPERVISORS: (
        ("list", "list-detail", "statistics", "show", "uptime", "search", "servers"),
        True,
    ),
    AGGREGATES: (("index", "show"), False),
}

_SINCE: Final = "21.0.0"
_REASON: Final = "Nova 21 divided it and made the project personas of Keystone its defaults."


#: How many decisions are remembered, each with the roles and rules that it was about.
MAX_DECISIONS: Final = 10_000

#: What oslo.policy raises for a file that is no YAML, no mapping of texts, or not readable.
_MALFORMED: Final = (ValueError, TypeError, AttributeError, cfg.Error)


class PolicyError(ConfigError):
    """The operator's policy file cannot be used; ``str()`` of it is one line that says why."""


class IsAdmin(policy.Check):
    """``is_admin:True``: whether the rule ``context_is_admin`` made the requester one.

    As ``nova.policy.IsAdminCheck``.
    """

    def __init__(self, kind: str, match: str) -> None:
        self.expected = match.lower() == "true"
        super().__init__(kind, str(self.expected))

    def __call__(
        self, target: Any, creds: Mapping[str, Any], enforcer: Any, current_rule: str | None = None
    ) -> bool:
        return bool(creds["is_admin"] == self.expected)


policy.register("is_admin", IsAdmin)


def _deprecated(name: str, check: str) -> policy.DeprecatedRule:
    return policy.DeprecatedRule(
        name=name, check_str=check, deprecated_reason=_REASON, deprecated_since=_SINCE
    )


def base_rules() -> list[policy.RuleDefault]:
    """The rules that others refer to (``nova/policies/base.py``)."""
    # The old names of these two begin with "rule:" in Nova too.
    admin = _deprecated("rule:admin_api", "is_admin:True")
    owner = _deprecated("rule:admin_or_owner", "is_admin:True or project_id:%(project_id)s")
    of_project = "project_id:%(project_id)s"
    rules = [
        ("context_is_admin", "role:admin", admin),
        ("project_manager_api", f"role:manager and {of_project}", admin),
        ("project_member_api", f"role:member and {of_project}", owner),
        ("project_reader_api", f"role:reader and {of_project}", owner),
        ("service_api", "role:service", admin),
        ("project_manager_or_admin", f"rule:project_manager_api or {ADMIN}", admin),
        ("project_member_or_admin", f"rule:project_member_api or {ADMIN}", owner),
        ("project_reader_or_admin", f"rule:project_reader_api or {ADMIN}", owner),
        ("service_or_admin", f"rule:service_api or {ADMIN}", admin),
    ]
    retired = [
        ("admin_or_owner", "is_admin:True or project_id:%(project_id)s"),
        ("admin_api", "is_admin:True"),
    ]
    return [
        *(policy.RuleDefault(name, check, deprecated_rule=old) for name, check, old in rules),
        *(
            policy.RuleDefault(
                name,
                check,
                deprecated_for_removal=True,
                deprecated_reason=_REASON,
                deprecated_since=_SINCE,
            )
            for name, check in retired
        ),
    ]


def resource_rules() -> list[policy.RuleDefault]:
    """The rules of the resources that the portal serves; each is for administrators."""
    return [
        policy.RuleDefault(
            f"{resource}:{action}",
            ADMIN,
            scope_types=["project"],
            deprecated_rule=_deprecated(resource, "rule:admin_api") if divided else None,
        )
        for resource, (actions, divided) in ACTIONS.items()
        for action in actions
    ]


RULES: Final = tuple(
    f"{resource}:{action}" for resource, (actions, _) in ACTIONS.items() for action in actions
)


class Policy:
    """Decides by Nova's rules; ``policy.yaml`` and ``policy.d`` are read again when they change.

    Without configuration files only the defaults count: a ``policy.yaml`` that lies on the
    machine of an embedded portal is not its own.  A file that is malformed when the portal
    starts raises ``PolicyError``; one that becomes so later is logged, and the rules read last
    stay in force.
    """

    def __init__(self, config: NovaConfig | None = None, *, policy_file: str = "") -> None:
        config = config or NovaConfig()
        defaults = [*base_rules(), *resource_rules()]
        # One decision at a time: while oslo.policy reads a file again, rules are missing.
        self._lock = threading.Lock()
        #: What the rules in force have allowed: a decision costs more than a query does.
        self._decided: Hints[Any, frozenset[str]] = Hints(MAX_DECISIONS)
        self._rules_decided_by: object = None
        #: Whether some rules (``http:``) are decided elsewhere, each time anew.
        self._asks_servers = False
        self._enforcer = policy.Enforcer(
            config.oslo_config(),
            policy_file=policy_file or None,
            rules=policy.Rules.from_dict({rule.name: rule.check_str for rule in defaults}),
            use_conf=bool(config.files or policy_file),
        )
        # As Nova does: every default changed at once, and a warning for each says nothing.
        self._enforcer.suppress_default_change_warnings = True
        self._enforcer.register_defaults(defaults)
        try:
            self._enforcer.load_rules(force_reload=self._enforcer.use_conf)
        except _MALFORMED as error:
            raise PolicyError(f"{self._file}: {one_line(error)}") from None

    @property
    def _file(self) -> str:
        return self._enforcer.policy_path or self._enforcer.policy_file

    def authorize(
        self, rule: str, identity: Identity, target: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether ``rule`` allows it.  ``target`` is what it is done to; Nova gives these none.

        A token that is scoped to the system or a domain is refused, as in Nova.  Raises
        ``oslo_policy.policy.PolicyNotRegistered`` for a rule there is not.
        """
        return rule in self._allowed((rule,), identity, target or {})

    def allowed(self, identity: Identity) -> frozenset[str]:
        """Those of ``RULES`` that allow ``identity``: what the console may offer."""
        return self._allowed(RULES, identity, {})

    def is_admin(self, identity: Identity) -> bool:
        """Whether Nova takes ``identity`` for an administrator (rule ``context_is_admin``)."""
        return self.authorize(
            "context_is_admin",
            identity,
            {"project_id": identity.project_id, "user_id": identity.user_id},
        )

    def is_default(self, rule: str) -> bool:
        """Whether no file of the operator's has the rule, under its name or its older one."""
        with self._lock:
            names = {rule}
            deprecated = self._enforcer.registered_rules[rule].deprecated_rule
            if deprecated is not None:
                names.add(deprecated.name)
            return names.isdisjoint(self._enforcer.file_rules)

    def _allowed(
        self, rules: Iterable[str], identity: Identity, target: Mapping[str, Any]
    ) -> frozenset[str]:
        question = (tuple(rules), identity, tuple(target.items()))
        with self._lock:
            self._forget_decisions_of_other_rules()
            if (decided := self._decided.get(question)) is not None:
                return decided
            values = identity.policy_values()
            own = {"project_id": identity.project_id, "user_id": identity.user_id}
            # Not known yet while the rule that decides it is checked (nova/context.py).
            values["is_admin"] = None
            is_admin = self._decide("context_is_admin", own, values)
            values["is_admin"] = bool(is_admin)
            decisions = {rule: self._decide(rule, dict(target), values) for rule in rules}
            allowed = frozenset(rule for rule, decision in decisions.items() if decision)
            if not self._asks_servers and None not in (is_admin, *decisions.values()):
                self._decided.note([question], allowed)
            return allowed

    def _forget_decisions_of_other_rules(self) -> None:
        """Read the files again if they have changed, as each decision does."""
        try:
            self._enforcer.load_rules()
        except _MALFORMED as error:
            self._log_malformed(error)
        # oslo.policy begins with new rules whenever a file has changed.
        if self._enforcer.rules is not self._rules_decided_by:
            self._decided.clear()
            self._rules_decided_by = self._enforcer.rules
            self._asks_servers = re.search(r"\bhttps?:", str(self._enforcer.rules)) is not None

    def _decide(self, rule: str, target: Mapping[str, Any], values: dict[str, Any]) -> bool | None:
        """Whether the rule allows it; ``None``, which allows nothing, if it cannot be decided.

        Such a rule refers to itself, or asks a server (``http:``) that does not answer.
        """
        try:
            return bool(self._enforcer.authorize(rule, target, values))
        except policy.PolicyNotRegistered:
            raise
        except Exception as error:
            logger.error("%s: %s is refused, as it fails: %s", self._file, rule, one_line(error))
            return None

    def _log_malformed(self, error: Exception) -> None:
        """The file has changed and is malformed; oslo.policy has kept the rules before it."""
        logger.error("%s: ignored until it changes: %s", self._file, one_line(error))
