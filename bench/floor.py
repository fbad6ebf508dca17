"""The floor: the cost of the same answers without Django and HTTP.

A plain script over the same databases: psycopg2 or PyMySQL, one thread and persistent connection
per cell, rows into dicts, orjson.  Nothing that lists these rows over these cells can be much
faster.
"""

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import orjson

from bench.fleet import connect

SERVICES = """
    SELECT binary_column, host, uuid, topic, disabled, disabled_reason, forced_down,
           last_seen_up, created_at, updated_at
    FROM services
    WHERE deleted = 0 AND binary_column NOT IN ('nova-osapi_compute', 'nova-metadata') {more}
    ORDER BY id
""".replace("binary_column", '"binary"')

DETAILS = """
    SELECT n.uuid, n.hypervisor_hostname, n.host, n.hypervisor_type, n.hypervisor_version,
           n.host_ip, n.vcpus, n.memory_mb, n.local_gb, n.vcpus_used, n.memory_mb_used,
           n.local_gb_used, n.free_ram_mb, n.free_disk_gb, n.current_workload, n.running_vms,
           n.disk_available_least, n.cpu_info, s.uuid, s.disabled, s.disabled_reason,
           s.forced_down, s.last_seen_up, s.created_at
    FROM compute_nodes n
    JOIN services s ON s.host = n.host AND s."binary" = 'nova-compute' AND s.deleted = 0
    WHERE n.deleted = 0 {more}
    ORDER BY n.id LIMIT %s
"""

SUMS = (
    "current_workload", "disk_available_least", "free_disk_gb", "free_ram_mb", "local_gb",
    "local_gb_used", "memory_mb", "memory_mb_used", "running_vms", "vcpus", "vcpus_used",
)  # fmt: skip
STATISTICS = """
    WITH live AS (
        SELECT id, host FROM services
        WHERE deleted = 0 AND NOT disabled AND "binary" = 'nova-compute'
    )
    SELECT count(*), {sums} FROM compute_nodes
    WHERE deleted = 0 AND (
        host IN (SELECT host FROM live) OR service_id IN (SELECT id FROM live)
    )
""".replace("{sums}", ", ".join(f"sum({column})" for column in SUMS))


