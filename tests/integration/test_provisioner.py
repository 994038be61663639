"""`ca provisioner`: list, add, update, remove, on a home and beside a running CA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ca_world import CA, NAME, dayfly, running
from dayfly.core.jose.jwe import decrypt_jwe
from home_world import Run
from terminal import at_terminal


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """A password file."""
    path = tmp_path / "jwk-password"
    path.write_text("for tokens\n")
    return path


def listed(run: Run) -> dict[str, dict[str, object]]:
    """All provisioners by name."""
    return {one["name"]: one for one in run("provisioner", "list").json}


def test_the_list_is_steps_json__step_compat_3(run: Run) -> None:
    """An array indented by three spaces: types, names, claims, public keys, and nothing private."""
    said = run("provisioner", "list")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith('[\n   {\n      "type": "ACME"')
    found = listed(run)
    assert list(found) == ["acme", "platform-team"]
    key = found["platform-team"]["key"]
    assert isinstance(key, dict)
    assert {"kid", "kty", "crv", "x", "y"} <= key.keys()
    assert "encryptedKey" not in found["platform-team"]
    assert found["acme"]["claims"]["minTLSCertDuration"] == "30s"  # type: ignore[index]


def test_a_jwk_provisioner_is_made_with_a_new_key(run: Run, password: Path, tmp_path: Path) -> None:
    """Its encrypted key opens with the password of the file, and is in the database only."""
    said = run("provisioner", "add", "team", "--type", "JWK", "--create", "--password-file", str(password), "--json")
    assert (said.code, said.json["type"], said.json["name"]) == (0, "JWK", "team")
    kid = said.json["key"]["kid"]
    stored = CA(tmp_path / "ca", 0, 0, 0).sql("SELECT body FROM settings WHERE kind = 'provisioner' AND name = 'team'")
    document = json.loads(stored[0][0])
    assert json.loads(decrypt_jwe(document["encrypted_key"], password=b"for tokens"))["kid"] == kid
    again = run("provisioner", "update", "team", "--create", "--password-file", str(password), "--json").json
    assert again["key"]["kid"] != kid
    assert run("provisioner", "update", "team", "--no-publish-key").code == 0


def test_an_acme_provisioner_is_made_and_changed_in_steps_words(run: Run) -> None:
    """Challenges, the common name, renewal and lifetimes; switches as Go writes them."""
    made = run(
        "provisioner", "add", "web", "--type", "acme", "--challenge", "http-01", "--challenge", "dns-01", "--force-cn",
        "--disable-renewal=true", "--x509-default-dur", "10m", "--json",
    ).json  # fmt: skip
    assert (made["challenges"], made["forceCN"], made["claims"]["disableRenewal"]) == (
        ["http-01", "dns-01"],
        True,
        True,
    )
    assert made["directory"].endswith("/acme/web/directory")
    changed = run(
        "provisioner", "update", "web", "--remove-challenge", "http-01", "--disable-renewal=false", "--force-cn=false",
        "--allow-renewal-after-expiry", "--renewal-grace", "2h", "--x509-max-dur", "1h", "--json",
    ).json  # fmt: skip
    assert (changed["challenges"], changed["forceCN"]) == (["dns-01"], False)
    claims = changed["claims"]
    assert (claims["disableRenewal"], claims["allowRenewalAfterExpiry"], claims["renewalGrace"]) == (
        False,
        True,
        "2h0m0s",
    )
    assert (claims["defaultTLSCertDuration"], claims["maxTLSCertDuration"]) == ("10m0s", "1h0m0s")
    assert "disabled" in run("provisioner", "update", "web", "--disabled").err
    assert listed(run)["web"]["state"] == "Disabled"
    assert "state" not in listed(run)["acme"]
    assert run("provisioner", "update", "web", "--enabled").code == 0


def test_a_removed_provisioner_takes_its_rules_along(run: Run) -> None:
    """Told, and gone from the list; a second time there is none."""
    run("policy", "allow", "shop.corp", "--provisioner", "acme")
    said = run("provisioner", "remove", "acme")
    assert (said.code, "✔ Removed: acme" in said.err, "r3 went with it" in said.err) == (0, True, True)
    assert list(listed(run)) == ["platform-team"]
    again = run("provisioner", "remove", "acme", "--json")
    assert (again.code, again.json["error"]) == (1, "there is no provisioner named acme")
    assert run("provisioner", "remove", "platform-team", "--json").json == {"removed": "platform-team", "rules": []}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("add", "x", "--type", "OIDC"), "no provisioners of type OIDC"),
        (("add", "x"), "a JWK provisioner needs a key"),
        (("add", "x", "--type", "JWK", "--create"), "no terminal to ask at"),
        (("add", "x", "--create", "--public-key", "k"), "leave one of them out"),
        (("add", "x", "--public-key", "k", "--password-file", "p"), "--password-file is for a new key"),
        (("add", "x", "--public-key", "absent"), "absent cannot be read"),
        (("add", "acme", "--type", "ACME"), "named acme already"),
        (("add", "a b", "--type", "ACME"), "cannot name provisioners"),
        (("add", "x", "--type", "ACME", "--challenge", "device-attest-01"), "has no challenge type"),
        (("add", "x", "--type", "ACME", "--terms-of-service", "here"), "no http or https URL"),
        (("add", "x", "--type", "ACME", "--ssh"), "SSH"),
        (("add", "x", "--type", "ACME", "--x509-max-dur", "long"), "--x509-max-dur"),
        (("add", "x", "--type", "ACME", "--x509-max-dur", "400d"), "the ceiling is 398d"),
        (("add", "x", "--type", "ACME", "--create=false"), "leave --create out"),
        (("add", "x", "--type", "ACME", "--admin-subject", "me"), "on the CA's host"),
        (("update", "nobody", "--force-cn"), "no provisioner named nobody"),
        (("update", "acme", "--name", "other"), "add another one"),
        (("update", "platform-team", "--challenge", "dns-01"), "belong to the type ACME"),
        (("remove", "nobody"), "no provisioner named nobody"),
    ],
)
def test_what_cannot_be_is_said_with_its_reason(run: Run, arguments: tuple[str, ...], what: str) -> None:
    """Exit 1, and nothing changed."""
    said = run("provisioner", *arguments)
    assert (said.code, what in said.err) == (1, True), said.err
    assert list(listed(run)) == ["acme", "platform-team"]


@pytest.mark.parametrize(("typed", "made"), [("typed by a person", False), ("", True)])
def test_at_a_terminal_the_password_is_asked_for(original: CA, tmp_path: Path, typed: str, made: bool) -> None:
    """Never shown, but where it was made, and then once."""
    import shutil

    home = shutil.copytree(original.home, tmp_path / "ca")
    command = ["ca", "provisioner", "add", "team", "--create", "--home", str(home)]
    shown = at_terminal(command, [typed], tmp_path)
    assert ("✔ Password:" in shown) is made
    assert "typed by a person" not in shown
    assert "✔ Provisioner: team (JWK)" in shown


def test_beside_a_running_ca_a_change_holds_at_once(tmp_path: Path) -> None:
    """Listed over the wire; a new ACME provisioner issues, and once removed issues no more, without a restart."""
    with running(tmp_path) as ca:
        wire = ("--ca-url", ca.url, "--root", str(ca.root))
        over = dayfly("ca", "provisioner", "list", *wire, home=tmp_path)
        assert json.loads(over.stdout) == json.loads(ca.dayfly("ca", "provisioner", "list").stdout)
        kid = ca.init["provisioner"]["kid"]
        jwe = dayfly("ca", "provisioner", "get-encrypted-key", kid, *wire, home=tmp_path).stdout.strip()
        secret = (ca.home / "secrets/provisioner_password").read_bytes().strip()
        assert json.loads(decrypt_jwe(jwe, password=secret))["kid"] == kid
        ca.dayfly("ca", "provisioner", "update", "platform-team", "--no-publish-key")
        hidden = dayfly("ca", "provisioner", "get-encrypted-key", kid, *wire, "--json", home=tmp_path, check=False)
        assert (hidden.returncode, "status 404" in json.loads(hidden.stdout)["error"]) == (1, True)
        ca.dayfly("ca", "provisioner", "add", "second", "--type", "ACME")
        flags = ("--provisioner", "second", "--force")
        ca.certificate(NAME, tmp_path, *flags)
        ca.dayfly("ca", "provisioner", "update", "second", "--disabled")
        assert ca.certificate(NAME, tmp_path, *flags, check=False).returncode == 1
        assert [
            one["name"] for one in json.loads(dayfly("ca", "provisioner", "list", *wire, home=tmp_path).stdout)
        ] == [
            "acme",
            "platform-team",
        ]
        ca.dayfly("ca", "provisioner", "remove", "second")
        refused = ca.certificate(NAME, tmp_path, *flags, check=False)
        assert "no provisioner named second" in refused.stderr
        assert ca.verify()["ok"]
