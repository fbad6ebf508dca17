"""Metrics of actions and of the messages about them, from the portal's own database."""

from collections.abc import Iterator

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from audit.models import Entry, Intent, OutboxMessage
from audit.outbox import enabled_transports


class AuditCollector(Collector):
    """Actions by outcome, those that have not ended, and what waits to be sent.

    From the audit and not counted in memory, so that actions of commands are included.
    """

    def collect(self) -> Iterator[Metric]:
        actions = CounterMetricFamily(
            "nova_portal_actions",
            "Actions on record in the audit.",
            labels=["action", "outcome", "channel"],
        )
        for action, outcome, channel, number in (
            Entry.objects.order_by()
            .values_list("action", "outcome", "channel")
            .annotate(Count("pk"))
        ):
            actions.add_metric([action, outcome, channel], number)
        unfinished = GaugeMetricFamily(
            "nova_portal_actions_unfinished", "Actions that have begun and are not on record yet."
        )
        unfinished.add_metric([], Intent.objects.count())
        depth = GaugeMetricFamily(
            "nova_portal_outbox_messages", "Messages that wait to be sent.", labels=["transport"]
        )
        age = GaugeMetricFamily(
            "nova_portal_outbox_oldest_seconds",
            "Age of the oldest message that waits to be sent; 0 when none does.",
            labels=["transport"],
        )
        now = timezone.now()
        waiting = {
            transport: (number, (now - oldest).total_seconds())
            for transport, number, oldest in OutboxMessage.objects.order_by()
            .values_list("transport")
            .annotate(Count("pk"), Min("created_at"))
        }
        for transport in sorted({*waiting, *(enabled.name for enabled in enabled_transports())}):
            number, seconds = waiting.get(transport, (0, 0.0))
            depth.add_metric([transport], number)
            age.add_metric([transport], max(0.0, seconds))
        yield from (actions, unfinished, depth, age)
