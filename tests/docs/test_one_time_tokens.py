"""The page about one-time tokens is run as it stands, against a running CA."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from ca_world import running
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "one-time-tokens.md"


def test_every_command_about_tokens_works_as_written(tmp_path: Path) -> None:
    """Bootstrap, token, certificate, renewals by both ways, rekey, revocations; then nothing renews any more."""
    text = PAGE.read_text("utf-8")
    with running(tmp_path) as ca:
        text = (
            text.replace("https://127.0.0.1:9000", ca.url)
            .replace("secrets/", f"{ca.home}/secrets/")
            .replace("~/.dayfly", "$DAYFLY_HOME")
        )
        become, token, use, both, renew, revoke = scripts(text)
        host = tmp_path / "host"
        host.mkdir()
        shell(f"export FINGERPRINT={ca.init['fingerprint']}\n{become}", host)
        shell(token, host)
        shell(use, host)
        first = x509.load_pem_x509_certificate((host / "api.crt").read_bytes())
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["api.internal.example", "b.internal.example"]
        again = shell(use, host, check=False)
        assert "token already used" in again.stderr or "--force" in again.stderr
        shell(both, host)
        web = x509.load_pem_x509_certificate((host / "web.crt").read_bytes())
        shell(renew, host)
        assert x509.load_pem_x509_certificate((host / "api.crt").read_bytes()).serial_number != first.serial_number
        assert x509.load_pem_x509_certificate((host / "web.crt").read_bytes()).public_key() != web.public_key()
        shell(revoke, host)
        for name in ("api", "web"):
            ended = shell(f"dayfly ca renew {name}.crt {name}.key --force", host, check=False)
            assert ended.returncode == 1
            assert "revoked at" in ended.stderr
        assert ca.verify()["ok"]
