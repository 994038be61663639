"""The client's own challenge server: a peer that goes away harms nobody."""

from __future__ import annotations

import contextlib
import io
import socket
import struct

from ca_world import free_ports
from dayfly.client.solving import PATH, StandaloneSolver


def test_challenge_server_says_nothing_when_a_peer_goes_away() -> None:
    """A look that is cut off leaves no stack on standard error, and the next one is answered."""
    (port,) = free_ports(1)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), StandaloneSolver("127.0.0.1", port) as solver:
        solver.present("t" * 16, "x" * 8_000_000)  # more than any buffer takes
        with socket.create_connection(("127.0.0.1", port), 5) as one:
            one.sendall(f"GET {PATH}{'t' * 16} HTTP/1.0\r\n\r\n".encode())
            one.recv(1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        solver.present("u" * 16, "answer")
        with socket.create_connection(("127.0.0.1", port), 5) as other:
            other.sendall(f"GET {PATH}{'u' * 16} HTTP/1.0\r\n\r\n".encode())
            assert b"answer" in b"".join(iter(lambda: other.recv(65536), b""))
    assert said.getvalue() == ""
