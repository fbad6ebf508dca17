"""``python -m tests.os_clients [SET ...]``: record what the clients print of a real nova-api.

Installs Nova as ``make conformance`` does, and runs it on MariaDB, where lists are in order of id.
"""

import json
import os
import sys
import tempfile

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from cells.databases import register  # noqa: E402
from tests.conformance import fleet  # noqa: E402
from tests.conformance.nova import CELLS, Nova, mysql  # noqa: E402
from tests.conformance.record import HOME, PORT  # noqa: E402
from tests.engines import MySQL, database, forget_connections  # noqa: E402
from tests.os_clients.running import RECORDED, python_of, run, with_token  # noqa: E402
from tests.os_clients.sets import SETS, calls_of  # noqa: E402


def main() -> int:
    """Write ``recorded.json``."""
    databases = mysql(os.environ.get("TEST_MYSQL_URL") or MySQL.DEFAULT_URL)
    nova = Nova(HOME, databases)
    nova.install()
    nova.configure()
    nova.create_schema()
    rows = fleet.load()
    world = fleet.World(rows)
    chosen = sys.argv[1:] or SETS
    recorded = json.loads(RECORDED.read_text()) if sys.argv[1:] and RECORDED.exists() else {}
    with tempfile.TemporaryDirectory() as directory:
        forget_connections()
        register("default", database(f"sqlite:///{directory}/portal.sqlite3"))
        register("api", database(databases.url("api")))
        world.map_cells({name: databases.url(name) for name in CELLS})
        world.fill()
        with nova.running(PORT) as address:
            endpoint = f"{address}/v2.1"
            for name in chosen:
                world.fill()
                calls = calls_of(name, rows, endpoint)
                recorded[name] = run(python_of(name), calls, with_token(endpoint, "admin"))
                RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
                print(name, [status for status, _ in recorded[name].values()], flush=True)  # noqa: T201
        forget_connections()
    return 0


sys.exit(main())
