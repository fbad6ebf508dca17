"""eventlet, which libraries of OpenStack still require: not used, not heard of, nothing patched."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, environment

#: Brings in all that talks to the broker, and says what came with it.
SCRIPT = """
import sys
import warnings
import django
django.setup()
import portal.wsgi
assert not {"eventlet", "oslo_messaging", "kombu"} & sys.modules.keys(), "before it is used"
from cloud.config import NovaConfig
from cloud.messaging import rpc_transport
from services.notifications import message_bus
def notify():
    with message_bus():
        pass
def call():
    rpc_transport(NovaConfig(), "fake://")
(call if sys.argv[1] == "call" else notify)()
from oslo_service import backend
assert backend.get_backend_type() is backend.BackendType.THREADING
if "eventlet" in sys.modules:
    from eventlet import patcher
    assert not patcher.already_patched, patcher.already_patched
import socket, threading, time
assert "eventlet" not in {each.__module__ for each in (socket.socket, threading.Thread)}
assert time.sleep.__module__ == "time"
"""


def started(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(
            VAR_DIR=str(folder),
            DJANGO_SETTINGS_MODULE="portal.settings",
            NOTIFICATION_TRANSPORT_URL="fake://",
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("first", ["call", "notify"])
def test_the_broker_s_code_runs_on_threads(first: str, tmp_path: Path) -> None:
    done = started("-c", SCRIPT, first, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "eventlet" not in done.stderr.lower()


def test_no_command_speaks_of_it(tmp_path: Path) -> None:
    for command in ("migrate", "send_notifications", "check", "settings"):
        done = started("manage.py", command, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "eventlet" not in (done.stdout + done.stderr).lower()
