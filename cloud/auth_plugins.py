"""What keystoneauth1 reads from a section of nova.conf: how to authenticate, and with whom.

Each function declares options, and reads all of the section, since else a malformed one would come
up when it is first used.  Each raises ``ConfigError``, which names the file, section and option.
"""

from pathlib import Path

from keystoneauth1 import loading
from keystoneauth1.exceptions import NoMatchingPlugin
from oslo_config import cfg

from cloud.config import NovaConfig


def declare_session(config: NovaConfig, conf: cfg.ConfigOpts, group: str) -> None:
    """Declare the options of a session and an adapter."""
    loading.register_session_conf_options(conf, group)
    loading.register_adapter_conf_options(conf, group, include_deprecated=False)
    config.check_section(conf, group)


def declare_plugin(config: NovaConfig, conf: cfg.ConfigOpts, group: str) -> None:
    """Declare the options of the auth plugin; they may stand in the section ``auth_section``.

    Those of a session have been declared: the files that they name are looked for.
    """
    loading.register_auth_conf_options(conf, group)
    config.check_section(conf, group)
    for name in ("cafile", "certfile", "keyfile"):
        if path := conf[group][name]:
            try:
                Path(path).stat()
            except OSError as error:
                raise config.error(group, f"{path}: {error.strerror}", name) from None
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
