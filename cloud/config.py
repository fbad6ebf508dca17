"""What the portal takes from Nova's configuration files, read by oslo.config.

Only options that are read here are declared; all others in the files are ignored.  Their names
and defaults are Nova 34's (``nova/conf``, oslo.db, oslo.messaging, oslo.policy).  Libraries that
declare options of their own (keystonemiddleware, keystoneauth1, oslo.policy, oslo.messaging) are
given a fresh ``ConfigOpts`` over the same files, see ``NovaConfig.oslo_config``.

It can be imported by the settings: it needs neither Django's settings nor a slow library.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from oslo_config import cfg, iniparser

from cloud.causes import one_line

#: An option's section and name; the section is ``DEFAULT`` or as it stands in brackets.
Option = tuple[str, str]

#: Which option a setting comes from where the environment has no variable of its name.
OPTION_OF: Final[Mapping[str, Option]] = MappingProxyType(
    {
        "NOVA_API_DATABASE_URL": ("api_database", "connection"),
        "NOVA_DATABASE_URL": ("database", "connection"),
        "NOVA_TRANSPORT_URL": ("DEFAULT", "transport_url"),
        "NOVA_CONTROL_EXCHANGE": ("DEFAULT", "control_exchange"),
        "NOVA_COMPUTE_RPC_LEVEL": ("upgrade_levels", "compute"),
        "SERVICE_DOWN_TIME": ("DEFAULT", "service_down_time"),
        "DEFAULT_AVAILABILITY_ZONE": ("DEFAULT", "default_availability_zone"),
        "INTERNAL_AVAILABILITY_ZONE": ("DEFAULT", "internal_service_availability_zone"),
        "API_MAX_LIMIT": ("api", "max_limit"),
        "NOTIFICATION_TRANSPORT_URL": ("oslo_messaging_notifications", "transport_url"),
        "NOTIFICATION_TOPICS": ("notifications", "versioned_notifications_topics"),
        "POLICY_FILE": ("oslo_policy", "policy_file"),
    }
)

#: What any other option may refer to, as ``$my_ip`` or ``$host``.
_REFERRED_TO: Final = (cfg.StrOpt("my_ip"), cfg.StrOpt("host"))

_DECLARED: Final[Mapping[str, tuple[cfg.Opt, ...]]] = MappingProxyType(
    {
        "DEFAULT": (
            cfg.StrOpt("transport_url", secret=True),
            cfg.StrOpt("control_exchange", default="nova"),
            *_REFERRED_TO,
            cfg.IntOpt("service_down_time", default=60, min=1),
            cfg.StrOpt("default_availability_zone", default="nova"),
            cfg.StrOpt("internal_service_availability_zone", default="internal"),
        ),
        "api": (cfg.IntOpt("max_limit", default=1000, min=0),),
        "api_database": (cfg.StrOpt("connection", secret=True),),
        "database": (cfg.StrOpt("connection", secret=True),),
        "upgrade_levels": (cfg.StrOpt("compute"),),
        "notifications": (
            cfg.StrOpt(
                "notification_format",
                default="unversioned",
                choices=("unversioned", "versioned", "both"),
                deprecated_group="DEFAULT",
            ),
            cfg.ListOpt("versioned_notifications_topics", default=["versioned_notifications"]),
        ),
        "oslo_messaging_notifications": (
            cfg.MultiStrOpt("driver", default=[]),
            cfg.StrOpt("transport_url", secret=True),
            cfg.ListOpt("topics", default=["notifications"]),
        ),
        "oslo_policy": (
            cfg.StrOpt("policy_file", default="policy.yaml"),
            cfg.MultiStrOpt("policy_dirs", default=["policy.d"]),
        ),
        "keystone_authtoken": (
            cfg.StrOpt("auth_type"),
            cfg.StrOpt("auth_url"),
            cfg.StrOpt("www_authenticate_uri"),
        ),
        "nova": (cfg.StrOpt("auth_type"),),
        "placement": (
            cfg.StrOpt("auth_type"),
            cfg.StrOpt("endpoint_override"),
        ),
    }
)

#: Values of ``[notifications]/notification_format`` with which Nova sends versioned ones.
_VERSIONED: Final = ("versioned", "both")
#: Drivers of ``[oslo_messaging_notifications]`` that send to a message bus.
_MESSAGING: Final = ("messaging", "messagingv2")


class ConfigError(Exception):
    """nova.conf cannot be used; ``str()`` of it is one line that says why, without a secret."""


@dataclass(frozen=True)
class NovaConfig:
    """The options of nova.conf that the portal reads; without files, Nova's defaults.

    ``files`` are configuration files and directories of ``*.conf`` files, later ones win.
    """

    files: tuple[str, ...] = ()
    _conf: cfg.ConfigOpts = field(
        default_factory=lambda: _parsed(()), repr=False, compare=False, kw_only=True
    )
    _values: Mapping[Option, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for group, options in _DECLARED.items():
            self._conf.register_opts(options, group=None if group == "DEFAULT" else group)
        values = {
            (group, option.name): self._read(self._conf, group, option.name)
            for group, options in _DECLARED.items()
            for option in options
        }
        object.__setattr__(self, "_values", MappingProxyType(values))

    def _read(self, conf: cfg.ConfigOpts, group: str, name: str) -> Any:
        try:
            return (conf if group == "DEFAULT" else conf[group])[name]
        except (cfg.NoSuchOptError, cfg.NoSuchGroupError, cfg.TemplateSubstitutionError):
            cause = "a $ in it refers to no known option; a plain $ is written $$"
            raise self.error(group, cause, name) from None
        except (cfg.Error, ValueError) as error:
            # oslo.config's own text names its classes before it comes to the point.
            cause = one_line(error).rpartition(" is not valid: ")[2]
            raise self.error(group, cause, name) from None

    def error(self, group: str, cause: object, name: str = "") -> ConfigError:
        """The error that a section, or its option ``name``, cannot be used for this cause."""
        files = ", ".join(self.files) or "nova.conf"
        text = one_line(cause) if isinstance(cause, Exception) else cause
        return ConfigError(f"{files}: [{group}]{name and f'/{name}'}: {text}")

    def check_section(self, conf: cfg.ConfigOpts, group: str) -> None:
        """Read all options of a section that a library has declared in its ``oslo_config()``.

        Otherwise a malformed one would surface when the library first uses it.  Raises
        ``ConfigError``.
        """
        for name in conf[group]:
            self._read(conf, group, name)

    def __getitem__(self, option: Option) -> Any:
        """The value of an option, Nova's default where the files do not have it."""
        return self._values[option]

    def origin(self, option: Option) -> str:
        """Which file sets the option; empty when it has its default."""
        group, name = option
        location = self._conf.get_location(name, None if group == "DEFAULT" else group)
        if location is None or not location.location.is_user_controlled:
            return ""
        return str(location.detail)

    def oslo_config(self) -> cfg.ConfigOpts:
        """The same files, parsed anew: for a library to declare its own options.

        Not the process-wide ``cfg.CONF``, so that two configurations never mix.
        """
        conf = _parsed(self.files)
        conf.register_opts(_REFERRED_TO)
        return conf

    @property
    def has_keystone(self) -> bool:
        """Whether ``[keystone_authtoken]`` says how to ask Keystone about a token."""
        return bool(self["keystone_authtoken", "auth_type"])

    @property
    def has_placement(self) -> bool:
        """Whether ``[placement]`` says how to reach placement."""
        return bool(self["placement", "auth_type"])

    @property
    def has_compute_api(self) -> bool:
        """Whether ``[nova]`` says how to authenticate with Nova's API."""
        return bool(self["nova", "auth_type"])

    @property
    def notifies(self) -> bool:
        """Whether Nova sends versioned notifications to a message bus."""
        drivers = self["oslo_messaging_notifications", "driver"]
        wanted = self["notifications", "notification_format"] in _VERSIONED
        return wanted and any(driver in _MESSAGING for driver in drivers)

    @property
    def notification_option(self) -> Option:
        """The option with the URL for notifications: their own, or that of RPC as in Nova."""
        own = ("oslo_messaging_notifications", "transport_url")
        return own if self[own] else ("DEFAULT", "transport_url")

    def setting(self, name: str) -> tuple[Any, str] | None:
        """What the files say about a setting of the portal, and which file and option say it.

        ``None`` when they do not say anything, or the setting has no option.
        """
        option = OPTION_OF.get(name)
        if option is None:
            return None
        if name == "NOTIFICATION_TRANSPORT_URL":
            if not self.notifies:
                return None
            option = self.notification_option
        origin = self.origin(option)
        if not origin:
            return None
        group, option_name = option
        return self[option], f"{origin} [{group}]/{option_name}"


