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
    steps = (
        []
        if facts.in_placement is not None
        else [
            NextStep(
                _(
                    "Remove the host's resource provider from placement, which was not asked. "
                    "Look it up by name, and delete it by its uuid once it has no allocations."
                ),
                "\n".join(
                    (
                        command("openstack", "resource", "provider", "list", "--name", host),
                        "openstack resource provider delete UUID",
                    )
                ),
            )
        ]
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
