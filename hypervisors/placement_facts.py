"""What placement says of all resource providers, for the checks of the fleet.

The providers come in one request.  Who has allocations of a provider has to be asked one by one,
so that is kept as long as the provider's generation stays the same, and asked side by side for the
others.  Deleting allocations does not change a generation: what a check suspects is asked again
(``Facts.still_has``).
"""

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _

from cells.cache import CachedValue
from cloud import clients
from cloud.deadlines import CloudError
from cloud.providers import Provider

logger = logging.getLogger(__name__)

Consumers = frozenset[str]


@dataclass(frozen=True)
class Facts:
    """All providers by uuid, and the uuids of the consumers of those that were asked.

    ``sharing`` are the providers that are no hosts.  ``remark`` is what is missing, and why;
    ``failed`` if that is because placement did not answer.
    """

    providers: Mapping[str, Provider] = field(default_factory=dict)
    sharing: frozenset[str] = frozenset()
    consumers: Mapping[str, Consumers] = field(default_factory=dict)
    was_asked: bool = False
    failed: bool = False
    remark: str = ""

    def root_of(self, provider: str) -> str:
        """The uuid of the root of the provider's tree, which is that of a compute node."""
        return self.providers[provider].root or provider

    def still_has(self, suspects: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those pairs of provider and consumer that placement has at this moment.

        Pairs whose provider does not answer in time are left out.
        """
        placement = clients.placement()
        if placement is None or not suspects:
            return set()
        found, _missing = placement.allocations_by_provider(
            {provider for provider, _consumer in suspects}, deadline=settings.PLACEMENT_DEADLINE
        )
        return {pair for pair in suspects if pair[1] in found.get(pair[0], ())}


def read_facts(known: Facts | None = None) -> Facts:
    """Ask placement; ``known`` is what it said last.  Never raises a ``CloudError``."""
    placement = clients.placement()
    if placement is None:
        return Facts(remark=_("placement was not asked"))
    try:
        providers = {provider.uuid: provider for provider in placement.providers()}
        sharing = frozenset(provider.uuid for provider in placement.sharing_providers())
    except CloudError as error:
        return Facts(failed=True, remark=str(error))
    kept = {} if known is None else _unchanged(known, providers)
    answers, missing = placement.allocations_by_provider(providers.keys() - sharing - kept.keys())
    consumers = kept | {provider: frozenset(found) for provider, found in answers.items()}
    remark = ""
    if missing:
        cause = next(iter(missing.values()))
        remark = _("allocations of %(n)d resource providers are not known: %(cause)s") % {
            "n": len(missing),
            "cause": cause,
        }
        logger.warning(
            "allocations of %d resource providers are not known: %s", len(missing), cause
        )
    return Facts(providers, sharing, consumers, was_asked=True, failed=bool(missing), remark=remark)


def _unchanged(known: Facts, providers: Mapping[str, Provider]) -> dict[str, Consumers]:
    return {
        provider: consumers
        for provider, consumers in known.consumers.items()
        if provider in providers
        and providers[provider].generation == known.providers[provider].generation
    }


#: What this process knows.
_facts: CachedValue[Facts] = CachedValue(lambda: read_facts(_facts.last), ttl=60)
_reading = threading.Lock()


def facts_now() -> Facts:
    """What placement says now, however long it takes (at most some ``bulk_deadline``)."""
    return _facts.get(max_age=0)


def latest_facts() -> Facts:
    """What placement said last, without waiting for it; older than a minute, it is read anew in
    the background.
    """
    if clients.placement() is None:
        return read_facts()
    if not _facts.is_fresh and _reading.acquire(blocking=False):
        threading.Thread(target=_read_in_background, name="placement-facts", daemon=True).start()
    return _facts.last or Facts(remark=_("placement is being asked"))


def _read_in_background() -> None:
    try:
        _facts.get()
    except Exception:  # a defect must be told, and tried again
        logger.exception("placement could not be read")
    finally:
        _reading.release()


def forget_facts() -> None:
    """Read placement anew when it is asked for next."""
    _facts.clear()
