"""The calls: what operators do with services and hypervisors, by the openstack client and SDKs."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

from tests.conformance.catalogue import NOBODY
from tests.conformance.fleet import Rows
from tests.conformance.picks import Picks

#: ``--os-compute-api-version`` of the openstack client; empty leaves it to the client.  The last is
#: Nova's latest: the client does not know ``latest``, and takes ``2.latest`` for its own choice.
VERSIONS = ("", "2.1", "2.53", "2.88", "2.104")
#: Positions of the commands whose requests or output depend on the version.
DIFFERING = (1, 3, 5, 6, 8, 12, 16, 18, 21, 22)
#: Versions of openstacksdk: its ``compute_default_microversion``.
SDK_VERSIONS = ("", "2.53", "2.88")
#: The last is the latest that python-novaclient knows.
NOVACLIENT_VERSIONS = ("2.1", "2.53", "2.88", "2.96")

SDK = """
import json, openstack
{connect}
compute = cloud.compute
def show(name, ask):
    try:
        found = ask()
    except Exception as error:
        print(name, type(error).__name__, error)
        return
    if found is None:
        print(name, "none")
        return
    if hasattr(found, "to_dict"):
        found = found.to_dict()
    for each in found if isinstance(found, list) else [found]:
        each.pop("location", None)
    print(name, json.dumps(found, default=str, indent=1))
def listed(objects):
    return [each.to_dict() for each in objects]
show("services", lambda: listed(compute.services()))
show("services of a host", lambda: listed(compute.services(binary="nova-compute", host="{host}")))
service = next(compute.services(binary="nova-compute", host="{host}"))
show("disable", lambda: compute.disable_service(service, service.host, service.binary, "sdk"))
show("enable", lambda: compute.enable_service(service, service.host, service.binary))
for down in (True, False):
    show("force down", lambda: compute.update_service_forced_down(
        service, service.host, service.binary, down))
show("hypervisors", lambda: listed(compute.hypervisors()))
show("details", lambda: listed(compute.hypervisors(details=True)))
show("matching", lambda: listed(compute.hypervisors(
    hypervisor_hostname_pattern="{host}", with_servers=True)))
show("find", lambda: compute.find_hypervisor("{node}"))
show("nobody", lambda: compute.get_hypervisor("{nobody}"))
show("uptime", lambda: compute.get_hypervisor_uptime(compute.find_hypervisor("{node}")))
show("aggregates", lambda: listed(compute.aggregates()))
show("aggregate", lambda: compute.find_aggregate("{aggregate}"))
"""

NOVACLIENT = """
import json
from novaclient import client
{connect}
nova = client.Client("{version}", session=session, endpoint_override={endpoint!r})
def show(name, found):
    found = [each.to_dict() for each in found] if isinstance(found, list) else found.to_dict()
    print(name, json.dumps(found, default=str, indent=1))
show("services", nova.services.list(host="{host}"))
[service] = nova.services.list(host="{host}", binary="nova-compute")
if {uuids}:
    show("disable", nova.services.disable_log_reason(service.id, "novaclient"))
    show("enable", nova.services.enable(service.id))
else:
    show("disable", nova.services.disable_log_reason("{host}", "nova-compute", "novaclient"))
    show("enable", nova.services.enable("{host}", "nova-compute"))
show("hypervisors", nova.hypervisors.list(detailed=True))
[hypervisor] = nova.hypervisors.search("{host}", servers=True)
show("found", hypervisor)
show("one", nova.hypervisors.get({one}))
show("aggregates", nova.aggregates.list())
"""

ANSIBLE = """
import os, subprocess, sys, tempfile
from pathlib import Path
with tempfile.TemporaryDirectory() as home:
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "localhost", "--connection", "local",
         "--module-name", "openstack.cloud.compute_service_info", "--args", {arguments!r}],
        env=os.environ | {{
            "ANSIBLE_HOME": home,
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "true",
        }},
        capture_output=True, text=True,
    )
