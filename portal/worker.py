"""The worker of gunicorn that serves the portal: whole requests to threads, and no endless queue.

gunicorn's own ``gthread`` gives a thread to every connection before its client has said anything,
queues requests without end, and waits in its main loop for clients that do not close.  Here the
main loop reads requests, and a thread gets one that has arrived.  When ``MAX_IN_FLIGHT`` of them
are in progress, or they wait for threads for longer than a hung cell explains, further ones are
refused at once with 503.
"""

import gc
import json
import logging
import mmap
import re
import socket
import sys
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

logger = logging.getLogger(__name__)

#: Seconds that a request may take to arrive, from the connection on.
ARRIVAL = 10.0
#: Seconds that a thread waits for a client to take an answer, or to send the rest of a large body.
TRANSFER = 30.0
#: Seconds that a connection stays open for the client to read the answer and close it.
LINGER = 2.0
#: As much of a request, in bytes, is read before a thread has it.  Larger ones are uploads, which
#: nothing of the portal takes: they are refused without being read.
MAX_BUFFERED = 128 * 1024
#: Seconds after which a thread lets others of the process run.  The main loop asks for its turn at
#: each step of a connection, and with Python's 5 ms would wait for that of each busy thread.
SWITCH_INTERVAL = 0.0005
#: Seconds after which a client that was refused may try again.
RETRY_AFTER = 1
#: Seconds after which another worker is started in place of one that could not boot.
BOOT_AGAIN_AFTER = 5.0
#: Whether any worker of this master has booted: memory that all of them share.
_HAS_BOOTED = mmap.mmap(-1, 1)

HEALTH = re.compile(rb"(GET|HEAD|OPTIONS) /(healthz|healthcheck)?[ ?]")
CONTENT_LENGTH = re.compile(rb"(?mi)^content-length:[ \t]*(\d{1,18})[ \t]*\r?$")
CHUNKED = re.compile(rb"(?mi)^transfer-encoding:")
EXPECTS = re.compile(rb"(?mi)^expect:[ \t]*100-continue")
HTML = re.compile(rb"(?mi)^accept:[^\r\n]*text/html")
HEAD_END = b"\r\n\r\n"


