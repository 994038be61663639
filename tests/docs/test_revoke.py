"""The page about revocation is run as it stands, against a running CA of two workers with CRLs."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from ca_world import CA, found, free_ports
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "revoke.md"


def test_every_command_about_revocation_works_as_written(tmp_path: Path) -> None:
    """At home, by token, by key, many at once; a long one is on its CRL on every worker within seconds."""
    ca = found(tmp_path)
    (port,) = free_ports(1)
    with (ca.home / "ca.toml").open("a") as toml:
        toml.write(f'\n[crl]\naddress = "127.0.0.1:{port}"\nurl = "http://127.0.0.1:{port}"\n')
    ca.start("--workers", "2")
    try:
        _play(ca, tmp_path / "host")
    finally:
        assert ca.stop() == 0


def _play(ca: CA, host: Path) -> None:
    text = PAGE.read_text("utf-8").replace("secrets/", f"{ca.home}/secrets/")
    here, by_token, by_itself, many, longer, listed, asked, checked = (
        f'export CA_HOME="{ca.home}"\n{one}' for one in scripts(text)
    )
    host.mkdir()
    shell(f"dayfly ca bootstrap --ca-url {ca.url} --fingerprint {ca.init['fingerprint']}", host)
    at_home, first, _ = (_certificate(ca, host, name) for name in ("web", "shop", "api"))
    shell(f"export SERIAL={at_home.serial_number}\n{here}", host)
    shell(f"export SERIAL={first.serial_number}\n{by_token}", host)
    shell(by_itself, host)
    _certificate(ca, host, "api")
    assert "1 certificate would be revoked" in shell(many, host).stderr
    shell(longer, host)
    good = _certificate(ca, host, "good", "--not-after", "720h")
    bad = _certificate(ca, host, "long", "--not-after", "720h")
    url = _url(bad)
    assert [len(_crl(url)) for _ in range(4)] == [0] * 4
    shell(f"export SERIAL={bad.serial_number}\n{by_token}", host)
    _until(lambda: all(bad.serial_number in _crl(url) for _ in range(8)))
    shell(listed, host)
    for script, says in ((asked, "was revoked at"), (checked, "certificate revoked")):
        refused = shell(script, host, check=False)
        assert refused.returncode != 0
        assert says in refused.stdout + refused.stderr
    shell(asked.replace("long.crt", "good.crt"), host)
    for place, why in ((f"{url}x", "HTTP status 404"), ("http://127.0.0.1:1/x", "refused")):
        away = shell(asked.replace("--verify-crl", f"--crl-endpoint {place}"), host, check=False)
        assert (away.returncode, "cannot be had" in away.stderr, why in away.stderr) == (1, True, True)
    assert good.serial_number not in _crl(url)
    assert "OK" in shell(checked.replace("long.crt", "good.crt"), host).stdout
    (row,) = json.loads(ca.dayfly("ca", "crl", "--json").stdout)
    assert (row["url"], row["entries"], row["stale"]) == (url, 1, False)
    _until(lambda: "dayfly_ca_crl_entries" in _read(f"http://127.0.0.1:{ca.metrics}/metrics").decode())
    assert _status(f"http://127.0.0.1:{url.split(':')[2].split('/')[0]}/health") == 404


def _certificate(ca: CA, host: Path, name: str, *more: str) -> x509.Certificate:
    flags = f"--provisioner platform-team --provisioner-password-file {ca.home}/secrets/provisioner_password --force"
    shell(f"dayfly ca certificate {name}.internal.example {name}.crt {name}.key {flags} {' '.join(more)}", host)
    return x509.load_pem_x509_certificates((host / f"{name}.crt").read_bytes())[0]


def _url(certificate: x509.Certificate) -> str:
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return next(str(name.value) for point in points for name in point.full_name or [])


def _crl(url: str) -> set[int]:
    return {one.serial_number for one in x509.load_der_x509_crl(_read(url))}


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return bytes(answer.read())


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
