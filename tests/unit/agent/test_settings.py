"""agent.toml is read strictly: a key that is not known is named first of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.agent.settings import ExternalKey, parse_settings
from dayfly.errors import ConfigError

GOOD = """
metrics = "127.0.0.1:9101"
[ca]
directory = "https://ca.internal.example:9000/acme/acme/directory"
root = "certs/root_ca.crt"
[cert.api]
names = ["api.internal.example"]
owner = "web-team"
lifetime = "24h"
output = ["cert"]
targets = [{addr = "127.0.0.1:8443", sni = "api.internal.example"}]
[cert.api.key]
type = "p256"
rotate = "each"
[cert.api.challenge]
type = "http-01"
listen = ":80"
[cert.api.reload]
signal = "HUP"
pid_file = "/run/nginx.pid"
[cert.api.verify]
matches = 3
within = "60s"
"""


def test_every_known_key_is_taken() -> None:
    """The whole file, with all tables."""
    (found,) = parse_settings(GOOD, home=Path("/h")).certificates
    assert (found.name, found.owner, found.matches, found.within) == ("api", "web-team", 3, 60)


def test_what_binds_the_account_is_read_and_is_part_of_what_is_declared__rfc8555_7_3_4() -> None:
    """Its file is relative to the home; another account is another declaration, so that a wait for policy ends."""
    table = 'root = "certs/root_ca.crt"\neab = { kid = "k", key_file = "eab.key" }'
    found = parse_settings(GOOD.replace('root = "certs/root_ca.crt"', table), home=Path("/h"))
    plain = parse_settings(GOOD, home=Path("/h"))
    assert found.ca.eab == ExternalKey("k", Path("/h/eab.key"))
    assert plain.ca.eab is None
    assert found.certificates[0].digest != plain.certificates[0].digest


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("{ kid = 'k' }", "ca.eab.key_file"),
        ("{ key_file = 'f' }", "ca.eab.kid"),
        ("{ kid = 'k', key = 'k' }", "ca.eab.key"),
    ],
)
def test_what_binds_the_account_is_whole__rfc8555_7_3_4(table: str, told: str) -> None:
    """Id and file; the secret itself has no key."""
    with pytest.raises(ConfigError, match=rf"^{told}: "):
        parse_settings(GOOD.replace("[ca]", f"[ca]\neab = {table}"), home=Path("/h"))


@pytest.mark.parametrize(
    ("good", "typed", "told"),
    [
        ("[ca]", "[cas]", "cas"),
        ("directory =", "directoy =", "ca.directoy"),
        ("names =", "name =", "cert.api.name"),
        ('type = "p256"', 'tpye = "p256"', "cert.api.key.tpye"),
        ("listen =", "listn =", "cert.api.challenge.listn"),
        ("[cert.api.challenge]", "[cert.api.chalenge]", "cert.api.chalenge"),
        ("pid_file =", "pidfile =", "cert.api.reload.pidfile"),
        ("within =", "withn =", "cert.api.verify.withn"),
        ("addr =", "adr =", "cert.api.targets[0].adr"),
    ],
)
def test_a_mistyped_key_is_named_also_where_the_right_one_is_then_missing(good: str, typed: str, told: str) -> None:
    """Not `is missing`, which sends the reader looking for a key that is there; and which keys there are."""
    assert good in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_settings(GOOD.replace(good, typed), home=Path("/h"))
    assert caught.value.message == f"{told}: unknown key"
    assert good.strip("[]").split(".")[-1].split(" ")[0] in caught.value.hint


def test_a_key_that_does_not_go_with_another_is_unknown_there() -> None:
    """A pid file is for signals."""
    text = GOOD.replace('signal = "HUP"', 'argv = ["/bin/true"]')
    with pytest.raises(ConfigError, match=r"cert\.api\.reload\.pid_file: unknown key"):
        parse_settings(text, home=Path("/h"))
