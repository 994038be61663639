"""`ca token`: what the token says, and which flags say something (step-compat.md part 4)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayfly.cli import main
from dayfly.core.jose.encoding import b64u_decode, b64u_encode
from dayfly.core.jose.jws import parse_compact
from dayfly.core.x509.pem import render_pem
from factories import NAME, csr_der, ec_key
from small_pki import key_pem, write_pair
from step_ca import URL, StepCA, connect_to, real_now


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StepCA:
    """A CA in memory, whose JWK provisioner is the only one."""
    made = StepCA()
    made.provisioners = made.provisioners[:1]
    connect_to(made, monkeypatch, tmp_path)
    return made


def run(where: Path, *arguments: str) -> int:
    """`dayfly ca token` against the CA in memory."""
    flags = ("--ca-url", URL, "--root", str(where / "root.pem"))
    return main.run(["ca", "token", *arguments, *flags, "--password-file", str(where / "provisioner-password")])


def claims(text: str) -> dict[str, Any]:
    """What a token says."""
    document: dict[str, Any] = json.loads(parse_compact(text.strip()).payload)
    return document


def test_token_is_the_only_thing_on_standard_output(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says all that the table of part 4 has."""
    assert run(tmp_path, NAME) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert said.err == f"✔ Provisioner: team (JWK) [kid: {ca.kid}]\n"
    token = parse_compact(said.out.strip())
    assert token.header == {"alg": "ES256", "kid": ca.kid, "typ": "JWT"}
    found = claims(said.out)
    assert (found["aud"], found["iss"], found["sub"], found["sans"]) == (f"{URL}/1.0/sign", "team", NAME, [NAME])
    assert found["sha"] == hashlib.sha256(ca.pki.root).hexdigest()
    assert (found["exp"] - found["nbf"], len(found["jti"])) == (300, 64)


