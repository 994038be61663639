"""Answers to http-01 challenges: by a tiny server of our own, or by files below a running one's root (RFC 8555 8.3).

Rules: only tokens that were presented are answered; nothing else is served, listed or logged.
"""

from __future__ import annotations

import http.server
import os
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dayfly.errors import ClientError, UsageError

PATH = "/.well-known/acme-challenge/"


class Solver(Protocol):
    """Makes an answer reachable, and takes it away; a context manager."""

    def present(self, token: str, answer: str) -> None:
        """Make the answer reachable; ClientError."""
        ...

    def cleanup(self, token: str) -> None:
        """Take it away."""
        ...


class _Server(http.server.ThreadingHTTPServer):
    """Answers known tokens; IPv6 hosts too."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int) -> None:
        self.answers: dict[str, str] = {}
        if ":" in host or not host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Answer)

    def server_bind(self) -> None:
        """Listen on both families where no host is named."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that goes away in the middle is nobody's error: the CA will ask again."""


class _Answer(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        """One token, or nothing."""
        answer = self.server.answers.get(self.path.removeprefix(PATH)) if self.path.startswith(PATH) else None
        body = (answer or "no such challenge\n").encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: an answer is as good as a key until it is used."""


class StandaloneSolver:
    """A server of our own on `host:port`, from enter to exit."""

    def __init__(self, host: str, port: int) -> None:
        """Nothing listens yet."""
        self._address = (host, port)
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        """Listen; ClientError says who may be in the way."""
        host, port = self._address
        try:
            self._server = _Server(host, port)
        except PermissionError:
            raise ClientError(
                f"this user may not listen on port {port}, where the CA will look",
                hint="run as a user who may, use --webroot with your web server, or --http-listen behind a forward",
            ) from None
        except OSError as error:
            raise ClientError(
                f"port {port} is taken: {error.strerror}",
                hint=f"see who has it: ss -ltnp 'sport = :{port}'; if it is a web server, use --webroot DIR",
            ) from None
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def present(self, token: str, answer: str) -> None:
        """Answer this token."""
        if self._server is None:
            raise ClientError("the challenge server is not running")
        self._server.answers[token] = answer

    def cleanup(self, token: str) -> None:
        """Answer it no more."""
        if self._server is not None:
            self._server.answers.pop(token, None)


class WebrootSolver:
    """A file below the root of a running web server."""

    def __init__(self, root: Path) -> None:
        """`root` is what the web server serves at `/`."""
        self._directory = root / PATH.strip("/")

    def __enter__(self) -> Self:
        """Make the directory; ClientError."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        except OSError as error:
            raise ClientError(
                f"{self._directory} cannot be made: {error.strerror}", hint="is --webroot right?"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The directory stays: it may have been there before."""

    def present(self, token: str, answer: str) -> None:
        """Write the file, whole or not at all; readable for the web server."""
        target, temporary = self._directory / token, self._directory / f".{token}.tmp"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(answer)
            temporary.rename(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ClientError(f"{target} cannot be written: {error.strerror}", hint="is --webroot right?") from None

    def cleanup(self, token: str) -> None:
        """Remove the file."""
        (self._directory / token).unlink(missing_ok=True)


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of `:80`, `127.0.0.1:5002` or `[::1]:5002`; UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise UsageError(f"{text!r} is no address to listen on", hint="write it as :80 or 127.0.0.1:5002")
    return host.strip("[]"), int(port)
