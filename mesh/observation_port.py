"""The port for observers: `/metrics` for Prometheus, `/ready` and `/live` for whoever keeps the process running."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from mesh.readiness import Readiness

MAX_REQUEST_BYTES: Final = 16 * 1024
READ_SECONDS: Final = 5.0

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON_TYPE: Final = "application/json"


class ObservationPort:
    """A small HTTP/1.1 server: one answer for each connection, GET only."""

    def __init__(self, registry: CollectorRegistry, readiness: Readiness) -> None:
        self._registry = registry
        self._readiness = readiness
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return `host:port`; port 0 takes a free one. Raises OSError if the port is taken."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST_BYTES)
        bound: int = self._server.sockets[0].getsockname()[1]
        return f"{host}:{bound}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, kind, body = self._answer(head.split(b"\r\n", 1)[0].decode("latin-1"))
            lines = (
                f"HTTP/1.1 {status}",
                f"Content-Type: {kind}",
                f"Content-Length: {len(body)}",
                "Connection: close",
                "\r\n",
            )
            writer.write("\r\n".join(lines).encode() + body)
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            # Whoever speaks too slowly, too much or not at all gets no answer.
            return
        finally:
            writer.close()

    def _answer(self, request_line: str) -> tuple[str, str, bytes]:
        method, _, rest = request_line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method != "GET":
            return "405 Method Not Allowed", _JSON_TYPE, b"{}"
        if path == "/metrics":
            return "200 OK", _METRICS_TYPE, generate_latest(self._registry)
        if path == "/live":
            return "200 OK", _JSON_TYPE, b'{"live": true}'
        if path == "/ready":
            ready = self._readiness.ready
            body = json.dumps({"ready": ready, "failures": dict(self._readiness.failures)}).encode()
            return "200 OK" if ready else "503 Service Unavailable", _JSON_TYPE, body
        return "404 Not Found", _JSON_TYPE, b"{}"
