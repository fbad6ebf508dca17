"""What every process counts about its cells, and the other databases.

With several serving processes (``PROMETHEUS_MULTIPROC_DIR``), a scrape of any of them gives the
sums over all.
"""

from prometheus_client import Counter, Gauge

QUERIES = Counter(
    "nova_cell_queries",
    "Calls of an executor into the cell's database, by outcome: answered or failed.",
    ["cell", "outcome"],
)
BREAKER_OPEN = Gauge(
    "nova_cell_breaker_open",
    "1 from a failure of the cell until its next answer, if that is so in any process, else 0.",
    ["cell"],
    multiprocess_mode="livemax",
)
DATABASE_BREAKER_OPEN = Gauge(
    "nova_portal_database_breaker_open",
    "1 from a failure of the portal's own database or Nova's API database until its next answer, "
    "if that is so in any process, else 0.",
    ["database"],
    multiprocess_mode="livemax",
)
CONNECTIONS = Gauge(
    "nova_cell_connections",
    "Threads of the cell's executors, each of which keeps one connection.",
    ["cell"],
    multiprocess_mode="livesum",
)
