"""Who may do what, by oslo.policy: Nova's default rules and the operator's ``policy.yaml``.

The defaults are those of Nova 34 (``nova/policies/{base,services,hypervisors,aggregates}.py``)
for the resources that the portal serves, with the old names that still stand in policy files.
"""

import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from copy import copy
from typing import Any, Final

from oslo_config import cfg
from oslo_policy import policy
from requests import RequestException

from cells.cache import Hints
from cloud.causes import one_line
from cloud.config import ConfigError, NovaConfig
from cloud.deadlines import BoundedExecutor, ServiceUnavailable
from cloud.identity import Identity

logger = logging.getLogger(__name__)

IS_ADMIN: Final = "context_is_admin"
ADMIN: Final = f"rule:{IS_ADMIN}"

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
        (IS_ADMIN, "role:admin", admin),
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


class _Values(dict[str, Any]):
    """What checks know of a requester; ``is_lasting`` as long as no server was asked about it."""

    is_lasting = True


class _ServerCheck(policy.Check):
    """A check by a server (``http:``) that is asked on one of the executor's threads.

    Raises ``ServiceUnavailable`` if the server does not answer.
    """

    def __init__(self, check: policy.Check, servers: BoundedExecutor) -> None:
        super().__init__(check.kind, check.match)
        self._check = check
        self._servers = servers

    def __call__(
        self, target: Any, creds: Any, enforcer: Any, current_rule: str | None = None
    ) -> bool:
        creds.is_lasting = False

        def ask() -> bool:
            try:
                return self._check(target, creds, enforcer, current_rule)
            except (RequestException, RuntimeError) as error:  # the latter for a timeout
                raise ServiceUnavailable(f"{self._servers.name}: {one_line(error)}") from None

        return self._servers.call(ask)


def _bounded(check: Any, servers: BoundedExecutor) -> Any:
    """The same check, in which servers are asked through the executor."""
    if isinstance(check, policy.AndCheck | policy.OrCheck):
        return type(check)([_bounded(part, servers) for part in check.rules])
    if isinstance(check, policy.NotCheck):
        return policy.NotCheck(_bounded(check.rule, servers))
    if isinstance(check, policy.Check) and check.kind in ("http", "https"):
        return _ServerCheck(check, servers)
    return check


class _Rules:
    """The rules as they were read at one time, and what they have decided.

    They need no lock: oslo.policy begins with new rules whenever a file has changed.
    """

    def __init__(self, enforcer: policy.Enforcer, servers: BoundedExecutor) -> None:
        self._enforcer = copy(enforcer)
        self._enforcer.use_conf = False  # it reads no files
        self._enforcer.rules = policy.Rules(
            {name: _bounded(check, servers) for name, check in enforcer.rules.items()},
            enforcer.rules.default_rule,
        )
        #: What was allowed: a decision costs more than a query does.
        self._decided: Hints[Any, frozenset[str]] = Hints(MAX_DECISIONS)

    def allowed(
        self, rules: Collection[str], identity: Identity, target: Mapping[str, Any]
    ) -> frozenset[str]:
        """The rules that allow it.  What a server has had a say in is asked anew each time."""
        question = (rules, identity, tuple(target.items()))
        if (decided := self._decided.get(question)) is not None:
            return decided
        values = _Values(identity.policy_values())
        own = {"project_id": identity.project_id, "user_id": identity.user_id}
        # Not known yet while the rule that decides it is checked (nova/context.py).
        values["is_admin"] = None
        is_admin = self._decide(IS_ADMIN, own, values)
        values["is_admin"] = bool(is_admin)
        decisions = {rule: self._decide(rule, dict(target), values) for rule in rules}
        allowed = frozenset(rule for rule, is_allowed in decisions.items() if is_allowed)
        if values.is_lasting and None not in (is_admin, *decisions.values()):
            self._decided.note([question], allowed)
        return allowed

    def _decide(self, rule: str, target: Mapping[str, Any], values: _Values) -> bool | None:
        """``None`` if the rule refers to itself, or asks a server that does not answer."""
        try:
            return bool(self._enforcer.authorize(rule, target, values))
        except policy.PolicyNotRegistered:
            raise
        except Exception as error:
            logger.error("rule %s of the policy is refused, as it fails: %s", rule, one_line(error))
            return None


class Policy:
    """Decides by Nova's rules; ``policy.yaml`` and ``policy.d`` are read again when they change.

    Without configuration files only the defaults count: a ``policy.yaml`` that lies on the
    machine of an embedded portal is not its own.  A file that is malformed when the portal
    starts raises ``PolicyError``; one that becomes so later is logged, and the rules read last
    stay in force.

    A rule that comes to ask a server (``http:``) is refused if that does not answer within
    ``deadline`` seconds, and without asking for ``retry_after`` seconds then.
    """

    def __init__(
        self,
        config: NovaConfig | None = None,
        *,
        policy_file: str = "",
        deadline: float = 5,
        retry_after: float = 10,
    ) -> None:
        config = config or NovaConfig()
        conf = config.oslo_config()
        defaults = [*base_rules(), *resource_rules()]
        # While oslo.policy reads a file again, rules are missing.
        self._lock = threading.Lock()
        self._servers = BoundedExecutor(
            "policy server", ServiceUnavailable, deadline=deadline, retry_after=retry_after
        )
        self._enforcer = policy.Enforcer(
            conf,
            policy_file=policy_file or None,
            rules=policy.Rules.from_dict({rule.name: rule.check_str for rule in defaults}),
            use_conf=bool(config.files or policy_file),
        )
        config.check_section(conf, "oslo_policy")
        # A thread that waits for a server is needed again once its caller has gone on.
        timeout = min(deadline, conf.oslo_policy.remote_timeout)
        conf.set_override("remote_timeout", timeout, group="oslo_policy")
        # As Nova does: every default changed at once, and a warning for each says nothing.
        self._enforcer.suppress_default_change_warnings = True
        self._enforcer.register_defaults(defaults)
        try:
            self._enforcer.load_rules(force_reload=self._enforcer.use_conf)
        except _MALFORMED as error:
            raise PolicyError(f"{self._file}: {one_line(error)}") from None
        self._read_as = self._enforcer.rules
        self._rules = _Rules(self._enforcer, self._servers)

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
            IS_ADMIN,
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
        return self._in_force().allowed(tuple(rules), identity, target)

    def _in_force(self) -> _Rules:
        """The rules that count now; the files are read again if they have changed."""
        with self._lock:
            try:
                self._enforcer.load_rules()
            except _MALFORMED as error:
                logger.error("%s: ignored until it changes: %s", self._file, one_line(error))
                self._read_as = self._enforcer.rules
            if self._enforcer.rules is not self._read_as:
                self._read_as = self._enforcer.rules
                self._rules = _Rules(self._enforcer, self._servers)
            return self._rules
