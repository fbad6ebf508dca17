"""Where settings come from, and the clients of the cloud that are made from them."""

import os
import re
from pathlib import Path

import pytest
from pytest_django import Settings

from cloud import clients
from cloud.config import load
from tests.commands import manage

NOVA_CONF = """
[DEFAULT]
transport_url = rabbit://nova:s3cret@mq/
service_down_time = 90
unknown_to_us = 1
[api_database]
connection = mysql+pymysql://nova:s3cret@db/nova_api
[database]
connection = mysql+pymysql://nova:s3cret@db/nova_cell0
[keystone_authtoken]
auth_type = password
auth_url = http://keystone.example.net/v3
username = nova
password = s3cret
user_domain_id = default
[placement]
auth_type = password
auth_url = http://keystone.example.net/v3
username = placement
password = s3cret
user_domain_id = default
"""


@pytest.fixture
def nova_conf(tmp_path: Path) -> Path:
    path = tmp_path / "nova.conf"
    path.write_text(NOVA_CONF)
    return path


def printed(nova_conf: Path, **settings: str) -> dict[str, str]:
    done = manage(
        "settings", NOVA_CONFIG_FILES=str(nova_conf), VAR_DIR=str(nova_conf.parent), **settings
    )
    assert done.returncode == 0, done.stderr
    assert "s3cret" not in done.stdout
    lines = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    return {name: re.sub(r"\s{2,}", "  ", rest.strip()) for name, rest in lines}


def test_nova_conf_alone_attaches_and_the_environment_overrides(nova_conf: Path) -> None:
    found = printed(nova_conf, SERVICE_DOWN_TIME="75")
    api = f"mysql+pymysql://nova:***@db/nova_api  ({nova_conf} [api_database]/connection)"
    assert found["NOVA_API_DATABASE_URL"] == api
    assert (
        found["NOVA_TRANSPORT_URL"]
        == f"rabbit://nova:***@mq/  ({nova_conf} [DEFAULT]/transport_url)"
    )
    assert found["SERVICE_DOWN_TIME"] == "75.0  (environment)"
    assert found["CELL_DEADLINE"] == "2  (default)"
    assert found["NOTIFICATION_TRANSPORT_URL"] == "-  (default)"  # no driver: Nova sends none


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[DEFAULT]\nservice_down_time = soon\n", "{file}: [DEFAULT]/service_down_time: "),
        ("password s3cret\n", "{file}: line 1: "),
        (
            "[api_database]\nconnection = oracle://u:s3cret@h/db\n",
            "{file} [api_database]/connection: oracle",
        ),
        ("[api]\nmax_limit = 9999999999\n", "{file} [api]/max_limit: must be a whole number"),
    ],
)
def test_a_malformed_option_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "nova.conf"
    file.write_text(text)
    done = manage("settings", NOVA_CONFIG_FILES=str(file), VAR_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(said.format(file=file)), done.stderr
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr


def test_a_limit_of_0_is_taken_as_nova_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "nova.conf"
    file.write_text("[api]\nmax_limit = 0\n")
    assert printed(file)["API_MAX_LIMIT"] == f"0  ({file} [api]/max_limit)"


def test_a_cloud_without_them_has_no_clients() -> None:
    assert clients.keystone() is None
    assert clients.placement() is None
    assert clients.compute_rpc() is None
    assert clients.policy() is clients.policy()  # Nova's rules hold everywhere


def test_there_is_one_client_of_each_kind_per_process(nova_conf: Path, settings: Settings) -> None:
    settings.NOVA_CONFIG = load([str(nova_conf)])
    settings.NOVA_TRANSPORT_URL = "rabbit://nova:s3cret@mq/"
    clients.forget_clients()
    accessors = (clients.keystone, clients.policy, clients.placement, clients.compute_rpc)
    try:
        made = [accessor() for accessor in accessors]
        assert None not in made
        assert [accessor() for accessor in accessors] == made
        child = os.fork()
        if child == 0:  # threads of the parent's clients are gone here
            anew = [accessor() for accessor in accessors]
            os._exit(any(client in made for client in anew))
        assert os.waitpid(child, 0)[1] == 0
    finally:
        clients.forget_clients()
