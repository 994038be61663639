"""Programs of ours around ACME libraries in other languages: how each is built, run, and what it can do.

Rules: sources lie in `peers/`, and are built from a copy below `.cache/interop`, so that a build leaves nothing in
the tree; what they are built from is named with its version, and no lock file names where it is had.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ca_world import environment

SOURCES = Path(__file__).parent / "peers"
TREE = Path(__file__).parents[2]
CACHE = TREE / ".cache" / "interop"


@dataclass(frozen=True)
class Library:
    """A library: its row in the table, how its program is made, and what it can do besides enrolling and renewing."""

    name: str
    language: str
    build: Callable[[Path, Path], list[str]]
    """Builds in a folder, for a CA with this root; the command."""
    pinned: tuple[str, str]
    """The file that pins its version, and the expression that finds it there."""
    deeds: tuple[str, ...] = ()
    replaces: bool = True
    """Does it name the certificate that a new one replaces? Else it only asks when to renew."""

    def command(self, root: Path) -> list[str]:
        """The built program, for a CA with this root."""
        folder = CACHE / self.language
        left = shutil.ignore_patterns("target", "node_modules", "Cargo.lock")  # what somebody built in the tree
        shutil.copytree(SOURCES / self.language, folder, dirs_exist_ok=True, ignore=left)
        return self.build(folder, root)

    @property
    def pin(self) -> str:
        """The version that is asked for."""
        file, expression = self.pinned
        found = re.search(expression, (TREE / file).read_text())
        assert found is not None, self.pinned
        return found[1]


def tool(command: list[str], folder: Path) -> None:
    """Run a builder; what it said is told when it fails."""
    # a stranger's HOME would hide the caches and settings with which package clients are set up
    variables = {**environment(folder), "HOME": os.environ["HOME"]}
    result = subprocess.run(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{' '.join(command)}: {result.stdout[-3000:]}{result.stderr[-3000:]}"


def _go(name: str) -> Callable[[Path, Path], list[str]]:
    def build(folder: Path, _root: Path) -> list[str]:
        tool(["go", "build", "-mod=readonly", "-o", "bin/", f"./{name}"], folder)
        return [str(folder / "bin" / name)]

    return build


def _node(folder: Path, _root: Path) -> list[str]:
    if not (folder / "node_modules").exists():
        tool(["npm", "ci", "--no-audit", "--no-fund"], folder)
    return ["node", str(folder / "acme-client.js")]


def _rust(folder: Path, _root: Path) -> list[str]:
    tool(["cargo", "build", "--quiet"], folder)
    return [str(folder / "target" / "debug" / "dayfly-interop")]


def _java(folder: Path, root: Path) -> list[str]:
    jar = folder / "target" / "interop-0.jar"
    if not jar.exists() or jar.stat().st_mtime < max(one.stat().st_mtime for one in folder.rglob("*.java")):
        tool(["mvn", "--quiet", "--batch-mode", "package"], folder)
    store = root.parent.parent.parent / "trust.p12"
    if not store.exists():
        imported = ["-importcert", "-noprompt", "-alias", "dayfly", "-file", str(root), "-keystore", str(store)]
        tool(["keytool", *imported, "-storepass", "changeit"], folder)
    classes = f"{jar}:{folder / 'target' / 'lib'}/*"
    trust = (f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit")
    return ["java", *trust, "-cp", classes, "Interop"]


def virtual_environment() -> Path:
    """The environment of the clients that PyPI has; made anew when what is asked for has changed."""
    wanted, stamp = TREE / "requirements" / "interop.txt", CACHE / "venv" / "stamp"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        CACHE.mkdir(parents=True, exist_ok=True)
        tool([sys.executable, "-m", "venv", "--clear", "venv"], CACHE)
        pip = ["venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        tool([*pip, "--require-hashes", "-r", str(wanted)], CACHE)
        stamp.write_text(wanted.read_text())
    return CACHE / "venv" / "bin"


def pinned(package: str) -> str:
    """The version of a client that PyPI has, as it is locked."""
    found = re.search(rf"(?m)^{package}==(\S+)", (TREE / "requirements" / "interop.txt").read_text())
    assert found is not None, package
    return found[1]


def _python(folder: Path, root: Path) -> list[str]:
    python = virtual_environment() / "python"
    return ["env", f"REQUESTS_CA_BUNDLE={root}", str(python), str(folder / "acme_library.py")]


GO = "tests/interop/peers/go/go.mod"
ALL = ("revoke", "ARI", "EAB")
LIBRARIES = (
    Library("x/crypto/acme (Go)", "go", _go("xcrypto"), (GO, r"golang.org/x/crypto v(\S+)"), ("revoke", "EAB")),
    Library("cert-manager", "go", _go("certmanager"), (GO, r"cert-manager/cert-manager v(\S+)"), ALL),
    Library("CertMagic (Go)", "go", _go("certmagic"), (GO, r"caddyserver/certmagic v(\S+)"), ALL),
    Library("lego 5 (Go)", "go", _go("lego"), (GO, r"go-acme/lego/v5 v(\S+)"), ALL),
    Library("acme-client (Node.js)", "node", _node, ("tests/interop/peers/node/package.json", r'acme-client": "(\S+)"'),
            ("revoke", "EAB")),
    Library("instant-acme (Rust)", "rust", _rust,
            ("tests/interop/peers/rust/Cargo.toml", r'instant-acme = \{ version = "=([0-9.]+)"'), ALL),
    Library("acme4j (Java)", "java", _java,
            ("tests/interop/peers/java/pom.xml", r"<artifactId>acme4j-client</artifactId>\s*<version>([0-9.]+)<"), ALL),
    Library("acme (Python)", "python", _python, ("requirements/interop.txt", r"(?m)^acme==(\S+)"), ALL, replaces=False),
)  # fmt: skip