print(done.stdout + done.stderr)
sys.exit(done.returncode)
"""


@dataclass(frozen=True)
class Call:
    """A call under the name that its output is recorded with."""

    name: str
    what: dict[str, Any]


@dataclass(frozen=True)
class Subjects:
    """What the calls are about."""

    host: str
    node: str
    aggregate: str
    deletable_host: str
    deletable_uuid: str
    deletable_id: int
    #: A hypervisor's; the portal refuses one that several cells have.
    unique_id: int
    pattern: str

    @classmethod
    def of(cls, rows: Rows) -> "Subjects":
        """Those of the fleet of recorded answers."""
        picks = Picks(rows)
        alone = {row["uuid"] for row in picks.unique("services")}
        deletable = next(row for row in picks.deletable() if row["uuid"] in alone)
        plain = picks.plain()
        visible = {row["uuid"] for row in picks.visible_nodes()}
        unique = next(row for row in picks.unique("compute_nodes") if row["uuid"] in visible)
        return cls(
            plain["host"],
            picks.node_of(plain)["hypervisor_hostname"],
            rows["api"]["aggregates"][2]["name"],
            deletable["host"],
            deletable["uuid"],
            deletable["id"],
            unique["id"],
            "c2-r01",
        )


def openstack_calls(subjects: Subjects, version: str) -> list[Call]:
    """The openstack client at a version; the last calls delete a service.

    All commands at its default and at 2.53, at other versions those that differ there.
    """
    host = subjects.host
    by_uuid = version != "2.1"
    commands = [
        "compute service list",
        "compute service list --long",
        f"compute service list --service nova-compute --host {host}",
        f"compute service set --disable --disable-reason 'x y' {host} nova-compute",
        f"compute service list --long --host {host}",
        f"compute service set --enable {host} nova-compute",
        f"compute service set --down {host} nova-compute",
        f"compute service list --long --host {host}",
        f"compute service set --up {host} nova-compute",
        f"compute service set --disable {host} nova-scheduler",
        f"compute service delete {NOBODY if by_uuid else 999999}",
        "hypervisor list",
        "hypervisor list --long",
        f"hypervisor list --matching {subjects.pattern}",
        "hypervisor list --matching nope",
        "hypervisor list --limit 5",
        f"hypervisor show {host}",
        "hypervisor show nope",
        "hypervisor stats show",
        "aggregate list --long",
        f"aggregate show {subjects.aggregate}",
        f"compute service delete {subjects.deletable_uuid if by_uuid else subjects.deletable_id}",
        f"compute service list --host {subjects.deletable_host}",
    ]
    if version not in ("", "2.53"):
        commands = [command for number, command in enumerate(commands) if number in DIFFERING]
    options = ["--os-compute-api-version", version] if version else []
    return [
        Call(
            f"openstack {' '.join([*options, command])}",
            {"argv": [*options, *shlex.split(command)]},
        )
        for command in commands
    ]


def sdk_calls(subjects: Subjects, version: str, connect: str) -> list[Call]:
    """openstacksdk at a version.  ``connect`` is Python that makes ``cloud`` with ``{default}``."""
    default = f"compute_default_microversion={version!r}" if version else ""
    code = SDK.format(
        connect=connect.format(default=default),
        host=subjects.host,
        node=subjects.node,
        aggregate=subjects.aggregate,
        nobody=NOBODY,
    )
    return [Call(f"openstacksdk {version}".strip(), {"code": code})]


def novaclient_calls(subjects: Subjects, version: str, connect: str, endpoint: str) -> list[Call]:
    """python-novaclient at a version.  ``connect`` is Python that makes ``session``."""
    code = NOVACLIENT.format(
        connect=connect,
        version=version,
        host=subjects.host,
        endpoint=endpoint,
        uuids=version != "2.1",
        one=subjects.unique_id if version == "2.1" else "hypervisor.id",
    )
    return [Call(f"novaclient {version}", {"code": code})]


def ansible_calls(subjects: Subjects) -> list[Call]:
    """Ansible's ``openstack.cloud.compute_service_info``, as an ad-hoc task."""
    return [
        Call(f"ansible {arguments}".strip(), {"code": ANSIBLE.format(arguments=arguments)})
        for arguments in (
            "",
            f"binary=nova-compute host={subjects.host}",
            "binary=nova-scheduler",
            "host=nope",
        )
    ]


_REQUEST = re.compile(r"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|localhost)(?::\d+)?")
#: Times other than those of the fleet's rows: the call itself wrote them.
_WRITTEN = re.compile(
    r"20(?!26-06-|01-)\d\d-\d\d-\d\dT[\d:.]{8,15}|2026-(?!06-)\d\d-\d\dT[\d:.]{8,15}"
)


def comparable(output: str) -> str:
    """The output without what differs at every call: request ids, ports, times of writing."""
    for pattern, shown in ((_REQUEST, "req-*"), (_ADDRESS, "http://*"), (_WRITTEN, "<now>")):
        output = pattern.sub(shown, output)
    return output
