"""The recipe, word for word, and what must be true after each line of it.

Rules: what stands behind the `$` is what is run; the first thing that is not as promised ends it, with what was said;
once at a terminal on one machine, once with DAYFLY_PASSWORD_FILE, without a terminal, on two.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from recipe.machines import API, CA, SHOP, Machine, machines
from recipe.terminal import Answers, Outcome, Staying, run_at_terminal, run_plain

SRC = Path(__file__).parents[2] / "src"
INIT = f'dayfly ca init --name "Internal CA" --dns "{CA}" --address ":9000" --provisioner "platform-team"'
ADD = "dayfly ca provisioner add internal-acme --type ACME"
START = "dayfly ca start"
CERTIFICATE = f"dayfly ca certificate {API} api.crt api.key --provisioner internal-acme"
RENEW = "dayfly ca renew api.crt api.key --force"
SHOPPING = f"dayfly ca certificate {SHOP} shop.crt shop.key --provisioner internal-acme"
VERIFY = "dayfly ca log verify"
PASSWORD_PROMPTS = ("Password for the CA's keys [leave empty and one is made]:", "Repeat the password:")
START_PROMPT = "Password of the CA's keys:"
CONSTRAIN_PROMPT = "Constrain the issuing certificate to the names of the first rules? [y/N]:"
ALLOW_PROMPT = "Make it so? [y/N]:"


class Deviation(Exception):
    """Something was not as the recipe promises."""


@dataclass(slots=True)
class Kitchen:
    """Where the recipe is played: the CA's machine, the service's (the same, or another), and the screen."""

    ca: Machine
    host: Machine
    show: Callable[[str], None]
    at_terminal: bool
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18))

    def say(self, line: str, machine: Machine, *, answers: Answers = (), status: int = 0) -> Outcome:
        """Run one line; Deviation unless it ends with the status."""
        self.show(f"{machine.title}$ {line}")
        command, environment = machine.command(*shlex.split(line)), self.environment(machine)
        if self.at_terminal:
            outcome = run_at_terminal(command, environment, answers)
        else:
            outcome = run_plain(command, environment)
        for text in outcome.text.strip().splitlines():
            self.show(f"    {text}")
        need(outcome.status == status, f"`{line}` ended with {outcome.status}, not {status}")
        need("(never asked" not in outcome.text, f"`{line}` did not ask what it should")
        need("Traceback" not in outcome.text, f"`{line}` showed a stack")
        need(self.password not in outcome.text, f"`{line}` showed the password")
        return outcome

    def environment(self, machine: Machine) -> Mapping[str, str]:
        """A person's surroundings: a home, a path, and for the second way the password's file."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DAYFLY_", "STEP"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        more = {} if self.at_terminal else {"DAYFLY_PASSWORD_FILE": str(self.password_file)}
        compiled = str(Path(sys.prefix) / "pycache")
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {
            **kept, "HOME": str(machine.home), "PATH": path, "PYTHONPATH": str(SRC), "TERM": "dumb",
            "PYTHONPYCACHEPREFIX": compiled, **more,
        }  # fmt: skip

    @property
    def password_file(self) -> Path:
        """The file that DAYFLY_PASSWORD_FILE names."""
        return self.ca.home / "password"

    @property
    def home(self) -> Path:
        """The CA's home, where nothing names another."""
        return self.ca.home / ".dayfly"

    @property
    def root(self) -> Path:
        """The root's certificate."""
        return self.home / "certs" / "root_ca.crt"

    def file(self, name: str) -> Path:
        """A file of who works on the service's machine."""
        return self.host.home / name

    @contextlib.contextmanager
    def running(self) -> Iterator[Staying]:
        """`dayfly ca start`, to its end with 0."""
        self.show(f"{self.ca.title}$ {START}")
        command, environment = self.ca.command(*shlex.split(START)), self.environment(self.ca)
        if self.at_terminal:
            server = Staying.at_terminal(command, environment, ((START_PROMPT, self.password),))
        else:
            server = Staying.plain(command, environment)
        try:
            need(server.wait_for(lambda text: '"event":"ready"' in text), f"the CA was not ready: {server.text}")
            yield server
        finally:
            status = server.end()
            for text in server.text.strip().splitlines():
                self.show(f"    | {text}")
        need(status == 0, f"the CA ended with {status}")
        need(self.password not in server.text, "the CA showed its password")

    def verify(self, certificate: str) -> x509.Certificate:
        """`openssl verify` accepts the pair's certificate under the root; the leaf."""
        path = self.file(certificate)
        line = ["openssl", "verify", "-CAfile", str(self.root), "-untrusted", str(path), str(path)]
        self.show(f"{self.host.title}$ openssl verify -CAfile root_ca.crt -untrusted {certificate} {certificate}")
        done = subprocess.run(line, check=False, capture_output=True, text=True)
        self.show(f"    {certificate}: {done.stdout.strip().rpartition(': ')[2] or done.stderr.strip()}")
        need(done.returncode == 0, f"OpenSSL refuses {certificate}: {done.stderr}")
        leaf, *_ = x509.load_pem_x509_certificates(path.read_bytes())
        return leaf


