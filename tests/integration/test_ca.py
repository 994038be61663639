"""The CA as an operator meets it: init, start, certificates, the log, and what each mistake says."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca_world import CA, NAME, PASSWORD, dayfly, environment, found, running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA that runs for this module's tests."""
    with running(tmp_path_factory.mktemp("ca")) as one:
        yield one


@pytest.fixture
def cold(tmp_path: Path) -> CA:
    """A CA that was founded and not started."""
    return found(tmp_path)


def fetch(ca: CA, path: str) -> tuple[int, bytes]:
    """GET over TLS, trusting the root alone."""
    context = ssl.create_default_context(cafile=str(ca.root))
    try:
        with urllib.request.urlopen(ca.url + path, context=context, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


# --- init -------------------------------------------------------------------------------------------------------------


def test_init_writes_the_layout_with_its_modes__interfaces_1(cold: CA) -> None:
    """Keys are encrypted and 0600, directories 0700, the root key apart."""
    for directory in (cold.home, *(cold.home / name for name in ("certs", "secrets", "offline", "db", "config"))):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700, directory
    for key in ("secrets/intermediate_ca_key", "secrets/log_key", "offline/root_ca_key"):
        path = cold.home / key
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"ENCRYPTED" in path.read_bytes()
        load_pem_private_key(path.read_bytes(), PASSWORD.encode())
    assert stat.S_IMODE((cold.home / "db/dayfly.db").stat().st_mode) == 0o600
    assert {one.name for one in cold.home.iterdir()} >= {"ca.toml", "certs", "secrets", "offline", "db", "config"}


def test_init_json_has_the_fixed_fields__interfaces_6(cold: CA) -> None:
    """The report names home, URL, fingerprint, files, provisioner, rules, next steps."""
    report = cold.init
    assert set(report) == {
        "home", "ca_url", "fingerprint", "root", "root_key", "intermediate", "provisioner", "rules", "next",
    }  # fmt: skip
    root = x509.load_pem_x509_certificate(Path(report["root"]).read_bytes())
    from cryptography.hazmat.primitives.hashes import SHA256

    assert report["fingerprint"] == root.fingerprint(SHA256()).hex()
    assert [rule["pattern"] for rule in report["rules"]] == ["internal.example", "**.internal.example"]
    assert {rule["owner"] for rule in report["rules"]} == {"platform-team"}


def test_init_never_overwrites(cold: CA) -> None:
    """A second init in the same home changes nothing and says so."""
    before = (cold.home / "secrets/intermediate_ca_key").read_bytes()
    again = cold.dayfly(
        "ca", "init", "--name", "X", "--dns", "x.internal", "--address", ":9000", "--provisioner", "p",
        "--no-password", check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert "already holds ca.toml" in again.stderr
    assert (cold.home / "secrets/intermediate_ca_key").read_bytes() == before


def test_failed_init_leaves_nothing_behind(tmp_path: Path) -> None:
    """When something fails on the way, what was made is taken away."""
    home = tmp_path / "ca"
    blocked = tmp_path / "there"
    blocked.write_text("in the way")
    result = dayfly(
        "ca", "init", "--home", str(home), "--name", "X", "--dns", "x.internal", "--address", ":9000",
        "--provisioner", "p", "--no-password", "--root-key-out", str(blocked), check=False, home=tmp_path,
    )  # fmt: skip
    assert result.returncode == 1
    assert "cannot be made" in result.stderr
    assert not home.exists()
    assert blocked.read_text() == "in the way"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--name", "X", "--dns", "x.internal", "--provisioner", "p"), "--password-file"),
        (("--dns", "x.internal", "--provisioner", "p", "--no-password"), "--name is missing"),
        (("--name", "X", "--provisioner", "p", "--no-password"), "--dns is missing"),
        (("--name", "X", "--dns", "bad name", "--provisioner", "p", "--no-password"), "'bad name'"),
        (("--name", "X", "--dns", "x.internal", "--provisioner", "p", "--no-password", "--address", ":0"), "port 0"),
        (("--name", "X", "--dns", "x.internal", "--provisioner", "p", "--password-file", "absent"), "cannot be read"),
        (("--colour", "blue"), "colour"),
    ],
)
def test_init_mistake_says_what_and_what_next(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """Off a terminal each missing or wrong value is an error that names it, exit 1."""
    result = dayfly("ca", "init", "--home", str(tmp_path / "ca"), *arguments, check=False, home=tmp_path)
    assert result.returncode == 1
    assert says in result.stderr
    assert not (tmp_path / "ca").exists()


def test_init_without_a_domain_of_its_own_allows_nothing(tmp_path: Path) -> None:
    """A CA named localhost makes no rule, and says what to do."""
    result = dayfly(
        "ca", "init", "--home", str(tmp_path / "ca"), "--name", "X", "--dns", "localhost", "--address", ":9000",
        "--provisioner", "p", "--no-password", "--json", home=tmp_path,
    )  # fmt: skip
    report = json.loads(result.stdout)
    assert report["rules"] == []
    assert any("--allow-dns" in step for step in report["next"])


# --- start ------------------------------------------------------------------------------------------------------------


def test_ready_line_health_and_exit__interfaces_4(tmp_path: Path) -> None:
    """The ready line has its fields, /health answers, SIGTERM ends with 0, and a second server is refused."""
    ca = found(tmp_path)
    ready = ca.start()
    assert set(ready) == {"event", "url", "metrics", "fingerprint", "pid", "workers"}
    assert ready["fingerprint"] == ca.init["fingerprint"]
    assert fetch(ca, "/health") == (200, b'{"status":"ok"}\n')
    second = ca.dayfly("ca", "start", "--password-file", str(tmp_path / "password"), check=False)
    assert second.returncode == 1
    assert f"process {ready['pid']}" in second.stderr
    assert ca.stop(signal.SIGTERM) == 0


def test_start_warns_of_the_root_key_and_never_reads_it(tmp_path: Path) -> None:
    """While the root's key lies there, the start says so; without it nothing changes."""
    ca = found(tmp_path)
    (ca.home / "offline/root_ca_key").write_text("not a key at all")
    ca.start()
    assert "the root key is still on this machine" in ca.log.read_text()
    assert ca.stop() == 0


@pytest.mark.parametrize(
    ("breaking", "says"),
    [
        ("wrong password", "the password is wrong"),
        ("no password", "--password-file"),
        ("damaged ca.toml", "not valid TOML"),
        ("unknown key", "speed: unknown key"),
        ("open key", "others can read it"),
        ("missing key", "cannot be read"),
        ("port taken", "cannot listen on"),
        ("no certificate", "issuer.certificate"),
        ("no database", "database"),
    ],
)
def test_start_mistake_says_what_and_what_next__interfaces_5(tmp_path: Path, breaking: str, says: str) -> None:
    """A bad configuration, password or port is exit 1 and a clear text, never a stack."""
    ca = found(tmp_path)
    password = tmp_path / "password"
    arguments = ["--password-file", str(password)]
    toml, taken = ca.home / "ca.toml", socket.socket()
    match breaking:
        case "wrong password":
            password.write_text("wrong\n")
        case "no password":
            arguments = []
        case "damaged ca.toml":
            toml.write_text("version = = 1")
        case "unknown key":
            toml.write_text("speed = 9\n" + toml.read_text())
        case "open key":
            (ca.home / "secrets/intermediate_ca_key").chmod(0o644)
        case "missing key":
            (ca.home / "secrets/log_key").unlink()
        case "port taken":
            taken.bind(("127.0.0.1", ca.port))
            taken.listen()
        case "no certificate":
            (ca.home / "certs/intermediate_ca.crt").write_text("nothing")
        case "no database":
            toml.write_text(toml.read_text().replace("sqlite:db/dayfly.db", "oracle:db"))
    with taken:
        result = ca.dayfly("ca", "start", *arguments, check=False)
    assert result.returncode == 1, result.stderr
    assert says in result.stderr


# --- certificates -----------------------------------------------------------------------------------------------------


def test_certificate_by_acme_is_written_with_its_chain__interfaces_7(ca: CA, tmp_path: Path) -> None:
    """CRT holds leaf and intermediate, KEY is 0600; OpenSSL accepts the chain under the root."""
    ca.certificate(NAME, tmp_path)
    chain = x509.load_pem_x509_certificates((tmp_path / "api.crt").read_bytes())
    assert len(chain) == 2
    assert stat.S_IMODE((tmp_path / "api.key").stat().st_mode) == 0o600
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    (tmp_path / "intermediate.pem").write_bytes((ca.home / "certs/intermediate_ca.crt").read_bytes())
    openssl = ["openssl", "verify", "-CAfile", str(ca.root), "-untrusted", str(tmp_path / "intermediate.pem")]
    subprocess.run([*openssl, str(tmp_path / "api.crt")], check=True, capture_output=True)


def test_certificate_verify_and_inspect_speak_of_it(ca: CA, tmp_path: Path) -> None:
    """`certificate verify` says yes for its host and no for another; `inspect --short` names the provisioner."""
    ca.certificate(NAME, tmp_path)
    crt = str(tmp_path / "api.crt")
    dayfly("certificate", "verify", crt, "--roots", str(ca.root), "--host", NAME, home=tmp_path)
    wrong = dayfly(
        "certificate",
        "verify",
        crt,
        "--roots",
        str(ca.root),
        "--host",
        "b.internal.example",
        check=False,
        home=tmp_path,
    )
    assert wrong.returncode == 1
    assert "b.internal.example" in wrong.stderr
    assert "acme" in dayfly("certificate", "inspect", crt, "--short", home=tmp_path).stdout


def test_existing_files_are_not_overwritten_off_a_terminal__interfaces_7(ca: CA, tmp_path: Path) -> None:
    """Where a file exists the error names --force, and --force replaces it."""
    (tmp_path / "api.crt").write_text("mine")
    refused = ca.certificate(NAME, tmp_path, check=False)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert (tmp_path / "api.crt").read_text() == "mine"
    ca.certificate(NAME, tmp_path, "--force")
    assert "BEGIN CERTIFICATE" in (tmp_path / "api.crt").read_text()


def test_name_without_a_rule_is_denied_with_rule_and_nearest__interfaces_6(ca: CA, tmp_path: Path) -> None:
    """The refusal names the rule that decided, and what would have been allowed; nothing is written."""
    refused = ca.certificate("shop.corp.example.net", tmp_path, "--json", check=False)
    assert refused.returncode == 1
    report = json.loads(refused.stdout)
    assert report["rule"] == "default-deny"
    assert report["nearest"].endswith("internal.example")
    assert not (tmp_path / "api.crt").exists()
    words = ca.certificate("shop.corp.example.net", tmp_path, check=False).stderr
    assert "default-deny" in words
    assert report["nearest"] in words


def test_ca_root_needs_only_the_fingerprint(ca: CA, tmp_path: Path) -> None:
    """A bare host takes its trust from the fingerprint; a wrong one writes nothing."""
    target = tmp_path / "root.crt"
    dayfly("ca", "root", str(target), "--ca-url", ca.url, "--fingerprint", ca.init["fingerprint"], home=tmp_path)
    assert target.read_text().strip() == ca.root.read_text().strip()
    wrong = dayfly(
        "ca",
        "root",
        str(tmp_path / "other.crt"),
        "--ca-url",
        ca.url,
        "--fingerprint",
        "0" * 64,
        check=False,
        home=tmp_path,
    )
    assert wrong.returncode == 1
    assert not (tmp_path / "other.crt").exists()


def test_ca_health_prints_ok(ca: CA, tmp_path: Path) -> None:
    """As step does."""
    result = dayfly("ca", "health", "--ca-url", ca.url, "--root", str(ca.root), home=tmp_path)
    assert result.stdout == "ok\n"


def test_unreachable_ca_says_so_and_what_next(tmp_path: Path, ca: CA) -> None:
    """A refused connection is a clear error."""
    result = dayfly(
        "ca", "health", "--ca-url", "https://127.0.0.1:9", "--root", str(ca.root), check=False, home=tmp_path
    )
    assert result.returncode == 1
    assert "127.0.0.1:9" in result.stderr
    assert "next" in result.stderr


# --- public reads, metrics --------------------------------------------------------------------------------------------


def test_public_reads_of_step(ca: CA) -> None:
    """Roots and intermediates come in the shapes and with the codes that stock clients read."""
    status, body = fetch(ca, f"/root/{ca.init['fingerprint']}")
    assert (status, json.loads(body)["ca"]) == (200, ca.root.read_text())
    assert fetch(ca, "/1.0/roots")[0] == 201
    assert fetch(ca, "/roots.pem") == (200, ca.root.read_bytes())
    assert fetch(ca, "/intermediates.pem") == (200, (ca.home / "certs/intermediate_ca.crt").read_bytes())
    assert fetch(ca, "/root/" + "0" * 64)[0] == 404
    assert json.loads(fetch(ca, "/nothing/here")[1])["status"] == 404


def test_five_signals_are_on_the_metrics_port(ca: CA, tmp_path: Path) -> None:
    """After a certificate and a denial each of the five signals has a series; /livez and /readyz answer."""
    ca.certificate(NAME, tmp_path)
    ca.certificate("shop.corp.example.net", tmp_path / "..", "--force", check=False)
    with urllib.request.urlopen(f"http://127.0.0.1:{ca.metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for series in (
        'dayfly_ca_fleet_expiry_timestamp_seconds{quantile="0"}',
        'dayfly_ca_issued_total{kind="new",profile="service",provisioner="acme"}',
        'dayfly_ca_requests_total{op="acme_finalize",outcome="ok",provisioner="acme",reason="ok"}',
        'dayfly_ca_requests_total{op="acme_new_order",outcome="denied",provisioner="acme",reason="name_not_allowed"}',
        'dayfly_ca_ready{check="db"} 1.0',
        'dayfly_ca_names{state="unseen"}',
        'dayfly_ca_authority_not_after_timestamp_seconds{authority="Test CA",role="tls",state="active"}',
    ):
        assert series in text, series
    for path in ("livez", "readyz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{ca.metrics}/{path}", timeout=10) as answer:
            assert answer.status == 200


# --- the log ----------------------------------------------------------------------------------------------------------


def test_log_verifies_beside_the_running_server(ca: CA, tmp_path: Path) -> None:
    """The log verifies while the server runs, and grows with each certificate."""
    before = ca.verify()
    ca.certificate(NAME, tmp_path)
    after = ca.verify()
    assert before["ok"] is True
    assert after["ok"] is True
    assert after["size"] > before["size"]


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> CA:
    """A CA with a few certificates, stopped in order."""
    where = tmp_path_factory.mktemp("issued")
    with running(where) as one:
        for name in (NAME, "b.internal.example", "c.internal.example"):
            one.certificate(name, where, "--force")
    return one


EDITS = {
    "edited entry": (
        (
            "UPDATE log_entries SET body = CAST(replace(CAST(body AS TEXT), 'internal', 'infernal') AS BLOB) "
            "WHERE idx = {last}"
        ),
        True,
    ),
    "edited leaf hash": ("UPDATE log_entries SET leaf_hash = zeroblob(32) WHERE idx = {last}", True),
    "deleted entry": ("DELETE FROM log_entries WHERE idx = {last}", True),
    "deleted certificate row": ("DELETE FROM certificates WHERE id = (SELECT max(id) FROM certificates)", True),
    "edited certificate row": (
        "UPDATE certificates SET not_after = not_after + 86400 WHERE id = (SELECT max(id) FROM certificates)",
        True,
    ),
    "inserted certificate row": (
        "INSERT INTO certificates SELECT {columns} FROM certificates WHERE id = (SELECT max(id) FROM certificates)",
        False,
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edit_of_the_database_is_named(issued: CA, tmp_path: Path, edit: str) -> None:
    """An edited, deleted or inserted row: `log verify` exits with 1 and names it."""
    copy = copy_of(issued, tmp_path)
    statement, indexed = EDITS[edit]
    last = copy.sql("SELECT max(idx) FROM log_entries")[0][0]
    columns = ", ".join(
        f"{row[1]} + 1" if row[1] == "id" else row[1]
        for row in copy.sql("SELECT * FROM pragma_table_info('certificates')")
    )
    copy.sql(statement.format(last=last, columns=columns))
    report = copy.verify()
    assert report["ok"] is False
    assert (report["first_bad"] is not None) is indexed or report["findings"]
    words = copy.dayfly("ca", "log", "verify", check=False)
    assert words.returncode == 1
    assert "✖" in words.stderr


def test_swapped_rows_are_named(issued: CA, tmp_path: Path) -> None:
    """Two entries that change places with their hashes are found, and the report says between which."""
    copy = copy_of(issued, tmp_path)
    last = copy.sql("SELECT max(idx) FROM log_entries")[0][0]
    for column in ("body", "leaf_hash"):
        (first,), (second,) = copy.sql(f"SELECT {column} FROM log_entries WHERE idx >= ? ORDER BY idx", last - 1)  # noqa: S608
        copy.sql(f"UPDATE log_entries SET {column} = ? WHERE idx = ?", second, last - 1)  # noqa: S608
        copy.sql(f"UPDATE log_entries SET {column} = ? WHERE idx = ?", first, last)  # noqa: S608
    report = copy.verify()
    assert report["ok"] is False
    assert report["first_bad"] == last - 1


def test_swapped_certificates_are_named(issued: CA, tmp_path: Path) -> None:
    """Two certificate rows that change their contents are both named."""
    copy = copy_of(issued, tmp_path)
    (first, first_der), (second, second_der) = copy.sql("SELECT id, der FROM certificates ORDER BY id DESC LIMIT 2")
    copy.sql("UPDATE certificates SET der = ? WHERE id = ?", second_der, first)
    copy.sql("UPDATE certificates SET der = ? WHERE id = ?", first_der, second)
    report = copy.verify()
    assert report["ok"] is False
    assert len(report["findings"]) >= 2


def test_truncated_tail_is_found_against_the_signed_checkpoint(issued: CA, tmp_path: Path) -> None:
    """When the newest entries and their marks are gone, the signed checkpoint tells."""
    copy = copy_of(issued, tmp_path)
    last = copy.sql("SELECT max(idx) FROM log_entries")[0][0]
    copy.sql("DELETE FROM log_entries WHERE idx >= ?", last - 1)
    assert copy.verify()["ok"] is False


def copy_of(ca: CA, where: Path) -> CA:
    """The same home elsewhere, to be damaged."""
    subprocess.run(["cp", "-a", str(ca.home), str(where / "ca")], check=True)
    return CA(where / "ca", ca.port, ca.metrics, ca.http_port)


def test_start_refuses_a_home_that_is_no_ca(tmp_path: Path) -> None:
    """Where there is no CA the next step is `ca init`."""
    result = dayfly("ca", "start", "--home", str(tmp_path), check=False, home=tmp_path)
    assert result.returncode == 1
    assert "dayfly ca init" in result.stderr


def test_no_secret_stands_in_argv_or_log(ca: CA) -> None:
    """The password is in no argument of the process and in no line that it wrote."""
    assert ca.process is not None
    arguments = Path(f"/proc/{ca.process.pid}/cmdline").read_bytes()
    assert PASSWORD.encode() not in arguments
    assert PASSWORD not in ca.log.read_text()
    assert sys.executable.encode() in arguments
    assert "DAYFLY_PASSWORD" not in environment(ca.home)
