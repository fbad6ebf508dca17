"""Finding rows of the fleet for requests by their special properties."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from services.models import NOVA_COMPUTE
from tests.conformance.fleet import Row, Rows

#: The final statuses of Nova's migrations.
ENDED = ("completed", "failed", "cancelled", "error", "reverted", "confirmed", "done")


class Picks:
    """Lookups in the fleet's rows; each raises ``LookupError`` if the fleet has no such row.

    A row has its cell's name under ``"cell"``.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.cells = [place for place in rows if place not in ("api", "cell0")]
        self.mapped = {
            row["host"]: f"cell{row['cell_id'] - 1}" for row in rows["api"]["host_mappings"]
        }

    def _all(self, table: str, *, live: bool = True) -> Iterator[Row]:
        for place, tables in self.rows.items():
            for row in tables.get(table, ()):
                if not (live and row["deleted"]):
                    yield {"cell": place, **row}

    def services(self, **wanted: Any) -> list[Row]:
        """Live services with these columns."""
        return [
            row
            for row in self._all("services")
            if all(row[name] == value for name, value in wanted.items())
        ]

    def computes(self, **wanted: Any) -> list[Row]:
        """Live nova-computes with these columns, on hosts that are mapped to their own cell."""
        return [
            row
            for row in self.services(binary=NOVA_COMPUTE, **wanted)
            if self.mapped.get(row["host"]) == row["cell"]
        ]

    def nodes(self, **wanted: Any) -> list[Row]:
        """Live compute nodes with these columns."""
        return [
            row
            for row in self._all("compute_nodes")
            if all(row[name] == value for name, value in wanted.items())
        ]

    def visible_nodes(self) -> list[Row]:
        """The nodes that Nova lists: their host is mapped, and has a live service in that cell."""
        served = {(row["cell"], row["host"]) for row in self.services(binary=NOVA_COMPUTE)}
        return [
            row
            for row in self.nodes()
            if row["host"] and (self.mapped.get(row["host"]), row["host"]) in served
        ]

    def hidden_nodes(self) -> list[Row]:
        """The nodes that have a host but are not listed."""
        visible = {row["uuid"] for row in self.visible_nodes()}
        return [row for row in self.nodes() if row["host"] and row["uuid"] not in visible]

    def instances_on(self, cell: str, host: str) -> int:
        return sum(row["host"] == host and row["cell"] == cell for row in self._all("instances"))

    def migrating_hosts(self) -> set[str]:
        """Hosts with a migration in progress."""
        return {
            host
            for row in self._all("migrations")
            if row["status"] not in ENDED
            for host in (row["source_compute"], row["dest_compute"])
        }

    # --- services -----------------------------------------------------------------------------

    def plain(self) -> Row:
        """An ordinary nova-compute: up, enabled, with instances."""
        return _first(
            row
            for row in self.computes(disabled=False, forced_down=False)
            if self.instances_on(row["cell"], row["host"])
        )

    def disabled_with_reason(self) -> Row:
        return _first(row for row in self.computes(disabled=True) if row["disabled_reason"])

    def disabled_without_reason(self) -> Row:
        return self.computes(disabled=True, disabled_reason=None)[0]

    def forced_down(self) -> Row:
        return self.computes(disabled=False, forced_down=True)[0]

    def conductor(self) -> Row:
        return _first(
            row for row in self.services(binary="nova-conductor") if row["cell"] == "cell1"
        )

    def scheduler(self) -> Row:
        return self.services(binary="nova-scheduler")[0]

    def api_service(self) -> Row:
        return self.services(binary="nova-osapi_compute")[0]

    def deleted_service(self) -> Row:
        return _first(row for row in self._all("services", live=False) if row["deleted"])

    def unmapped(self) -> Row:
        """A nova-compute whose host has no mapping."""
        return _first(
            row for row in self.services(binary=NOVA_COMPUTE) if row["host"] not in self.mapped
        )

    def mapped_elsewhere(self) -> Row:
        """A nova-compute whose host is mapped to another cell, where it is not."""
        here = Counter(row["host"] for row in self.services(binary=NOVA_COMPUTE))
        return _first(
            row
            for row in self.services(binary=NOVA_COMPUTE)
            if here[row["host"]] == 1 and self.mapped.get(row["host"], row["cell"]) != row["cell"]
        )

    def twin(self) -> Row:
        """Of two nova-computes with the same host name in different cells, the one that the
        mapping does not refer to.
        """
        here = Counter(row["host"] for row in self.services(binary=NOVA_COMPUTE))
        return _first(
            row
            for row in self.services(binary=NOVA_COMPUTE)
            if here[row["host"]] == 2 and self.mapped.get(row["host"]) != row["cell"]
        )

    def without_node(self) -> Row:
        """A mapped nova-compute without a compute node."""
        hosts = {row["host"] for row in self.nodes()}
        return _first(row for row in self.computes() if row["host"] not in hosts)

    def many_nodes(self) -> Row:
        """A nova-compute of several nodes, as for ironic."""
        counts = Counter(row["host"] for row in self.nodes())
        return _first(row for row in self.computes() if counts[row["host"]] > 1)

    def evacuated(self) -> Row:
        """A nova-compute with an evacuation that is done but not yet completed."""
        hosts = {
            row["source_compute"]
            for row in self._all("migrations")
            if row["status"] == "done" and row["migration_type"] == "evacuation"
        }
        return _first(row for row in self.computes() if row["host"] in hosts)

    def migrating(self) -> Row:
        """A nova-compute without instances but with a migration in progress."""
        hosts = self.migrating_hosts()
        return _first(
            row
            for row in self.computes()
            if row["host"] in hosts and not self.instances_on(row["cell"], row["host"])
        )

    def deletable(self) -> list[Row]:
        """nova-computes that can be deleted."""
        busy = self.migrating_hosts()
        return [
            row
            for row in self.computes()
            if row["host"] not in busy and not self.instances_on(row["cell"], row["host"])
        ]

    def unique(self, table: str) -> list[Row]:
        """Live rows with an integer id that no other cell has."""
        counts = Counter(row["id"] for row in self._all(table))
        return [row for row in self._all(table) if counts[row["id"]] == 1]

    # --- nodes --------------------------------------------------------------------------------

    def node_of(self, service: Row) -> Row:
        """The first node of a service."""
        return _first(
            row for row in self.nodes(host=service["host"]) if row["cell"] == service["cell"]
        )

    def deleted_node(self) -> Row:
        return _first(row for row in self._all("compute_nodes", live=False) if row["deleted"])

    def null_node(self) -> Row:
        """A visible node with a null in every nullable column."""
        return _first(row for row in self.visible_nodes() if row["running_vms"] is None)

    def hostless_node(self) -> Row:
        """A node from before nodes had a host."""
        return self.nodes(host=None)[0]

    def without_uptime(self) -> Row:
        """A visible node, of a service that is up, without an uptime in its stats."""
        return _first(
            row for row in self.visible_nodes() if '"uptime": "' not in (row["stats"] or "")
        )


def _first(rows: Iterable[Row]) -> Row:
    for row in rows:
        return row
    raise LookupError("the fleet has no such row")
