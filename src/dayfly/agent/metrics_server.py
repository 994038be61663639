"""The small port of the agent: `/metrics`, `/livez`, `/readyz`, and nothing else (observability.md 3).

Rules: loopback or a Unix socket of mode 0600; GET only; bounded time for each request; it runs in threads that end with
the process.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from dayfly.errors import ConfigError

Answer = Callable[[], bool]


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    registry: ClassVar[CollectorRegistry]
    health: ClassVar[dict[str, Answer]]

    def do_GET(self) -> None:
        """Answer one of the three paths."""
        if self.path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._send(200, kind, encode(self.registry))
        elif self.path in self.health:
            good = self.health[self.path]()
            self._send(200 if good else 503, "text/plain", b"ok\n" if good else b"not ok\n")
        else:
            self._send(404, "text/plain", b"not found\n")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        """A Unix socket has no address."""
        return "local"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """A scrape is no event."""


class _TCP(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def serve_metrics(address: str, registry: CollectorRegistry, *, health: dict[str, Answer]) -> str:
    """Serve on `host:port` or `unix:PATH` until the process ends; the address as listened on. ConfigError."""
    handler = type("Handler", (_Handler,), {"registry": registry, "health": health})
    try:
        server = _open(address, handler)
    except OSError as error:
        raise ConfigError("metrics", f"cannot listen on {address}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return address


def _open(address: str, handler: type[_Handler]) -> socketserver.BaseServer:
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        if path.is_socket():
            path.unlink()  # of an agent that was killed
        server = _Unix(str(path), handler)
        path.chmod(0o600)
        return server
    host, _, port = address.rpartition(":")
    return _TCP((host.strip("[]"), int(port)), handler)
