"""Asks a CA on this host how it is: /health on its own address under its own root, /readyz on the metrics port.

Rules: names are not looked up, since the address is in ca.toml; what comes back is bounded; trouble is said in words.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path

import msgspec

from dayfly.config.addresses import Address

TIMEOUT = 5.0  # seconds
MAX_ANSWER = 64 * 1024


class _Ready(msgspec.Struct):
    ready: bool
    checks: dict[str, bool]


def ask_health(address: Address, *, name: str, root: Path) -> str:
    """What is wrong with the answer of /health to a client that asks for `name` and trusts `root`; empty if nothing."""
    try:
        context = ssl.create_default_context(cafile=str(root))
        with (
            socket.create_connection((_dialled(address.host), address.port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            status, _ = _get(secure, "/health", host=name)
    except ssl.SSLCertVerificationError as error:
        return f"its certificate does not verify under {root}: {error.verify_message}"
    except (OSError, http.client.HTTPException) as error:
        return f"{address} does not answer: {_why(error)}"
    return "" if status == 200 else f"/health answers with status {status}"


def ask_ready(address: Address) -> tuple[tuple[str, ...], str]:
    """The checks of /readyz that fail, and what is wrong with asking; both empty if nothing is."""
    try:
        with socket.create_connection((_dialled(address.host), address.port), timeout=TIMEOUT) as plain:
            _, body = _get(plain, "/readyz", host="localhost")
        checks = msgspec.json.decode(body, type=_Ready).checks
    except (OSError, http.client.HTTPException) as error:
        return (), f"{address}: {_why(error)}"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return (), f"{address}: the answer is not that of a CA"
    return tuple(name for name, passed in checks.items() if not passed), ""


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _get(connection: socket.socket, path: str, *, host: str) -> tuple[int, bytes]:
    """One request on a connection that is there already."""
    client = http.client.HTTPConnection(host, timeout=TIMEOUT)
    client.sock = connection
    client.request("GET", path, headers={"Connection": "close"})
    answer = client.getresponse()
    return answer.status, answer.read(MAX_ANSWER)


def _dialled(host: str) -> str:
    """An address to dial for one to listen on."""
    return {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
