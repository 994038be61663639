"""A name server on loopback, in a thread: honest from a zone, or as hostile as a test wants it to be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from dayfly.adapters.validators.dnsclient import NameServer
from dayfly.adapters.validators.resolver import Resolver
from dayfly.ports.validation import ValidationFailed
from factories import told

Found = TypeVar("Found")
Responder = Callable[[dns.message.Message, bool], Iterable[bytes]]
"""The datagrams to send for a query, in order, or the one answer over TCP, where the second argument is true."""


@dataclass
class Zone:
    """Records by name and type, as `{"a.example TXT": ["x"]}`; remembers what it was asked.

    All have one TTL, but those of the types in `ttls`.
    """

    records: Mapping[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ttls: Mapping[str, int] = field(default_factory=dict)

    def reply(self, query: dns.message.Message) -> dns.message.Message:
        """The honest answer: the records, else the alias alone, else NXDOMAIN where nothing has the name."""
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        for found in (kind, "CNAME"):
            texts = self.texts(name, found)
            if texts:
                answer.answer.append(
                    dns.rrset.from_text_list(question.name, self.ttls.get(found, 0), "IN", found, texts)
                )
                return answer
        if not self.exists(name):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def texts(self, name: str, kind: str) -> list[str]:
        """The records of one type at a name."""
        return self.records.get(f"{name} {kind}", [])

    def exists(self, name: str) -> bool:
        """Has the name any records?"""
        return any(key.startswith(f"{name} ") for key in self.records)

    def __call__(self, query: dns.message.Message, tcp: bool) -> Iterable[bytes]:
        """The answer in one datagram; over UDP an answer that is too long is cut short."""
        wire = self.reply(query).to_wire(max_size=65_535)
        if not tcp and len(wire) > 512:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            wire = cut.to_wire()
        return (wire,)


class FolderZone(Zone):
    """TXT records in files named like their names, one value a line, as hooks of ACME clients write them."""

    def __init__(self, folder: Path, apex: str, addresses: Mapping[str, str]) -> None:
        """`apex` has the SOA and NS that clients look for; `addresses` are A records."""
        records = {f"{name} A": [address] for name, address in addresses.items()}
        soa = f"ns.{apex}. hostmaster.{apex}. 1 60 60 60 60"
        super().__init__(
            {**records, f"{apex} SOA": [soa], f"{apex} NS": [f"ns.{apex}."], f"ns.{apex} A": ["127.0.0.1"]}
        )
        self._folder = folder

    def texts(self, name: str, kind: str) -> list[str]:
        """What the file holds now."""
        path = self._folder / name
        if kind == "TXT" and path.exists():
            return [f'"{line}"' for line in path.read_text().split()]
        return super().texts(name, kind)

    def exists(self, name: str) -> bool:
        """A file, too, makes a name."""
        return (self._folder / name).exists() or super().exists(name)


@contextlib.contextmanager
def dns_server(responder: Responder) -> Iterator[int]:
    """A server for UDP and TCP; yields its port."""
    udp, tcp = _pair()
    stop = threading.Event()
    threads = [
        threading.Thread(target=serve, args=(one, responder, stop), daemon=True)
        for serve, one in ((_udp, udp), (_tcp, tcp))
    ]
    for thread in threads:
        thread.start()
    try:
        yield udp.getsockname()[1]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        udp.close()
        tcp.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets with one port number."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            tcp.bind(("127.0.0.1", udp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
            continue
        tcp.listen()
        for one in (udp, tcp):
            one.settimeout(0.05)
        return udp, tcp


def _udp(listening: socket.socket, responder: Responder, stop: threading.Event) -> None:
    tcp = False
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            data, peer = listening.recvfrom(4096)
            for answer in responder(dns.message.from_wire(data), tcp):
                listening.sendto(answer, peer)


def _tcp(listening: socket.socket, responder: Responder, stop: threading.Event) -> None:
    tcp = True
    while not stop.is_set():
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(2)
                size = int.from_bytes(connection.recv(2))
                query = dns.message.from_wire(connection.recv(size))
                for answer in responder(query, tcp):
                    connection.sendall(len(answer).to_bytes(2) + answer)


def asking(responder: Responder, ask: Callable[[Resolver], Awaitable[Found]]) -> Found | ValidationFailed:
    """What comes of asking a resolver whose one server answers like this."""

    async def run(port: int) -> Found | ValidationFailed:
        try:
            return await ask(Resolver([NameServer("127.0.0.1", port)]))
        except ValidationFailed as failure:
            return told(failure)

    with dns_server(responder) as port:
        return asyncio.run(run(port))
