"""Telling a nova-compute that its service was enabled or disabled.

It then sets or removes the trait ``COMPUTE_STATUS_DISABLED`` of its resource providers, which is
what keeps the scheduler away (``_update_compute_provider_status`` of ``nova/compute/api.py``).  The
service's row is what counts: a nova-compute that was not told reads it with its next
``update_available_resource``, so that a failure here is remarked on and fails nothing.
"""

import logging

from django.utils.translation import gettext_noop

from audit.journal import Actor
from cells.locate import Found
from cloud import clients
from cloud.compute_rpc import MIN_SERVICE_VERSION
from cloud.deadlines import CloudError
from cloud.identity import Identity
from services.models import Service

logger = logging.getLogger(__name__)


def sync_trait(found: Found[Service], actor: Actor) -> str:
    """Tell the service's nova-compute that it is enabled or disabled, as it is now.

    One that is down or too old is not told, nor one of a cell without a message bus.  Waits for
    it no longer than the deadline; returns what to say when it did not do it.
    """
    cell, service = found.cell, found.row
    rpc = clients.compute_rpc()
    if rpc is None or not service.host:
        return ""
    if not service.is_up() or (service.version or 0) < MIN_SERVICE_VERSION:
        logger.info("%s syncs its trait when it is restarted: down or too old", service)
        return ""
    try:
        if rpc.has_transport(cell):
            rpc.set_host_enabled(
                cell, service.host, not service.disabled, identity_of(actor), actor.request_id
            )
    except CloudError as error:
        logger.warning("COMPUTE_STATUS_DISABLED is synced later: %s", error)
        words = gettext_noop("%(cause)s; nova-compute syncs its trait in placement later")
        return words % {"cause": error}
    return ""


def identity_of(actor: Actor) -> Identity:
    """Who asks, as Nova's requests say it."""
    return Identity(
        user_id=actor.user_id or actor.username,
        user_name=actor.username,
        project_id=actor.project_id,
        roles=actor.roles,
    )
