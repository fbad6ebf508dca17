"""``manage.py serve``: what ``make run`` does once the requirements are installed."""

import os
import secrets
import socket
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, OutputWrapper
from django.db import DatabaseError

from cells.databases import cause_of
from cells.management.base import Documented
from cells.models import CellMapping
from cells.probes import probe_cells
from cloud import clients
from cloud.config import ConfigError
from portal.api.authentication import DEMO_USER
from portal.logs import LogStream

ADDRESS = "127.0.0.1"


class Command(Documented):
    help = (
        "Serves the portal on 127.0.0.1, port PORT (8000), until it is interrupted. First it "
        "migrates the portal's own databases. An embedded portal also gets a demo fleet, if it "
        "has none yet, whose services are kept reporting."
    )
    examples = ("serve", "serve --help")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if settings.LOG_FORMAT == "json":  # stderr is for programs
            self.stderr = OutputWrapper(LogStream())

    def handle(self, *args: Any, **options: Any) -> None:
        listening = self.listen()
        self.prepare()
        password = settings.DEMO_PASSWORD or secrets.token_hex(8)
        self.announce(listening.getsockname()[1], password)
        if settings.EMBEDDED:
            os.environ["DEMO_PASSWORD"] = password  # for gunicorn's workers
            # gunicorn will take this process over and so be the parent of the heartbeats, which
            # end when it does, whether Ctrl-C reaches them or not.
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "portal.cli"),
                    *("heartbeat", "--parent", str(os.getpid())),
                ],
                start_new_session=True,
                cwd=settings.BASE_DIR,
            )
        # For gunicorn, which reads them from there.
        os.environ["WEB_CONCURRENCY"] = str(settings.WEB_CONCURRENCY)
        os.environ["LOG_FORMAT"] = settings.LOG_FORMAT
        listening.set_inheritable(True)
        os.chdir(settings.BASE_DIR)
        os.execv(  # noqa: S606
            sys.executable,
            [
                *(sys.executable, "-m", "gunicorn", "--config", "python:portal.gunicorn"),
                *("--bind", f"fd://{listening.fileno()}", "portal.wsgi"),
            ],
        )

    def listen(self) -> socket.socket:
        """Take the port first, so that nothing is created when it is in use."""
        port = settings.PORT
        try:
            return socket.create_server((ADDRESS, port))
        except OSError as error:
            raise CommandError(
                f"port {port}: {os.strerror(error.errno or 0).lower()}; set PORT to another"
            ) from None

    def prepare(self) -> None:
        """Prepare the databases, and find mistakes in nova.conf or policy.yaml."""
        try:
            clients.prepare()
            call_command("migrate", verbosity=0, stderr=self.stderr)
            if settings.EMBEDDED:
                if not CellMapping.objects.exists():
                    progress = self.stdout if settings.LOG_FORMAT == "json" else self.stderr
                    call_command("demo", stdout=self.stdout, stderr=progress)
                return
            checks = probe_cells()
        except ConfigError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(cause_of(error)) from None
        self.stdout.write(f"attached to {settings.DATABASES['api']['NAME']}: {len(checks)} cells")
        for check in checks:
            if check.problem:
                self.stdout.write(f"cell {check.cell}: {check.problem}")

    def announce(self, port: int, password: str) -> None:
        """Print where the portal is and how to talk to it; ``password`` is the demo's."""
        base = f"http://{ADDRESS}:{port}"
        compute = f"{base}/v2.1"
        lines = [f"console  {base}/admin/", f"API      {compute}"]
        if settings.EMBEDDED:
            login = f"--os-username {DEMO_USER} --os-password {password}"
            lines += [
                f"login    {DEMO_USER} / {password} (from this machine only, until it stops)",
                "",
                f"curl -u {DEMO_USER}:{password} -H 'OpenStack-API-Version: compute 2.53' "
                f"{compute}/os-hypervisors",
                f"openstack --os-auth-type http_basic {login} --os-endpoint {compute} "
                "compute service list",
            ]
        else:
            lines += [
                "",
                "a user:   .venv/bin/python manage.py createsuperuser",
                "a token:  .venv/bin/python manage.py create_token USER",
                f"curl -H 'X-Auth-Token: TOKEN' -H 'OpenStack-API-Version: compute 2.53' "
                f"{compute}/os-hypervisors",
                f"openstack --os-auth-type admin_token --os-token TOKEN --os-endpoint {compute} "
                "compute service list",
            ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()
