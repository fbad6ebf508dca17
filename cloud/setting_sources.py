"""Where each setting of the portal comes from: the environment, nova.conf, or its default.

A ``SettingSources`` remembers what it was asked for, so that all settings can be listed with their
origins, secrets masked.  It depends on nothing but the two sources, so settings can be resolved
before Django is configured.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cloud.config import NovaConfig

T = TypeVar("T")

DEFAULT: Final = "default"
ENVIRONMENT: Final = "environment"

_SECRET = re.compile(r"PASSWORD|SECRET|(?:^|_)(?:KEY|TOKEN)(?:_|$)")
MASK: Final = "***"


class SettingError(Exception):
    """A setting cannot be used; ``str()`` of it is one line naming the setting and its source."""


@dataclass(frozen=True)
class Setting:
    """A setting as it was resolved.  ``origin``: environment, default, or file and option."""

    name: str
    value: Any
    origin: str

    @property
    def shown(self) -> str:
        """The value as it may be printed: without passwords, and empty for one not set."""
        return masked(self.name, self.value)


class SettingSources:
    """Resolves settings: environment variable, else nova.conf, else the default.

    An environment variable that is empty, or only blanks, counts as not set.
    """

    def __init__(self, environ: Mapping[str, str], config: NovaConfig | None = None) -> None:
        self._environ = environ
        self._config = config if config is not None else NovaConfig()
        self._resolved: dict[str, Setting] = {}

    def get(self, name: str, cast: Callable[[str], T], default: T) -> T:
        """The setting ``name``.  ``cast`` reads the text of an environment variable.

        A value from nova.conf has its type from oslo.config; it is only given to ``cast`` where
        that returns another type than the one it has (seconds are a float here, an int there).
        Raises ``SettingError`` when ``cast`` raises ``ValueError``.
        """
        setting = self._resolve(name, cast, default)
        self._resolved[name] = setting
        value: T = setting.value
        return value

    def _resolve(self, name: str, cast: Callable[[str], T], default: T) -> Setting:
        text = self._environ.get(name, "")
        if text.strip():
            return Setting(name, self._cast(name, name, cast, text), ENVIRONMENT)
        found = self._config.setting(name)
        if found is None:
            return Setting(name, default, DEFAULT)
        value, origin = found
        if isinstance(value, int | str) and not isinstance(value, bool):
            value = self._cast(name, origin, cast, str(value))
        return Setting(name, value, origin)

    @staticmethod
    def _cast(name: str, source: str, cast: Callable[[str], T], text: str) -> T:
        try:
            return cast(text)
        except ValueError as error:
            shown = repr(masked(name, text))
            raise SettingError(f"{source}: {shown} cannot be read: {error}") from None

    def source_of(self, name: str) -> str:
        """How an error message should call the setting: by its variable, or file and option."""
        origin = self._resolved[name].origin if name in self._resolved else DEFAULT
        return name if origin in (DEFAULT, ENVIRONMENT) else origin

    def __iter__(self) -> Iterator[Setting]:
        """What has been resolved so far, in the order it was first asked for."""
        return iter(tuple(self._resolved.values()))


def masked(name: str, value: Any) -> str:
    """A setting's value as text, secrets and passwords in URLs made unreadable."""
    if value is None or value == "":
        return ""
    if _SECRET.search(name):
        return MASK
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(masked(name, part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {masked(f'{name}_{key}', part)}" for key, part in value.items())
    return masked_url(str(value))


def masked_url(text: str) -> str:
    """``text`` with the passwords of a URL in it made unreadable.

    A transport URL may name several hosts, each with its user and password
    (``rabbit://user:password@host1,user:password@host2/``).
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    credentials, at, server = rest.rpartition("@")
    if at:
        parts = f"{credentials}@".split(",")
        if all("@" in part for part in parts):  # several hosts; else a comma in the password
            credentials = ",".join(map(_masked_netloc, parts)).removesuffix("@")
        else:
            credentials = _masked_netloc(f"{credentials}@").removesuffix("@")
    server = re.sub(r"([?&]password=)[^&]*", rf"\1{MASK}", server)
    return f"{scheme}{separator}{credentials}{at}{server}"


def _masked_netloc(netloc: str) -> str:
    userinfo, at, host = netloc.rpartition("@")
    user, colon, _password = userinfo.partition(":")
    return f"{user}{colon}{MASK}{at}{host}" if colon else netloc
