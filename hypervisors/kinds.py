"""The kinds of problems: why each matters and what to do about it."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from hypervisors.problems import NO_SERVICE, STALE, UNMAPPED
from services.problems import DISABLED_LONG, FORCED_REPORTING, NO_UUID

Text = str | Promise


@dataclass(frozen=True)
class Kind:
    """``severity`` is ``bad`` (servers are in danger), ``warning`` or ``info``.

    ``listed`` is the query string of the list that shows all of them, if one does:
    ``hypervisors`` or ``services``, and the filter.
    """

    name: str
    severity: str
    title: Text
    why: Text
    what_to_do: Text
    listed: tuple[str, str] | None = None


KINDS = (
    Kind(
        FORCED_REPORTING,
        "bad",
        _("Services forced down that still report"),
        _(
            "The host is alive although it was declared dead. If its servers have been "
            "evacuated, they may be running twice on the same volumes."
        ),
        _(
            "Fence the host, or, if nothing was evacuated from it, force it up again once it is "
            "known to be well."
        ),
        ("services", f"problem={FORCED_REPORTING}"),
    ),
    Kind(
        "duplicate-host",
        "bad",
        _("The same compute host in several cells"),
        _(
            "A host belongs to one cell only. Requests go to the cell it is mapped to; what the "
            "other cells have of it cannot be reached, and its servers may be in either."
        ),
        _(
            "Find out which message queue its nova-compute is connected to, and delete the "
            "service in the other cell once no server is left there."
        ),
    ),
    Kind(
        "wrong-cell",
        "bad",
        _("Hosts mapped to another cell than they are in"),
        _("Nova looks for the host in the cell it is mapped to and does not find it there."),
        _(
            "Delete the mapping with nova-manage cell_v2 delete_host, and let "
            "nova-manage cell_v2 discover_hosts make it anew."
        ),
    ),
    Kind(
        "cell0-compute",
        "bad",
        _("nova-compute in cell0"),
        _("cell0 is for servers that could not be scheduled; hosts in it are never used."),
        _("Correct the message queue or database in the host's nova.conf and restart it."),
        ("services", "cell=cell0&binary=nova-compute"),
    ),
    Kind(
        NO_SERVICE,
        "warning",
        _("Compute nodes without a service"),
        _(
            "Nova hides them, while their capacity may still be counted in statistics and their "
            "resource provider may still be in placement."
        ),
        _(
            "If the host is gone for good, remove what is left of it: its servers, its resource "
            "provider, and the compute node. Otherwise start its nova-compute."
        ),
        ("hypervisors", f"problem={NO_SERVICE}"),
    ),
    Kind(
        UNMAPPED,
        "warning",
        _("Hosts without a mapping"),
        _("Nova does not know which cell the host is in: it is not listed and gets no servers."),
        _("Run nova-manage cell_v2 discover_hosts."),
        ("hypervisors", f"problem={UNMAPPED}"),
    ),
    Kind(
        "mapping-without-host",
        "warning",
        _("Mappings without a host"),
        _("The host is gone but its name is still taken: a new host of that name is not mapped."),
        _("Run nova-manage cell_v2 delete_host for it."),
    ),
    Kind(
        "duplicate-name",
        "warning",
        _("The same hypervisor name several times"),
        _("Clients that look a hypervisor up by name find the wrong one, or several."),
        _("Give the hosts different names, or delete the service that is no longer in use."),
    ),
    Kind(
        STALE,
        "warning",
        _("Service up but node stale"),
        _(
            "nova-compute is heard of but has not written its node for long: its resource "
            "tracker may hang, so what it is said to have free may be wrong. An idle host, whose "
            "resources do not change, may be well all the same."
        ),
        _("Look for errors of the resource tracker in its log; restart nova-compute."),
        ("hypervisors", f"problem={STALE}"),
    ),
    Kind(
        DISABLED_LONG,
        "warning",
        _("Services disabled for long"),
        _("Capacity lies idle, often because enabling the host again was forgotten."),
        _("Enable it, or delete it if the host is gone."),
        ("services", f"problem={DISABLED_LONG}"),
    ),
    Kind(
        NO_UUID,
        "warning",
        _("Services without a uuid"),
        _("They cannot be named from microversion 2.53 on, so clients cannot act on them."),
        _("Run manage.py backfill_service_uuids."),
        ("services", f"problem={NO_UUID}"),
    ),
    Kind(
        "ambiguous-services",
        "info",
        _("Integer ids that several services have"),
        _("Every cell counts for itself. Requests before microversion 2.53 with them are refused."),
        _("Nothing is wrong: use uuids (microversion 2.53 or later)."),
    ),
    Kind(
        "ambiguous-hypervisors",
        "info",
        _("Integer ids that several hypervisors have"),
        _("Every cell counts for itself. Requests before microversion 2.53 with them are refused."),
        _("Nothing is wrong: use uuids (microversion 2.53 or later)."),
    ),
)