def load(files: Iterable[str]) -> NovaConfig:
    """Read configuration files; raises ``ConfigError`` when one cannot be read or understood."""
    names = tuple(files)
    return NovaConfig(names, _conf=_parsed(names))


def _parsed(files: tuple[str, ...]) -> cfg.ConfigOpts:
    for name in files:
        try:
            Path(name).stat()
        except OSError as error:
            raise ConfigError(f"{name}: {error.strerror}") from None
    conf = cfg.ConfigOpts()
    try:
        conf(
            [],
            project="nova",
            default_config_files=[name for name in files if not Path(name).is_dir()],
            default_config_dirs=[name for name in files if Path(name).is_dir()],
            use_env=False,
        )
    except cfg.ConfigFilesPermissionDeniedError as error:
        raise ConfigError(f"{', '.join(error.config_files)}: Permission denied") from None
    except cfg.ConfigFileParseError as error:
        cause = error.__context__
        # Its own text would repeat the line, which may be one with a password.
        text = (
            f"line {cause.lineno}: {cause.msg}"
            if isinstance(cause, iniparser.ParseError)
            else "cannot be parsed"
        )
        raise ConfigError(f"{error.config_file}: {text}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{', '.join(files)}: not UTF-8 text") from None
    except (cfg.Error, OSError) as error:
        raise ConfigError(f"{', '.join(files)}: {one_line(error)}") from None
    return conf
