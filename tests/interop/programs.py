"""Programs that are not ours, run as a reader of the how-to page would run them, and ended when a test is over.

Rules: what runs is the page's text, in which a test replaces what a laboratory has otherwise (addresses, ports,
folders), and each replacement must find its place; a program that is kept running is ended by its process, never by
its name.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from ca_world import CA, environment

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
CLIENTS, LIBRARIES = PAGES / "acme-clients.md", PAGES / "acme-libraries.md"
DIRECTORY = "https://ca.internal.example:9000/acme/internal-acme/directory"
ROOT = "/etc/dayfly/root_ca.crt"


def blocks(heading: str, page: Path = CLIENTS) -> list[str]:
    """The code blocks below a heading of a page."""
    text = page.read_text("utf-8")
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section is not None, f"{page.name} has no section {heading}"
    return re.findall(r"```[a-z]*\n(.*?)```", section[1], re.DOTALL)


def adapted(text: str, changes: Mapping[str, object]) -> str:
    """The text with what the laboratory has otherwise; what is not there to be changed is an error."""
    for old, new in changes.items():
        assert old in text, (old, text)
        text = text.replace(old, str(new))
    return text


def shell(script: str, where: Path, **variables: str) -> str:
    """Run a block to its end; what it said."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=where, env={**environment(where), "PATH": path, **variables}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@contextlib.contextmanager
def kept_running(
    command: list[str], where: Path, *, user: str | None = None, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the foreground, ended with SIGTERM; its words are in `program.log`."""
    with (where / "program.log").open("ab") as output:
        process = subprocess.Popen(
            command, cwd=where, env={**environment(where), **variables}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, user=user, group=user, extra_groups=() if user else None,
        )  # fmt: skip
        try:
            yield process
            assert process.poll() is None, f"{command[0]} ended by itself"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def web_root(folder: Path, port: int) -> Iterator[None]:
    """A web server that serves a folder on loopback: what a client that writes files needs beside it."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """It logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""


@dataclass(frozen=True)
class Chain:
    """A leaf with what came after it."""

    leaf: x509.Certificate
    rest: tuple[x509.Certificate, ...]

    @property
    def names(self) -> list[str]:
        """The leaf's DNS names."""
        found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return found.get_values_for_type(x509.DNSName)

    @property
    def serial(self) -> int:
        """The leaf's serial number."""
        return self.leaf.serial_number


def check_file(ca: CA, path: Path, *names: str) -> int:
    """The serial of the leaf in a file, whose chain verifies under the root and has exactly these names."""
    leaf, *rest = x509.load_pem_x509_certificates(path.read_bytes())
    return check_chain(ca, Chain(leaf, tuple(rest)), *names)


def check_chain(ca: CA, chain: Chain, *names: str) -> int:
    """The serial of the leaf, whose chain verifies under the root and has exactly these names."""
    assert sorted(chain.names) == sorted(names)
    (issuer,) = chain.rest
    chain.leaf.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.root.read_bytes()))
    return chain.serial


def certificate_id(path: Path) -> str:
    """What a client asks renewal information by (RFC 9773 4.1), of the first certificate in a file."""
    leaf = x509.load_pem_x509_certificate(path.read_bytes())
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1)  # a leading 00 where DER has one
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (issuer, serial))


def served(ca: CA, port: int, name: str) -> int | None:
    """The serial of the leaf that is served for a name and verifies under the root; None where nothing good is."""
    context = ssl.create_default_context(cafile=str(ca.root))
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"").serial_number
    except OSError:
        return None


def wait_for(what: Callable[[], int | None], *, seconds: float, why: Callable[[], str]) -> int:
    """The first result that is not None, looked for until the deadline."""
    deadline = time.monotonic() + seconds
    while (found := what()) is None:
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)
    return found