class Connection(TConn):  # type: ignore[misc]
    """A connection, what has been read of its next request, and when it is closed otherwise."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.received = bytearray()
        self.deadline = time.monotonic() + ARRIVAL
        self.refused = False
        self.continued = False
        self.pool: Pool

    def is_complete(self) -> bool:
        """Whether a thread can answer without waiting for the client; large requests count."""
        head, found, body = self.received.partition(HEAD_END)
        if not found:
            return len(self.received) >= MAX_BUFFERED
        if CHUNKED.search(head):  # to be refused
            return True
        length = CONTENT_LENGTH.search(head)
        return length is None or len(body) >= int(length[1]) or int(length[1]) > MAX_BUFFERED

    def awaits_continue(self) -> bool:
        """Whether the client sends its body only when it is asked to, the first time."""
        head, found, _body = self.received.partition(HEAD_END)
        if self.continued or not found or not EXPECTS.search(head):
            return False
        self.continued = True
        return True


@dataclass
class Pool:
    """Threads, and what they have to do: ``limit`` requests at most.

    ``max_wait``: seconds after which a request that waits for a thread keeps others from joining.
    """

    executor: ThreadPoolExecutor
    limit: int
    max_wait: float
    in_flight: int = 0
    #: Since when each request has been waiting for a thread, the oldest first.
    waiting: deque[float] = field(default_factory=deque)

    def is_full(self) -> bool:
        if self.in_flight >= self.limit:
            return True
        try:
            return time.monotonic() - self.waiting[0] > self.max_wait
        except IndexError:  # none, or a thread has just taken it
            return False


class PortalWorker(ThreadWorker):  # type: ignore[misc]
    """A worker whose connections are read, in flight, or lingering until the client closes."""

    def init_process(self) -> None:
        """Boot, and serve until the end.

        If the worker cannot boot, nor has another, the cause ends all of gunicorn: none would.
        Otherwise those that serve go on, and in ``BOOT_AGAIN_AFTER`` seconds the next one tries,
        when the malformed setting may have been put right.
        """
        try:
            super().init_process()
            return
        except SystemExit as error:
            if self.booted or not (
                isinstance(error.code, str) or error.code == Arbiter.WORKER_BOOT_ERROR
            ):
                raise  # it was told to end
            if isinstance(error.code, str):
                self.log.critical("%s", error.code)
        except Exception:
            if self.booted:
                raise
            self.log.exception("The worker cannot boot.")
        if not _HAS_BOOTED[0]:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        until = time.monotonic() + BOOT_AGAIN_AFTER
        while self.alive and time.monotonic() < until:
            self.notify()
            time.sleep(0.1)
        sys.exit(1)

    def run(self) -> None:
        from django.conf import settings

        from portal.memory import Memory
        from portal.request_metrics import REFUSED

        _HAS_BOOTED[0] = True
        sys.setswitchinterval(SWITCH_INTERVAL)
        gc.collect()
        gc.freeze()  # what is there now stays, and need not be looked at by every full collection
        self.memory = Memory()
        self.refusals = REFUSED
        self.waiting: dict[Connection, None] = {}  # those that are not in flight
        # The first to ask a cell that hangs wait for CELL_DEADLINE, and others for their threads.
        max_wait = settings.CELL_DEADLINE + 0.5
        limit = max(settings.MAX_IN_FLIGHT, self.cfg.threads)
        self.requests = Pool(self.tpool, limit, max_wait)
        # Load balancers are answered under load, too: otherwise they would take the portal out of
        # service when it is needed most.
        self.health = Pool(ThreadPoolExecutor(1, thread_name_prefix="health"), limit, max_wait)
        super().run()
        self.health.executor.shutdown(wait=False)

    # --- connections --------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> bool:
        """Take a connection, if there is one; whether there was."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        self.nr_conns += 1
        self.wait_for_client(Connection(self.cfg, client, address, listener.getsockname()))
        return True

    def wait_for_client(self, conn: Connection) -> None:
        """Read what it sends until ``conn.deadline``."""
        conn.sock.setblocking(False)
        self.waiting[conn] = None
        self.poller.register(conn.sock, 1, partial(self.on_readable, conn))  # 1: EVENT_READ

    def stop_waiting(self, conn: Connection) -> None:
        self.waiting.pop(conn, None)
        with suppress(KeyError, ValueError):
            self.poller.unregister(conn.sock)

    def on_readable(self, conn: Connection, client: socket.socket) -> None:
        """Read on, and hand the request over when all of it is there."""
        if self.cfg.is_ssl and not conn.refused:  # encrypted: a thread reads it
            self.stop_waiting(conn)
            self.enqueue_req(conn)
            return
        try:
            data = client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if conn.refused:  # the answer is sent; what comes now is not wanted
            if not data:
                self.drop(conn)
            return
        if not data and not conn.received:
            self.drop(conn)
            return
        if not conn.received:
            conn.deadline = time.monotonic() + ARRIVAL
        conn.received += data
        if not data or conn.is_complete():
            self.stop_waiting(conn)
            self.enqueue_req(conn)
        elif conn.awaits_continue():
            with suppress(OSError):
                client.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def drop(self, conn: Connection) -> None:
        """Close it."""
        self.stop_waiting(conn)
        self.nr_conns -= 1
        conn.close()

    def linger(self, conn: Connection) -> None:
        """Close it when the client has: earlier, the client might lose the end of the answer."""
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
        conn.refused = True
        conn.deadline = time.monotonic() + LINGER
        self.wait_for_client(conn)

    def murder_pending(self) -> None:
        """Close the connections whose time is over; the base class calls this every second."""
        now = time.monotonic()
        for conn in [conn for conn in self.waiting if conn.deadline <= now]:
            if conn.received and not conn.refused:
                self.stop_waiting(conn)
                self.refuse(conn, HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.")
            else:
                self.drop(conn)
        self.memory.give_back()

    # --- requests -----------------------------------------------------------------------------

    def enqueue_req(self, conn: Connection) -> None:
        """Give the request to a thread, or refuse it."""
        if CHUNKED.search(conn.received.partition(HEAD_END)[0]):  # Django reads no such body
            self.refuse(conn, HTTPStatus.LENGTH_REQUIRED, "A body needs a Content-Length.")
            return
        pool = conn.pool = self.health if HEALTH.match(conn.received) else self.requests
        if pool.is_full():
            logger.warning("overloaded: %d requests are in progress in a worker", pool.in_flight)
            self.refusals.inc()
            self.refuse(
                conn,
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The portal is overloaded. Please try again.",
                f"Retry-After: {RETRY_AFTER}\r\n",
            )
            return
        pool.in_flight += 1
        pool.waiting.append(time.monotonic())
        future = pool.executor.submit(self.handle, conn)
        future.add_done_callback(
            lambda future: self.method_queue.defer(self.finish_request, conn, future)
        )

    def handle(self, conn: Connection) -> bool:
        """Answer a request; whether the connection stays open for another.  Runs in a thread."""
        conn.pool.waiting.popleft()
        conn.sock.setblocking(True)
        conn.data_ready = True
        conn.init()
        if conn.received:
            conn.parser.unreader.unread(bytes(conn.received))
            conn.received.clear()
        return bool(super().handle(conn))

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """The same, of a request whose head has been parsed."""
        conn.sock.settimeout(TRANSFER)
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            logger.warning("%s takes no more of an answer", conn.client)
            return False

    def finish_request(self, conn: Connection, future: "Future[bool]") -> None:
        """Wait for the next request, or for the client to close.  Runs in the main loop."""
        conn.pool.in_flight -= 1
        error = None if future.cancelled() else future.exception()
        if error is not None:  # of the protocol, TLS for one: the base class answers all others
            logger.info("%s: %s", conn.client, error)
        if error is not None or future.cancelled() or not future.result():
            self.linger(conn)
            return
        conn.received += conn.parser.unreader.take_buffered()
        if conn.received and conn.is_complete():
            self.enqueue_req(conn)
            return
        conn.deadline = time.monotonic() + self.keep_open()
        conn.continued = False
        self.wait_for_client(conn)

    def keep_open(self) -> float:
        """How long to wait for the next request of a connection, in seconds."""
        keepalive = float(self.cfg.keepalive)
        return keepalive if self.alive else min(keepalive, STOP_KEEPALIVE_LINGER)

    def refuse(self, conn: Connection, status: HTTPStatus, message: str, headers: str = "") -> None:
        """Answer from the main loop, without Django, and close."""
        fault = {_FAULTS[status]: {"code": status, "message": message}}
        kind, body = "application/json", json.dumps(fault)
        if HTML.search(conn.received.partition(HEAD_END)[0]):
            kind, body = "text/html", _PAGE.format(status=status, message=message)
        answer = (
            f"HTTP/1.1 {status:d} {status.phrase}\r\nContent-Type: {kind}; charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
        )
        if not conn.received.startswith(b"HEAD "):
            answer += body
        with suppress(OSError):
            conn.sock.send(answer.encode())
        self.linger(conn)

    # --- the end ------------------------------------------------------------------------------

    def set_accept_enabled(self, enabled: bool) -> None:
        """When the worker stops, take what has connected already, and let nobody else connect."""
        stops = not enabled and not self.alive
        if stops:
            for listener in self.sockets:
                while self.accept(listener):
                    pass
        super().set_accept_enabled(enabled)
        if stops:
            for listener in self.sockets:
                listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Close what waits for clients by ``deadline`` at the latest; the base class calls this."""
        for conn in self.waiting:
            conn.deadline = min(conn.deadline, deadline)


_FAULTS = {
    HTTPStatus.LENGTH_REQUIRED: "computeFault",
    HTTPStatus.REQUEST_TIMEOUT: "computeFault",
    HTTPStatus.SERVICE_UNAVAILABLE: "serviceUnavailable",
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status.phrase}</title><h1>{status.phrase}</h1><p>{message}</p></html>
"""
