"""What is left to do when an action is done, with the commands that do it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from services.facts import Facts
from services.models import Service

#: The client's command, at the first microversion that can do all of it.
COMPUTE_SERVICE = ("openstack", "--os-compute-api-version", "2.53", "compute", "service")


@dataclass(frozen=True)
class NextStep:
    """What to do next and why, and the commands for it, one per line."""

    text: str
    commands: str = ""


def command(*words: object) -> str:
    """A shell's command of these words."""
    return shlex.join(map(str, words))


def set_command(service: Service, options: Sequence[str]) -> str:
    """``openstack compute service set`` with these options; empty if there are none."""
    if not options or not service.host:
        return ""
    return command(*COMPUTE_SERVICE, "set", *options, service.host, service.binary)


def after_delete(facts: Facts) -> list[NextStep]:
    """The host's resource providers, if placement was not asked, and its aggregates."""
    if not facts.is_compute or not facts.service.host:
        return []
    host = facts.service.host
    steps = []
    # Nova gives a resource provider the uuid of its compute node, and its name, not the host's.
    providers = [node.uuid for node in facts.host_nodes if node.uuid]
    if facts.in_placement is None and providers:
        steps.append(
            NextStep(
                _(
                    "Remove the host's resource provider from placement, which was not asked, "
                    "once it has no allocations."
                ),
                "\n".join(
                    command("openstack", "resource", "provider", *words, uuid)
                    for uuid in providers
                    for words in (("show", "--allocations"), ("delete",))
                ),
            )
        )
    if facts.aggregates:
        steps.append(
            NextStep(
                _("If the host comes back, put it into its aggregates again."),
                "\n".join(
                    command("openstack", "aggregate", "add", "host", name, host)
                    for name in facts.aggregates
                ),
            )
        )
    return steps