def test_names_data_and_times_go_into_the_token(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--san` takes the subject's place; --set goes before --set-file; the times are the token's own."""
    more = tmp_path / "data.json"
    more.write_text('{"team":"a","level":1}')
    arguments = [
        "--san",
        "10.0.0.1",
        "--san",
        "B.example",
        "--set",
        "team=b",
        "--set",
        "n=[1]",
        "--set-file",
        str(more),
    ]
    assert run(tmp_path, "any subject", *arguments, "--not-before", "10m", "--not-after", "15m") == 0
    found = claims(capsys.readouterr().out)
    assert (found["sub"], found["sans"]) == ("any subject", ["10.0.0.1", "b.example"])
    assert found["user"] == {"team": "b", "level": 1, "n": [1]}
    assert (found["exp"] - found["nbf"], found["nbf"] - found["iat"]) == (300, 600)
    del ca


@pytest.mark.parametrize("how", ["file", "base64url", "hex"])
def test_token_may_be_bound_to_one_request__step_compat_4(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """`cnf` is the SHA-256 of the request, however it was named."""
    der = csr_der(NAME)
    (tmp_path / "a.csr").write_text(render_pem(der, "CERTIFICATE REQUEST"))
    digest = hashlib.sha256(der).digest()
    flags = {
        "file": ("--cnf-file", str(tmp_path / "a.csr")),
        "base64url": ("--cnf", b64u_encode(digest)),
        "hex": ("--cnf", digest.hex()),
    }
    assert run(tmp_path, NAME, *flags[how]) == 0
    assert b64u_decode(claims(capsys.readouterr().out)["cnf"]["x5rt#S256"]) == digest
    del ca


def test_revocation_token_names_the_serial_in_decimal__step_compat_6(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no names, and another audience."""
    assert run(tmp_path, "0xff", "--revoke") == 0
    found = claims(capsys.readouterr().out)
    assert (found["sub"], found["aud"], "sans" in found) == ("255", f"{URL}/1.0/revoke", False)
    del ca


def test_renewal_token_is_the_certificates_own__step_compat_5(
    ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It brings the chain, and its subject is the CN or it is refused."""
    key = ec_key()
    leaf = ca.pki.leaf(NAME, key=key, begin=real_now())
    files = write_pair(tmp_path, ca.pki, leaf, key)
    pair = ("--renew", "--x5c-cert", str(files.crt), "--x5c-key", str(files.key))
    assert run(tmp_path, NAME, *pair) == 0
    token = parse_compact(capsys.readouterr().out.strip())
    assert x509.load_pem_x509_certificate(files.crt.read_bytes()).public_bytes(Encoding.DER) == leaf.public_bytes(
        Encoding.DER
    )
    assert len(token.header["x5cInsecure"]) == 2
    assert json.loads(token.payload)["iss"] == "step-ca-client/1.0"
    assert run(tmp_path, "other.example", *pair) == 1
    assert "is not the CN" in capsys.readouterr().err
    assert ca.requests == []


def test_token_can_be_made_with_nobody_asked(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the key at hand; its thumbprint is the kid unless one is named."""
    key = tmp_path / "key.pem"
    key.write_bytes(key_pem(ca.key))
    offline = ("--offline", "--provisioner", "team", "--key", str(key))
    assert run(tmp_path, NAME, *offline) == 0
    assert parse_compact(capsys.readouterr().out.strip()).header["kid"] == ca.kid
    assert run(tmp_path, NAME, *offline, "--kid", "mine") == 0
    assert parse_compact(capsys.readouterr().out.strip()).header["kid"] == "mine"
    assert ca.requests == []
    assert run(tmp_path, NAME, "--key", str(key)) == 0
    assert [path for _, path in ca.requests] == ["/provisioners?limit=100"]


def test_token_may_go_into_a_file_of_mode_0600(ca: StepCA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then standard output is empty, and with --json says where."""
    path = tmp_path / "token"
    assert run(tmp_path, NAME, "--output-file", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"token": None, "file": str(path)}
    assert claims(path.read_text())["sub"] == NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert run(tmp_path, NAME, "--output-file", str(path)) == 1
    assert "--force" in capsys.readouterr().err
    assert run(tmp_path, NAME, "--json") == 0
    assert claims(json.loads(capsys.readouterr().out)["token"])["sub"] == NAME
    del ca


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a b",), "not a name"),
        ((NAME, "--revoke", "--renew"), "two different tokens"),
        (("1", "--revoke", "--san", NAME), "have no meaning"),
        (("one", "--revoke"), "no serial number"),
        ((NAME, "--cnf", "x", "--cnf-file", "y"), "twice"),
        ((NAME, "--cnf", "abc"), "no SHA-256"),
        ((NAME, "--cnf-file", "absent"), "cannot be read"),
        ((NAME, "--renew"), "--x5c-cert and --x5c-key"),
        ((NAME, "--x5c-cert", "a", "--x5c-key", "b"), "are for --renew"),
        ((NAME, "--offline"), "takes --provisioner and --key"),
        ((NAME, "--offline", "--provisioner", "team", "--key", "absent"), "cannot be read"),
        ((NAME, "--set", "novalue"), "is not KEY=VALUE"),
        ((NAME, "--set-file", "absent"), "cannot be read"),
        ((NAME, "--set-file", "root.pem"), "no JSON object"),
        ((NAME, "--not-after", "2h"), "an hour at most"),
        ((NAME, "--not-after", "soon"), "neither a duration nor a time"),
        ((NAME, "--provisioner", "absent"), "no provisioner named absent"),
        ((NAME, "--rekey"), "dayfly ca rekey"),
        ((NAME, "--ssh"), "SSH certificates are not issued here"),
        ((NAME, "--cert-not-after", "1h"), "does not carry the certificate's times"),
        ((NAME, "--kms", "x"), "keys live in files"),
        ((NAME, "--k8ssa-token-path", "x"), "service accounts"),
    ],
)
def test_what_makes_no_token_is_told(
    ca: StepCA,
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flags are refused with a word, never ignored; exit 1, and nothing on standard output."""
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, *arguments) == 1
    said = capsys.readouterr()
    assert says in said.err
    assert said.out == ""
    del ca
