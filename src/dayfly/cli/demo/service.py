"""The demo's service: a real HTTPS server process that loads its certificate at a reload and at no other time.

Rules: SIGHUP loads the pair anew, as nginx does; a fresh context takes the old one's place, so a bad pair breaks
nothing; SIGUSR1 makes it deaf to reloads, SIGUSR2 makes it listen again. That is the fault that the demo plants.
"""

from __future__ import annotations

import http.server
import os
import signal
import ssl
import sys
from pathlib import Path
from types import FrameType

ANSWER = b"hello from api.internal.example\n"


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers everything alike."""

    def do_GET(self) -> None:
        """Answer every path with the same words."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: the demo's screen belongs to the story."""


class Service(http.server.ThreadingHTTPServer):
    """Serves TLS with the context of the last reload; before the first one it closes what connects."""

    daemon_threads = True
    answer: type[http.server.BaseHTTPRequestHandler] = Answer

    def __init__(self, port: int, pair: Path) -> None:
        """Listen on loopback; `pair` is the directory with fullchain.pem and key.pem."""
        super().__init__(("127.0.0.1", port), self.answer)
        self._pair = pair
        self._context: ssl.SSLContext | None = None
        self._deaf = False

    def get_request(self) -> tuple[ssl.SSLSocket, tuple[str, int]]:
        """Accept a connection; the handshake happens with the first read, in the connection's own thread."""
        connection, address = self.socket.accept()
        connection.settimeout(5)
        if self._context is None:
            connection.close()
            raise OSError("no certificate was loaded yet")
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that goes away is nobody's error."""

    def reload(self, number: int, frame: FrameType | None) -> None:
        """SIGHUP: load the pair, unless deaf."""
        del number, frame
        if self._deaf:
            return
        try:
            self._context = self.load(self._pair.resolve())
        except (OSError, ssl.SSLError) as error:
            sys.stderr.write(f"service: the pair was not loaded, the old one stays: {error}\n")

    def load(self, pair: Path) -> ssl.SSLContext:
        """A fresh context with the pair in a directory; OSError, ssl.SSLError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair / "fullchain.pem", pair / "key.pem")
        return context

    def deafen(self, number: int, frame: FrameType | None) -> None:
        """SIGUSR1 and SIGUSR2: stop and start listening to reloads."""
        del frame
        self._deaf = number == signal.SIGUSR1


def main() -> None:
    """Arguments: port, directory of the pair, pid file."""
    port, pair, pid_file = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    service = Service(port, pair)
    signal.signal(signal.SIGHUP, service.reload)
    signal.signal(signal.SIGUSR1, service.deafen)
    signal.signal(signal.SIGUSR2, service.deafen)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    pid_file.write_text(f"{os.getpid()}\n", "ascii")
    service.serve_forever(poll_interval=0.2)


if __name__ == "__main__":
    main()
