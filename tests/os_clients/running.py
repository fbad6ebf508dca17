"""Running the calls against an endpoint, in the environments that ``make clients`` installs."""

import json
import os
import subprocess
from pathlib import Path

from tests.os_clients.calls import Call, comparable

ROOT = Path(__file__).resolve().parent.parent.parent
#: The Pythons of the two environments: Ansible's collection needs an older openstacksdk.
PYTHON = ROOT / "var" / "clients" / "bin" / "python"
ANSIBLE_PYTHON = ROOT / "var" / "clients-ansible" / "bin" / "python"
DRIVER = Path(__file__).resolve().parent / "driver.py"
RECORDED = Path(__file__).resolve().parent / "recorded.json"
#: Seconds for the calls of one version.
TIMEOUT = 600


def with_token(endpoint: str, token: str) -> dict[str, str]:
    """``admin_token``: a token and an endpoint, without Keystone."""
    return {"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": token, "OS_ENDPOINT": endpoint}


def with_password(endpoint: str, username: str, password: str) -> dict[str, str]:
    """``http_basic``: a user of the portal, without Keystone."""
    return {
        "OS_AUTH_TYPE": "http_basic",
        "OS_USERNAME": username,
        "OS_PASSWORD": password,
        "OS_ENDPOINT": endpoint,
    }


def with_keystone(auth_url: str, username: str, password: str) -> dict[str, str]:
    """``password``: a user of Keystone in its project ``admin``; its catalog has the endpoint."""
    return {
        "OS_AUTH_TYPE": "password",
        "OS_AUTH_URL": auth_url,
        "OS_USERNAME": username,
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
    }


#: Python that makes ``cloud`` and ``session`` from the environment, for the SDKs.
CONNECT_SDK = "cloud = openstack.connect({default})"
CONNECT_NOVACLIENT = "import openstack\nsession = openstack.connect().session"


def python_of(name: str) -> Path:
    """The Python that has the client of a set."""
    return ANSIBLE_PYTHON if name == "ansible" else PYTHON


def run(python: Path, calls: list[Call], login: dict[str, str]) -> dict[str, list[object]]:
    """Exit code and comparable output of each call, by its name and number."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [str(python), "-W", "ignore", str(DRIVER)],
        input=json.dumps([call.what for call in calls]),
        env=kept | {"PYTHONWARNINGS": "ignore", "COLUMNS": "200", "TZ": "UTC"} | login,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    results = json.loads(done.stdout)
    return {
        f"{number} {call.name}": [status, comparable(output)]
        for number, (call, (status, output)) in enumerate(zip(calls, results, strict=True), 1)
    }