def need(truth: bool, otherwise: str) -> None:
    """Deviation unless it is so."""
    if not truth:
        raise Deviation(otherwise)


def names_of(leaf: x509.Certificate) -> list[str]:
    """The DNS names of a certificate."""
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def cook(kitchen: Kitchen) -> None:
    """1. A CA. 2. A certificate. 3. Its renewal. 4. A name outside the rules. 5. The rule that it needs."""
    found_ca(kitchen)
    with kitchen.running():
        if kitchen.host is not kitchen.ca:
            bootstrap(kitchen)
        get_and_renew(kitchen)
        be_refused_and_allowed(kitchen)
        kitchen.say(VERIFY, kitchen.ca)


def found_ca(kitchen: Kitchen) -> None:
    """The CA and its ACME provisioner."""
    if not kitchen.at_terminal:
        kitchen.password_file.touch(mode=0o600)
        kitchen.password_file.write_text(kitchen.password + "\n")
    typed = [(prompt, kitchen.password) for prompt in PASSWORD_PROMPTS]
    kitchen.say(INIT, kitchen.ca, answers=[*typed, (CONSTRAIN_PROMPT, "n")])
    kitchen.say(ADD, kitchen.ca)


def bootstrap(kitchen: Kitchen) -> None:
    """What a second machine needs once: the root, by its fingerprint."""
    fingerprint = x509.load_pem_x509_certificate(kitchen.root.read_bytes()).fingerprint(SHA256()).hex()
    kitchen.say(f"dayfly ca bootstrap --ca-url https://{CA}:9000 --fingerprint {fingerprint}", kitchen.host)


def get_and_renew(kitchen: Kitchen) -> None:
    """A certificate by ACME at port 80, then a renewal by the certificate itself."""
    kitchen.say(CERTIFICATE, kitchen.host)
    first = kitchen.verify("api.crt")
    need(names_of(first) == [API], f"the certificate is for {names_of(first)}")
    need(kitchen.file("api.key").stat().st_mode & 0o777 == 0o600, "the key is not 0600")
    kitchen.say(RENEW, kitchen.host)
    second = kitchen.verify("api.crt")
    need(second.serial_number != first.serial_number, "the renewed certificate has the old serial number")
    need(names_of(second) == [API], "the renewed certificate has other names")
    need(second.public_key() == first.public_key(), "a renewal keeps its key; `rekey` changes it")


def be_refused_and_allowed(kitchen: Kitchen) -> None:
    """A name that no rule gives: who decided, what would pass, and one command that makes it pass."""
    refused = kitchen.say(SHOPPING, kitchen.host, status=1).text
    need("default-deny" in refused, "the refusal does not name the rule that decided")
    nearest = re.search(r"nearest[^:]*: (\S+)\.internal\.example", refused)
    need(nearest is not None, "the refusal does not name what would have been allowed")
    denial = re.search(r"dayfly ca policy allow --denial [0-9A-Z]+", refused)
    need(denial is not None, "the refusal does not name the command that allows it")
    need(not kitchen.file("shop.crt").exists(), "a refused name left a file behind")
    assert denial is not None
    kitchen.say(denial[0], kitchen.ca, answers=[(ALLOW_PROMPT, "y")])
    kitchen.say(SHOPPING, kitchen.host)
    need(names_of(kitchen.verify("shop.crt")) == [SHOP], "the certificate is for another name")


def play_at_terminal(where: Path, show: Callable[[str], None]) -> None:
    """One machine, one person at its terminal; Deviation."""
    show("== one machine, at a terminal ==")
    with machines(where, {"host": (CA, API, SHOP)}) as (one,):
        cook(Kitchen(one, one, show, at_terminal=True))


def play_without_terminal(where: Path, show: Callable[[str], None]) -> None:
    """A CA and a host with a cable between them, no terminal, the password in a file; Deviation."""
    show("== two machines, without a terminal, DAYFLY_PASSWORD_FILE ==")
    with machines(where, {"ca": (CA,), "api": (API, SHOP)}) as (ca, host):
        cook(Kitchen(ca, host, show, at_terminal=False))
