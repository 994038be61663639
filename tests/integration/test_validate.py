"""`dayfly ca validate`: what the CA would meet, seen from its own seat, by the validators that it has."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ca_world import NAME, found, free_ports
from dayfly.cli.main import run
from dns_peer import Zone, dns_server


@contextmanager
def web_server(port: int) -> Iterator[list[str]]:
    """A web server on loopback that knows no token; the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield asked
        server.shutdown()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a CA that does not run; a test puts its own `[validation]` into ca.toml."""
    ca = found(tmp_path_factory.mktemp("validate"))
    toml = ca.home / "ca.toml"
    toml.write_text(toml.read_text().partition("[validation]")[0])
    return ca.home


@pytest.fixture
def validate(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command in this process, with these settings of `[validation]`; exit code and JSON."""
    toml = home / "ca.toml"
    before = toml.read_text()

    def do(settings: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        toml.write_text(f"{before}\n[validation]\n{settings}\n")
        code = run(["ca", "validate", *arguments, "--home", str(home), "--json"])
        return code, json.loads(capsys.readouterr().out)

    yield do
    toml.write_text(before)


def test_refused_address_gives_the_exact_line__acme_8(validate: Any) -> None:
    """Each address is judged and none is dialled; the line opens the network beside those that are open already."""
    zone = Zone({f"{NAME} A": ["10.9.9.9", "127.0.0.1"]})
    with dns_server(zone) as port:
        settings = f'resolver = "127.0.0.1:{port}"\nallow = ["192.0.2.0/24"]'
        code, told = validate(settings, NAME, "--type", "http-01")
    (result,) = told["results"]
    assert code == 1
    assert (result["reached"], result["problem"]) == (False, "connection")
    assert result["change"] == 'allow = ["192.0.2.0/24", "127.0.0.0/8"]'
    judged = {one["what"]: one["passed"] for one in result["hops"] if one["step"] == "judge"}
    assert judged == {"10.9.9.9:80": True, "127.0.0.1:80": False}
    assert not [one for one in result["hops"] if one["step"] == "dial"]
    looked = [one for one in result["hops"] if one["step"] == "look up"]
    assert any(f"127.0.0.1:{port}: NOERROR" in one["outcome"] for one in looked)


def test_line_that_is_told_opens_the_way__acme_8(validate: Any) -> None:
    """With that line in place the web server is reached, and asked for a token that nobody has."""
    (port,) = free_ports(1)
    hosts = f'http_port = {port}\nhosts = {{ "{NAME}" = "127.0.0.1" }}'
    _, told = validate(hosts, NAME, "--type", "http-01")
    with web_server(port) as asked:
        code, opened = validate(f"{hosts}\n{told['results'][0]['change']}", NAME, "--type", "http-01")
    (result,) = opened["results"]
    assert (code, result["reached"], result["problem"], result["change"]) == (0, True, "incorrectResponse", "")
    assert [one["step"] for one in result["hops"]] == ["look up", "judge", "dial", "answer"]
    assert [one["at"] for one in result["hops"]] == sorted(one["at"] for one in result["hops"])
    assert len(asked) == 1
    assert asked[0].startswith("/.well-known/acme-challenge/")


def test_never_is_not_opened_by_any_line__acme_8(validate: Any) -> None:
    """Link-local and metadata addresses are refused, and nothing is proposed."""
    code, told = validate(f'hosts = {{ "{NAME}" = "169.254.169.254" }}', NAME, "--type", "tls-alpn-01")
    assert (code, told["results"][0]["reached"], told["results"][0]["change"]) == (1, False, "")


def test_nobody_listens__acme_8(validate: Any) -> None:
    """The address is right and the port is closed: not reached, with the dial in the record."""
    (port,) = free_ports(1)
    settings = f'tls_port = {port}\nallow = ["127.0.0.0/8"]\nhosts = {{ "{NAME}" = "127.0.0.1" }}'
    code, told = validate(settings, NAME, "--type", "tls-alpn-01")
    (result,) = told["results"]
    assert (code, result["reached"], result["problem"]) == (1, False, "connection")
    assert [one["passed"] for one in result["hops"] if one["step"] == "dial"] == [False]


def test_resolver_that_answers_is_reached_whatever_it_has__acme_8(validate: Any) -> None:
    """For dns-01 the resolver is what must be reached: that there is no record now is no fault."""
    zone = Zone({f"_acme-challenge.{NAME} TXT": ["x"]})
    with dns_server(zone) as port:
        here, _ = validate(f'resolver = "127.0.0.1:{port}"', NAME, "--type", "dns-01")
        missing, told = validate(f'resolver = "127.0.0.1:{port}"', f"*.b.{NAME}", "--type", "dns-01")
    assert (here, missing, told["results"][0]["problem"]) == (0, 0, "dns")
    (closed,) = free_ports(1)
    code, told = validate(f'resolver = "127.0.0.1:{closed}"', NAME, "--type", "dns-01")
    assert (code, told["results"][0]["reached"]) == (1, False)


def test_types_are_those_of_the_provisioner__acme_8(validate: Any) -> None:
    """Without --type all that may prove the name; a wildcard by DNS alone; an address without DNS."""
    (port,) = free_ports(1)
    settings = f'http_port = {port}\ntls_port = {port}\nallow = ["127.0.0.0/8"]\nresolver = "127.0.0.1:{port}"'
    _, told = validate(settings, "127.0.0.1", "--provisioner", "acme")
    assert [one["type"] for one in told["results"]] == ["http-01", "tls-alpn-01"]
    _, told = validate(settings, f"*.{NAME}")
    assert [one["type"] for one in told["results"]] == ["dns-01"]


def test_caa_is_looked_at_where_the_provisioner_does__acme_8(home: Path, validate: Any) -> None:
    """Beside the challenges: forbidden is exit 1, with the records' name in the hops."""
    zone = Zone({f"_acme-challenge.{NAME} TXT": ["x"], "internal.example CAA": ['0 issue "other.example"']})
    with dns_server(zone) as port:
        settings = f'resolver = "127.0.0.1:{port}"'
        off, told = validate(settings, NAME, "--type", "dns-01")
        assert (off, [one["type"] for one in told["results"]]) == (0, ["dns-01"])
        assert run(["ca", "provisioner", "update", "acme", "--caa", "--home", str(home)]) == 0
        try:
            code, told = validate(settings, NAME, "--type", "dns-01")
            zone.records = {**zone.records, "internal.example CAA": ['0 issue "ca.internal.example"']}
            allowed, _ = validate(settings, NAME, "--type", "dns-01")
        finally:
            assert run(["ca", "provisioner", "update", "acme", "--no-caa", "--home", str(home)]) == 0
    assert (code, allowed) == (1, 0)
    found = told["results"][1]
    assert (found["type"], found["reached"], found["problem"]) == ("caa", False, "caa")
    assert any(one["what"] == "CAA of internal.example" for one in found["hops"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("not a name",), "is not a name that a challenge can prove"),
        ((NAME, "--provisioner", "nobody"), "there is no ACME provisioner nobody"),
        ((NAME, "--type", "dns-account-01"), "is about one account"),
        ((f"*.{NAME}", "--type", "http-01"), "none of http-01 can prove a wildcard"),
        ((NAME, "--type", "colour-01"), "none of colour-01 can prove"),
    ],
)
def test_question_that_cannot_be_asked_is_an_error(validate: Any, arguments: tuple[str, ...], words: str) -> None:
    """It says what is wrong, and exits with 1."""
    code, told = validate("", *arguments)
    assert code == 1
    assert words in told["error"]


def test_person_reads_the_hops_and_what_to_change(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text has one line a hop, the result, and the line to write."""
    toml = home / "ca.toml"
    before = toml.read_text()
    toml.write_text(f'{before}\n[validation]\nhosts = {{ "{NAME}" = "127.0.0.1" }}\n')
    code = run(["ca", "validate", NAME, "--type", "http-01", "--home", str(home)])
    toml.write_text(before)
    text = capsys.readouterr().out
    assert code == 1
    assert "✖ judge    127.0.0.1:80: refused: it is a loopback address" in text
    assert 'To change: [validation] allow = ["127.0.0.0/8"] in ca.toml, then reload the CA (SIGHUP).' in text
