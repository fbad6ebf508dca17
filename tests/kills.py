"""Workers of gunicorn are killed while clients change services: nothing acknowledged may be lost.

``python -m tests.kills [--kills 100] [--clients 4]`` starts a small embedded portal, and then holds
what clients were answered against the cells' rows and the audit log.
"""

import argparse
import http.client
import json
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.commands import environment, manage
from tests.servers import PortalServer, serve

SETUP = """
import json
from django.contrib.auth.models import User
from cells.registry import all_cells
from portal.models import ApiToken
from services.models import Service
uuids = []
for cell in all_cells():
    services = Service.objects.using(cell.alias).filter(binary="nova-compute", deleted=0)
    uuids += [uuid for uuid in services.values_list("uuid", flat=True) if uuid]
token = ApiToken.objects.issue(User.objects.create_superuser("judge"))[1]
print("MADE" + json.dumps([token, uuids]))
"""
RESULT = """
import json
from audit.models import Entry, Intent
from cells.registry import all_cells
from services.models import Service
reasons = {}
for cell in all_cells():
    rows = Service.objects.using(cell.alias).filter(deleted=0)
    reasons |= dict(rows.values_list("uuid", "disabled_reason"))
entries = list(
    Entry.objects.exclude(service_uuid="")
    .order_by("id")
    .values_list("request_id", "service_uuid", "outcome", "after")
)
print("MADE" + json.dumps([reasons, entries, Intent.objects.count()]))
"""


@dataclass
class Written:
    """What a client asked for one service, in order: its reason, and the request id of the answer.

    The id is empty where there was no answer.
    """

    changes: list[tuple[str, str]] = field(default_factory=list)

    def possible(self) -> set[str]:
        """The reasons that the row may have: the last that was acknowledged, and those after it."""
        reasons: set[str] = set()
        for reason, request_id in self.changes:
            if request_id:
                reasons.clear()
            reasons.add(reason)
        return reasons


class Client(threading.Thread):
    """Changes its own services one after the other, until it is told to stop."""

    def __init__(self, port: int, token: str, uuids: list[str], number: int) -> None:
        super().__init__()
        self.port, self.token, self.number = port, token, number
        self.written = {uuid: Written() for uuid in uuids}
        self.stopped = threading.Event()
        self.acknowledged = self.unanswered = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        count = 0
        while not self.stopped.is_set():
            for uuid, written in self.written.items():
                count += 1
                reason = f"{self.number}-{count}"
                try:
                    request_id = self.change(uuid, reason)
                    self.acknowledged += 1
                except (OSError, http.client.HTTPException):
                    request_id = ""
                    self.unanswered += 1
                    time.sleep(0.05)
                written.changes.append((reason, request_id))

    def change(self, uuid: str, reason: str) -> str:
        """Disable a service for this reason; the id of the request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                "PUT",
                f"/v2.1/os-services/{uuid}",
                body=json.dumps({"status": "disabled", "disabled_reason": reason}),
                headers={
                    "X-Auth-Token": self.token,
                    "OpenStack-API-Version": "compute 2.53",
                    "Content-Type": "application/json",
                },
            )
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status == 503:
            raise OSError("busy")
        if response.status != 200:
            self.wrong.append(f"{response.status}: {body[:300]!r}")
            raise OSError(response.status)
        return response.headers["x-compute-request-id"]


def kill_workers(server: PortalServer, clients: list[Client], kills: int) -> None:
    """Kill one worker after the other, each when clients have been answered since the last."""
    master = psutil.Process(server.process.pid)
    for _ in range(kills):
        before = sum(client.acknowledged for client in clients)
        until = time.monotonic() + 300
        while sum(client.acknowledged for client in clients) < before + 5:
            if time.monotonic() > until:
                raise SystemExit("the portal answers no more")
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))
        with suppress(psutil.NoSuchProcess, IndexError):
            random.choice(master.children()).send_signal(signal.SIGKILL)


def outcome(settings: dict[str, str]) -> tuple[dict[str, str], list[list[object]], int]:
    said = manage("shell", "-c", RESULT, **settings)
    assert "MADE" in said.stdout, said.stderr
    reasons, entries, intents = json.loads(said.stdout.partition("MADE")[2])
    return reasons, entries, intents


def judge(clients: list[Client], reasons: dict[str, str], entries: list[list[object]]) -> list[str]:
    """What is wrong, one line each."""
    wrong = [line for client in clients for line in client.wrong]
    succeeded: dict[object, int] = {}
    recorded: dict[object, object] = {}
    for request_id, uuid, ended, after in entries:
        if ended == "done":
            succeeded[request_id] = succeeded.get(request_id, 0) + 1
            assert isinstance(after, dict)
            recorded[uuid] = after["disabled_reason"]
    for client in clients:
        for uuid, written in client.written.items():
            for reason, request_id in written.changes:
                if request_id and succeeded.get(request_id) != 1:
                    wrong.append(
                        f"{reason} of {uuid} is recorded {succeeded.get(request_id)} times"
                    )
            if written.changes and reasons[uuid] not in written.possible():
                wrong.append(f"{uuid} has {reasons[uuid]}, not {written.possible()}")
            if written.changes and recorded.get(uuid) != reasons[uuid]:
                wrong.append(f"{uuid} has {reasons[uuid]}, the audit {recorded.get(uuid)}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--clients", type=int, default=4, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        settings = environment(VAR_DIR=folder, SECRET_KEY="only for tests " * 4)
        made = manage("demo", "--cells=2", "--hosts-per-cell=8", **settings)
        assert made.returncode == 0, made.stderr
        said = manage("shell", "-c", SETUP, **settings)
        assert "MADE" in said.stdout, said.stderr
        token, uuids = json.loads(said.stdout.partition("MADE")[2])
        with serve(settings, Path(folder) / "gunicorn.log", "--workers", "2") as server:
            port = int(server.url.rpartition(":")[2])
            clients = [
                Client(port, token, uuids[number :: options.clients], number)
                for number in range(options.clients)
            ]
            for client in clients:
                client.start()
            try:
                kill_workers(server, clients, options.kills)
            finally:
                for client in clients:
                    client.stopped.set()
                for client in clients:
                    client.join()
            # What was interrupted is settled once it is over for certain: after 60 CELL_DEADLINEs.
            until = time.monotonic() + 150
            while (result := outcome(settings))[2] and time.monotonic() < until:
                time.sleep(1)
        wrong = judge(clients, *result[:2])
        if result[2]:
            wrong.append(f"{result[2]} interrupted actions are not settled")
        print("\n".join(wrong[:20]))
        print(
            f"{options.kills} kills: {sum(client.acknowledged for client in clients)} changes "
            f"acknowledged, {sum(client.unanswered for client in clients)} unanswered, "
            f"{len(result[1])} recorded, {len(wrong)} wrong"
        )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
