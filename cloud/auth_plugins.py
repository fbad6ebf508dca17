"""What keystoneauth1 reads from a section of nova.conf: how to authenticate, and with whom.

Each function reads all of the options that it declares: otherwise a malformed one would surface
when it is first used.  Each raises ``ConfigError``, which names the file, section and option.
"""

from collections.abc import Container, Mapping
from pathlib import Path

from keystoneauth1 import loading
from keystoneauth1.exceptions import NoMatchingPlugin
from oslo_config import cfg

from cloud.config import ConfigError, NovaConfig


def declare_session(
    config: NovaConfig,
    conf: cfg.ConfigOpts,
    group: str,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Declare the options of a session and an adapter.

    Those that the portal's ``settings`` (``NOVA_CAFILE`` ...) give go before the section's.
    """
    loading.register_session_conf_options(conf, group)
    loading.register_adapter_conf_options(conf, group, include_deprecated=False)
    config.check_section(conf, group)
    for name, value in (settings or {}).items():
        conf.set_override(name, value, group=group)
    look_for_certificates(config, conf, group, settings or ())


def look_for_certificates(
    config: NovaConfig, conf: cfg.ConfigOpts, group: str, settings: Container[str] = ()
) -> None:
    """Look for the files that the options of a session name, which have been declared.

    An option among the portal's ``settings`` is called by its name there.
    """
    for name in ("cafile", "certfile", "keyfile"):
        path = conf[group][name]
        if not path or (name == "cafile" and conf[group].insecure):  # nothing is verified
            continue
        try:
            Path(path).stat()
        except OSError as error:
            cause = f"{path}: {error.strerror}"
            if name in settings:
                raise ConfigError(f"NOVA_{name.upper()}: {cause}") from None
            raise config.error(group, cause, name) from None


def declare_plugin(config: NovaConfig, conf: cfg.ConfigOpts, group: str) -> None:
    """Declare the options of the auth plugin; they may stand in the section ``auth_section``."""
    loading.register_auth_conf_options(conf, group)
    config.check_section(conf, group)
    section = conf[group].auth_section or group
    config.check_section(conf, section)
    auth_type = conf[section].auth_type
    if not auth_type:
        raise config.error(section, "must be set", "auth_type")
    try:
        options = loading.get_auth_plugin_conf_options(auth_type)
    except NoMatchingPlugin as error:
        raise config.error(section, error, "auth_type") from None
    conf.register_opts(options, group=section)
    config.check_section(conf, section)
