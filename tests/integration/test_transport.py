"""The client's transport against a server that goes away in the middle of its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dayfly.client.transport import Transport, trusting
from dayfly.errors import ClientError
from dayfly.server.tls import SwappableContext
from integration.test_front import Pair, make_pair

NAME = "ca.internal.example"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@contextmanager
def answering(octets: bytes, root: Pair) -> Iterator[int]:
    """A TLS server that answers each request with these octets and closes; its port."""
    leaf = make_pair(NAME, root)
    context = SwappableContext(leaf.pem, leaf.key, [root.pem]).outer
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                with context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(octets)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("octets", [HEAD, HEAD + b"-----BEGIN CERTIFICATE-----\n"], ids=["no body", "half a body"])
def test_answer_that_was_cut_off_is_an_error__reliability_r1(tmp_path: Path, octets: bytes) -> None:
    """An answer shorter than its Content-Length is none: a client would take half a chain for a chain."""
    root = make_pair("Root", is_ca=True)
    (tmp_path / "root.crt").write_bytes(root.pem)
    with answering(octets, root) as port:
        url = f"https://127.0.0.1:{port}/"
        context = trusting(tmp_path / "root.crt")
        context.check_hostname = False
        with (
            Transport(url, context) as transport,
            pytest.raises(ClientError, match="in the middle of its answer"),
        ):
            transport.request("GET", url)