class Floor:
    """The cells of an API database, each with its own connection and thread."""

    def __init__(self, api_url: str, down_time: float) -> None:
        self.down_time = down_time
        self.api = connect(api_url)
        self.cells = [
            (cell_id, connect(url))
            for cell_id, url in self._all(
                self.api, "SELECT id, database_connection FROM cell_mappings ORDER BY id"
            )
        ]
        self.pool = ThreadPoolExecutor(len(self.cells))

    @staticmethod
    def _all(connection: Any, sql: str, params: tuple[Any, ...] = ()) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def services(self, host: str = "") -> bytes:
        """os-services at 2.53, as JSON; of one host if given."""
        zones = dict(
            self._all(
                self.api,
                "SELECT h.host, m.value FROM aggregate_hosts h JOIN aggregate_metadata m "
                "ON m.aggregate_id = h.aggregate_id WHERE m.key = 'availability_zone'",
            )
        )
        sql = SERVICES.format(more="AND host = %s" if host else "")
        params = (host,) if host else ()
        up = self._up()
        answers = self.pool.map(lambda cell: self._all(cell[1], sql, params), self.cells)
        return orjson.dumps(
            {
                "services": [
                    {
                        "id": uuid,
                        "binary": binary,
                        "host": host,
                        "zone": zones.get(host, "nova") if topic == "compute" else "internal",
                        "status": "disabled" if disabled else "enabled",
                        "state": up(forced_down, seen, created),
                        "updated_at": updated and updated.isoformat(timespec="microseconds"),
                        "disabled_reason": reason,
                        "forced_down": bool(forced_down),
                    }
                    for rows in answers
                    for (
                        binary,
                        host,
                        uuid,
                        topic,
                        disabled,
                        reason,
                        forced_down,
                        seen,
                        created,
                        updated,
                    ) in rows
                ]
            }
        )

    def details(self, limit: int) -> bytes:
        """os-hypervisors/detail?limit=... at 2.53, as JSON."""
        hypervisors: list[dict[str, Any]] = []
        for cell in self.cells[1:]:
            rows = self._all(cell[1], DETAILS.format(more=""), (limit - len(hypervisors),))
            hypervisors += self._shown(cell, rows)
            if len(hypervisors) >= limit:
                break
        return orjson.dumps({"hypervisors": hypervisors[:limit]})

    def show(self, uuid: str, number: int) -> bytes:
        """os-hypervisors/UUID at 2.53, as JSON, of a node known to be in cell ``number``."""
        cell = self.cells[number]
        rows = self._all(cell[1], DETAILS.format(more="AND n.uuid = %s"), (uuid, 1))
        [hypervisor] = self._shown(cell, rows)
        return orjson.dumps({"hypervisor": hypervisor})

    def cell_of(self, uuid: str) -> int:
        """The number of the cell that has this node."""
        sql = DETAILS.format(more="AND n.uuid = %s")
        return next(
            number
            for number, (_, connection) in enumerate(self.cells)
            if self._all(connection, sql, (uuid, 1))
        )

    def nowhere(self, uuid: str) -> bytes:
        """Look in all cells for a node that is in none; nothing is rendered."""
        sql = DETAILS.format(more="AND n.uuid = %s")
        list(self.pool.map(lambda cell: self._all(cell[1], sql, (uuid, 1)), self.cells))
        return b""

    def with_id(self, node_id: int) -> bytes:
        """Look in all cells for nodes with an integer id; nothing is rendered."""
        sql = DETAILS.format(more="AND n.id = %s")
        list(self.pool.map(lambda cell: self._all(cell[1], sql, (node_id, 1)), self.cells))
        return b""

    def named(self, name: str) -> bytes:
        """os-hypervisors?hypervisor_hostname_pattern=... at 2.53, as JSON."""
        sql = DETAILS.format(more="AND n.hypervisor_hostname LIKE %s")
        answers = self.pool.map(
            lambda cell: (cell, self._all(cell[1], sql, (f"%{name}%", 1_000_000))), self.cells
        )
        shown = [one for cell, rows in answers if rows for one in self._shown(cell, rows)]
        brief = ("id", "hypervisor_hostname", "state", "status")
        return orjson.dumps({"hypervisors": [{key: one[key] for key in brief} for one in shown]})

    def statistics(self) -> bytes:
        """os-hypervisors/statistics, as JSON."""
        answers = self.pool.map(lambda cell: self._all(cell[1], STATISTICS)[0], self.cells)
        sums = [sum(int(value or 0) for value in column) for column in zip(*answers, strict=True)]
        total = dict(zip(("count", *SUMS), sums, strict=True))
        return orjson.dumps({"hypervisor_statistics": total})

    def _shown(self, cell: tuple[int, Any], rows: list[Any]) -> list[dict[str, Any]]:
        """Those of the nodes whose host is mapped to their cell."""
        up = self._up()
        mapped = set(
            self._all(
                self.api,
                "SELECT host FROM host_mappings WHERE cell_id = %s AND host IN %s",
                (cell[0], tuple(row[2] for row in rows)),
            )
        )
        return [
            {
                "id": r[0],
                "hypervisor_hostname": r[1],
                "state": up(r[21], r[22], r[23]),
                "status": "disabled" if r[19] else "enabled",
                "hypervisor_type": r[3],
                "hypervisor_version": r[4],
                "host_ip": r[5],
                "service": {"id": r[18], "host": r[2], "disabled_reason": r[20]},
                "vcpus": r[6],
                "memory_mb": r[7],
                "local_gb": r[8],
                "vcpus_used": r[9],
                "memory_mb_used": r[10],
                "local_gb_used": r[11],
                "free_ram_mb": r[12],
                "free_disk_gb": r[13],
                "current_workload": r[14],
                "running_vms": r[15],
                "disk_available_least": r[16],
                "cpu_info": _cpu_info(r[17]),
            }
            for r in rows
            if (r[2],) in mapped
        ]

    def _up(self) -> Callable[[Any, Any, Any], str]:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

        def up(forced_down: Any, seen: Any, created: Any) -> str:
            if forced_down:
                return "down"
            elapsed = abs((now - (seen or created)).total_seconds())
            return "up" if elapsed <= self.down_time else "down"

        return up


@lru_cache(maxsize=4096)
def _cpu_info(text: str) -> Any:
    return orjson.loads(text) if text else {}
