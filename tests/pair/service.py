"""A service of the demo's kind that speaks mutual TLS, and talks to its peer without a pause: `python -m pair.service`.

Rules: both directions verify under the CA's root alone, and by name; every call is a new connection with a full
handshake; what the service presents is what it loaded at its last SIGHUP, in either role; nothing is tried twice.
"""

from __future__ import annotations

import http.server
import os
import signal
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dayfly.cli.demo.service import Service

PAUSE = 0.02  # seconds between two calls
TIMEOUT = 5.0


class Job(msgspec.Struct, frozen=True):
    """The argument of the process, as JSON: who it is, where its pair and its peer are, and where it reports."""

    port: int
    pair: str
    root: str
    pid_file: str
    peer_port: int
    peer: str
    report: str
    go: str


class Report(msgspec.Struct):
    """What happened so far: calls that went well, serials that the peer presented, and every failure with its time."""

    calls: int = 0
    serials: dict[str, int] = {}
    failures: list[str] = []
    strangers: int = 0


def names_of(certificate: object) -> set[str]:
    """The DNS names of a verified peer."""
    assert isinstance(certificate, dict)
    return {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}


@dataclass(slots=True)
class Caller:
    """Calls the peer with the pair of the last reload."""

    job: Job
    report: Report
    context: ssl.SSLContext | None = None

    def run(self) -> None:
        """Call for as long as the file `go` is there; then the report is written."""
        go = Path(self.job.go)
        while not go.exists():
            time.sleep(PAUSE)
        while go.exists():
            self.call()
            time.sleep(PAUSE)
        write(self.report, Path(self.job.report))

    def call(self) -> None:
        """One connection, one handshake, one request; a failure is written down and never repeated."""
        assert self.context is not None
        try:
            with (
                socket.create_connection(("127.0.0.1", self.job.peer_port), TIMEOUT) as plain,
                self.context.wrap_socket(plain, server_hostname=self.job.peer) as secure,
            ):
                serial = str(secure.getpeercert()["serialNumber"])  # type: ignore[index]  # it was verified
                secure.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: secure.recv(4096), b""))
                if not answer.startswith(b"HTTP/1.0 200 "):
                    raise OSError(f"answered {answer[:40]!r}")  # noqa: TRY301 - counted like any failure
        except (OSError, ValueError) as error:
            self.report.failures.append(f"{time.time():.3f} {type(error).__name__}: {error}")  # noqa: TID251 - for people
            return
        self.report.calls += 1
        self.report.serials[serial] = self.report.serials.get(serial, 0) + 1


class PeerService(Service):
    """The demo's service, which wants a certificate of its callers and knows one name only."""

    def __init__(self, job: Job) -> None:
        self.job, self.report = job, Report()
        self.caller = Caller(job, self.report)
        super().__init__(job.port, Path(job.pair))

    def load(self, pair: Path) -> ssl.SSLContext:
        """Contexts for both roles, with one and the same pair."""
        calling = ssl.create_default_context(cafile=self.job.root)
        calling.load_cert_chain(pair / "fullchain.pem", pair / "key.pem")
        context = super().load(pair)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.job.root)
        self.caller.context = calling
        return context

    class answer(http.server.BaseHTTPRequestHandler):  # noqa: N801 - the attribute that the demo's service asks for
        """200 to the peer, 403 to anybody else whom the root vouches for."""

        def do_GET(self) -> None:
            server, connection = self.server, self.connection
            assert isinstance(server, PeerService)
            assert isinstance(connection, ssl.SSLSocket)
            known = names_of(connection.getpeercert()) == {server.job.peer}
            server.report.strangers += not known
            self.send_response(200 if known else 403)
            self.end_headers()
            self.wfile.write(b"hello\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """Say nothing."""


def write(report: Report, path: Path) -> None:
    """Replace the report as a whole."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(report))
    temporary.replace(path)


def main() -> None:
    """Serve and call until SIGTERM, after which the report is whole."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    service = PeerService(job)
    signal.signal(signal.SIGHUP, service.reload)

    def end(*_: object) -> None:
        write(service.report, Path(job.report))
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    Path(job.pid_file).write_text(f"{os.getpid()}\n", "ascii")
    threading.Thread(target=service.caller.run, daemon=True).start()
    service.serve_forever(poll_interval=0.2)


if __name__ == "__main__":
    main()
