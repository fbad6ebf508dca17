"""A TCP proxy that delays: a database that is some milliseconds away."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.fleet import connect


@contextmanager
def cells_far_away(api_url: str, round_trip: float) -> Iterator[None]:
    """Have the cells of a fleet ``round_trip`` seconds away, by proxies in front of their server.

    The mappings are changed and not changed back.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="proxy", daemon=True).start()
    with closing(connect(api_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, database_connection FROM cell_mappings")
        for cell_id, url in cursor.fetchall():
            starting = asyncio.run_coroutine_threadsafe(_proxy(url, round_trip / 2), loop)
            cursor.execute(
                "UPDATE cell_mappings SET database_connection = %s WHERE id = %s",
                (starting.result(), cell_id),
            )
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)


async def _proxy(url: str, delay: float) -> str:
    """Start a proxy in front of the server of a database; the URL of the database by way of it."""
    parts = urlsplit(url)
    directory = parse_qs(parts.query).get("host", [""])[0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if directory:
            there = await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432")
        else:
            there = await asyncio.open_connection(parts.hostname, parts.port or 3306)
        await asyncio.gather(_pass_on(reader, there[1], delay), _pass_on(there[0], writer, delay))

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="").geturl()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
) -> None:
    """Copy what comes, each piece ``delay`` seconds later."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
        writer.close()

    async def read() -> Any:
        data = b"-"
        while data:
            with suppress(OSError):
                data = await reader.read(2**20)
            pieces.put_nowait((loop.time() + delay, data))

    with suppress(OSError):
        await asyncio.gather(read(), write())
