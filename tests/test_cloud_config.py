"""Settings from nova.conf: what is read, what overrides it, and the errors."""

import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from cloud.config import OPTION_OF, ConfigError, NovaConfig, load
from cloud.setting_sources import SettingError, SettingSources, masked, masked_url


class Write(Protocol):
    """Writes a file and returns its path."""

    def __call__(self, text: str, name: str = "nova.conf") -> str: ...


WHOLE = """
[DEFAULT]
transport_url = rabbit://nova:s3cret@mq1:5672,nova:s3cret@mq2:5672/
service_down_time = 90
default_availability_zone = az1
internal_service_availability_zone = hidden
my_ip = 192.0.2.1
not_an_option_of_ours = whatever
[api]
max_limit = 500
[api_database]
connection = mysql+pymysql://nova:pa$$word@$my_ip/nova_api?charset=utf8
[database]
connection = mysql+pymysql://nova:other@db/nova_cell0
[a_section_of_something_else]
connection = x
[keystone_authtoken]
auth_type = password
[placement]
auth_type = password
[notifications]
notification_format = both
versioned_notifications_topics = one,two
[oslo_messaging_notifications]
driver = messagingv2
[oslo_policy]
policy_file = /etc/nova/own.yaml
[upgrade_levels]
compute = victoria
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "nova.conf") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def sources(file: str, **environ: str) -> SettingSources:
    return SettingSources(environ, load([file]))


def test_every_setting_that_nova_conf_has(write: Write) -> None:
    config = load([write(WHOLE)])
    found = {name: config.setting(name) for name in OPTION_OF}
    assert {name: said and said[0] for name, said in found.items()} == {
        "NOVA_API_DATABASE_URL": "mysql+pymysql://nova:pa$word@192.0.2.1/nova_api?charset=utf8",
        "NOVA_DATABASE_URL": "mysql+pymysql://nova:other@db/nova_cell0",
        "NOVA_TRANSPORT_URL": "rabbit://nova:s3cret@mq1:5672,nova:s3cret@mq2:5672/",
        "NOVA_CONTROL_EXCHANGE": None,
        "NOVA_COMPUTE_RPC_LEVEL": "victoria",
        "SERVICE_DOWN_TIME": 90,
        "DEFAULT_AVAILABILITY_ZONE": "az1",
        "INTERNAL_AVAILABILITY_ZONE": "hidden",
        "API_MAX_LIMIT": 500,
        # Notifications use the RPC transport, unless they have a URL of their own.
        "NOTIFICATION_TRANSPORT_URL": "rabbit://nova:s3cret@mq1:5672,nova:s3cret@mq2:5672/",
        "NOTIFICATION_TOPICS": ["one", "two"],
        "POLICY_FILE": "/etc/nova/own.yaml",
    }
    assert config.has_keystone
    assert config.has_placement


def test_an_empty_file_sets_nothing(write: Write) -> None:
    config = load([write("")])
    assert all(config.setting(name) is None for name in OPTION_OF)
    assert not config.has_keystone
    assert not config.has_placement
    assert config["DEFAULT", "service_down_time"] == 60
    assert NovaConfig()["api", "max_limit"] == 1000


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ("[oslo_messaging_notifications]\ndriver = messagingv2\n", False),
        ("[notifications]\nnotification_format = versioned\n", False),
        ("[notifications]\nnotification_format = versioned\n"
         "[oslo_messaging_notifications]\ndriver = noop\n", False),
        ("[notifications]\nnotification_format = versioned\n"
         "[oslo_messaging_notifications]\ndriver = log\ndriver = messagingv2\n", True),
        ("[DEFAULT]\nnotification_format = both\n"
         "[oslo_messaging_notifications]\ndriver = messaging\n", True),
    ],
)  # fmt: skip
def test_notifications_are_sent_when_nova_sends_them(
    write: Write, options: str, sent: bool
) -> None:
    url = "rabbit://own/"
    config = load(
        [write(options), write(f"[oslo_messaging_notifications]\ntransport_url={url}\n", "b")]
    )
    setting = config.setting("NOTIFICATION_TRANSPORT_URL")
    assert (setting is not None and setting[0] == url) is sent


def test_later_files_and_directories_win(tmp_path: Path, write: Write) -> None:
    first = write("[api]\nmax_limit = 1\n[DEFAULT]\nservice_down_time = 5\n")
    directory = tmp_path / "nova.conf.d"
    directory.mkdir()
    (directory / "10.conf").write_text("[api]\nmax_limit = 2\n")
    (directory / "20.conf").write_text("[api]\nmax_limit = 3\n")
    (directory / "README").write_text("no configuration")
    config = load([first, str(directory)])
    assert config["api", "max_limit"] == 3
    assert config.origin(("api", "max_limit")) == str(directory / "20.conf")
    assert config.origin(("DEFAULT", "service_down_time")) == first
    assert config.origin(("database", "connection")) == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[DEFAULT]\nservice_down_time = soon\n", "[DEFAULT]/service_down_time: invalid literal"),
        ("[api]\nmax_limit = -1\n", "[api]/max_limit: Should be greater than or equal to 0"),
        ("[notifications]\nnotification_format = loud\n", "[notifications]/notification_format: "),
        ("[database]\nconnection = mysql://u:$hush@h/d\n", "[database]/connection: a $ in it"),
        ("[DEFAULT]\ns3cret\n", "line 2: No ':' or '=' found in assignment"),
        ("[DEFAULT\n", "line 1: Invalid section (must end with ])"),
    ],
)
def test_a_malformed_file_is_one_line_without_secrets(write: Write, text: str, line: str) -> None:
    file = write(text)
    with pytest.raises(ConfigError) as error:
        load([file])
    assert str(error.value).startswith(f"{file}: {line}")
    assert "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)
    assert "hush" not in str(error.value)


def test_a_file_that_is_missing_or_binary(tmp_path: Path) -> None:
    missing = tmp_path / "missing.conf"
    with pytest.raises(ConfigError, match=r"missing.conf: No such file or directory$"):
        load([str(missing)])
    binary = tmp_path / "binary.conf"
    binary.write_bytes(b"[DEFAULT]\nx = \xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load([str(binary)])


def test_a_file_without_read_permission(tmp_path: Path) -> None:
    """As another user, because root may read everything."""
    file = tmp_path / "nova.conf"
    file.touch(mode=0)
    script = (
        "import os, sys\n"
        "from cloud.config import ConfigError, load\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "try: load([sys.argv[1]])\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{file}: Permission denied\n"


def test_it_is_imported_without_django_and_slow_libraries() -> None:
    script = (
        "import sys, cloud.config, cloud.setting_sources\n"
        "slow = {'django', 'oslo_messaging', 'keystoneauth1', 'keystonemiddleware', 'eventlet'}\n"
        "print(slow & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_libraries_get_the_same_files_for_options_of_their_own(write: Write) -> None:
    from oslo_config import cfg

    conf = load([write("[mine]\nvalue = 5\n")]).oslo_config()
    conf.register_opts([cfg.IntOpt("value")], group="mine")
    assert conf.mine.value == 5


def test_their_options_may_refer_to_those_of_nova(write: Write) -> None:
    from oslo_config import cfg

    text = "[DEFAULT]\nmy_ip = 192.0.2.7\nhost = cmp-1\n[mine]\nurl = http://$my_ip:5000/$host\n"
    config = load([write(text)])
    conf = config.oslo_config()
    conf.register_opts([cfg.StrOpt("url")], group="mine")
    config.check_section(conf, "mine")
    assert conf.mine.url == "http://192.0.2.7:5000/cmp-1"


# --- precedence -----------------------------------------------------------------------------------


def test_the_environment_overrides_the_file_and_the_file_the_default(write: Write) -> None:
    file = write("[DEFAULT]\nservice_down_time = 90\n[api]\nmax_limit = 500\n")
    found = sources(file, SERVICE_DOWN_TIME="30", API_MAX_LIMIT="  ")
    assert found.get("SERVICE_DOWN_TIME", float, 60.0) == 30
    assert found.get("API_MAX_LIMIT", int, 1000) == 500
    assert found.get("CELL_DEADLINE", float, 2.0) == 2
    assert [(setting.name, setting.shown, setting.origin) for setting in found] == [
        ("SERVICE_DOWN_TIME", "30.0", "environment"),
        ("API_MAX_LIMIT", "500", f"{file} [api]/max_limit"),
        ("CELL_DEADLINE", "2.0", "default"),
    ]


def test_values_have_the_type_that_is_asked_for(write: Write) -> None:
    found = sources(write(WHOLE))
    seconds = found.get("SERVICE_DOWN_TIME", float, 60.0)
    assert isinstance(seconds, float)
    topics = found.get("NOTIFICATION_TOPICS", lambda text: text.split(","), ["default"])
    assert topics == ["one", "two"]


def test_an_invalid_value_names_its_source(write: Write) -> None:
    with pytest.raises(SettingError, match=r"^SERVICE_DOWN_TIME: 'soon' cannot be read: could not"):
        sources(write(""), SERVICE_DOWN_TIME="soon").get("SERVICE_DOWN_TIME", float, 60.0)
    file = write("[DEFAULT]\ndefault_availability_zone = 5\n")
    found = sources(file)
    found.get("DEFAULT_AVAILABILITY_ZONE", str, "nova")
    assert (
        found.source_of("DEFAULT_AVAILABILITY_ZONE")
        == f"{file} [DEFAULT]/default_availability_zone"
    )
    assert found.source_of("SERVICE_DOWN_TIME") == "SERVICE_DOWN_TIME"


def test_an_unreadable_secret_is_not_repeated(write: Write) -> None:
    def refuse(text: str) -> str:
        raise ValueError("too short")

    with pytest.raises(SettingError, match=r"^SECRET_KEY: '\*\*\*' cannot be read: too short$"):
        sources(write(""), SECRET_KEY="abc").get("SECRET_KEY", refuse, "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rabbit://a:b@h1:5672,c:d@h2:5672/v", "rabbit://a:***@h1:5672,c:***@h2:5672/v"),
        ("mysql+pymysql://nova:p@ss:w/ord@h/nova", "mysql+pymysql://nova:***@h/nova"),
        ("postgresql://u:pa,ss@h/x", "postgresql://u:***@h/x"),
        ("postgresql://postgres@h:5/x", "postgresql://postgres@h:5/x"),
        ("postgresql:///x?host=/run&password=zz&a=b", "postgresql:///x?host=/run&password=***&a=b"),
        ("sqlite:////var/x.sqlite3", "sqlite:////var/x.sqlite3"),
        ("rabbit://h1:5672,h2:5672/", "rabbit://h1:5672,h2:5672/"),
        ("no URL", "no URL"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_secrets_are_masked() -> None:
    assert masked("SECRET_KEY", "abc") == "***"
    assert masked("SECRET_KEY", "") == ""
    assert masked("OS_PASSWORD", "abc") == "***"
    assert masked("DATABASES", {"PASSWORD": "abc", "HOST": "h"}) == "PASSWORD: ***, HOST: h"
    assert masked("TOPICS", ["a", "rabbit://u:p@h/"]) == "a, rabbit://u:***@h/"
    assert masked("KEYSTONE", "x") == "x"
