"""`ca policy` and `ca denials`: on a home, beside a running CA, at a terminal, and as root in another's home."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca_world import CA, dayfly, found, running
from home_world import Run
from terminal import at_terminal

NOBODY = 65534
OUTSIDE = "shop.corp.example.net"


def rules(run: Run) -> list[tuple[str, str, str]]:
    """Id, action and pattern of all rules."""
    return [(one["rule"], one["action"], one["pattern"]) for one in run("policy", "show", "--json").json["rules"]]


# --- beside a running CA ----------------------------------------------------------------------------------------------


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[CA]:
    """A running CA that finds the outside name on loopback."""
    with running(tmp_path, hosts=(OUTSIDE,)) as made:
        yield made


def test_a_refused_name_passes_once_its_denial_is_allowed__o9(ca: CA, tmp_path: Path) -> None:
    """Refused with rule, nearest and denial; `policy allow --denial`; the next try passes, and the CA ran on."""
    refused = ca.certificate(OUTSIDE, tmp_path, "--json", check=False)
    assert refused.returncode == 1
    told = json.loads(refused.stdout)
    assert (told["kind"], told["rule"], told["nearest"]) == (
        "rejectedIdentifier",
        "default-deny",
        "shop.internal.example",
    )
    assert f"dayfly ca policy allow --denial {told['denial']}" in told["next"]
    assert not (tmp_path / "api.crt").exists()
    (listed,) = json.loads(ca.dayfly("ca", "denials", "--json").stdout)
    assert (listed["denial"], listed["name"], listed["allowed_by"]) == (told["denial"], OUTSIDE, None)
    made = json.loads(ca.dayfly("ca", "policy", "allow", "--denial", told["denial"], "--json").stdout)
    assert [(one["pattern"], one["provisioner"], one["made"]) for one in made["rules"]] == [(OUTSIDE, "acme", True)]
    assert ca.process is not None
    before = ca.process.pid
    ca.certificate(OUTSIDE, tmp_path)
    assert ca.process.pid == before
    assert ca.process.poll() is None
    other = ca.certificate(f"x.{OUTSIDE}", tmp_path, "--force", "--json", check=False)
    assert json.loads(other.stdout)["kind"] == "rejectedIdentifier"
    assert ca.verify()["ok"]


def test_several_refused_names_are_allowed_together(ca: CA, tmp_path: Path) -> None:
    """An order of two outside names has two denials; the hint of the refusal allows both, as it stands."""
    refused = ca.certificate(OUTSIDE, tmp_path, "--san", "b.corp", "--json", check=False)
    told = json.loads(refused.stdout)
    assert [one["name"] for one in told["subproblems"]] == [OUTSIDE, "b.corp"]
    command = told["next"].partition("dayfly ")[2].split()
    ca.dayfly(*command)
    assert json.loads(ca.dayfly("ca", "policy", "test", OUTSIDE, "b.corp", "--provisioner", "acme", "--json").stdout)[
        "allowed"
    ]


def test_a_tightened_rule_bites_at_the_renewal_and_its_denial_mends_it__n8(ca: CA, tmp_path: Path) -> None:
    """By token and by mTLS the refusal has an id too; a removed provisioner's certificate renews no more."""
    password = tmp_path / "jwk-password"
    password.touch(mode=0o600)
    password.write_text("for tokens\n")
    ca.dayfly("ca", "provisioner", "add", "team", "--create", "--password-file", str(password))
    pair, where = (str(tmp_path / "t.crt"), str(tmp_path / "t.key")), ("--ca-url", ca.url, "--root", str(ca.root))
    asking = (
        "ca",
        "certificate",
        OUTSIDE,
        *pair,
        "--provisioner",
        "team",
        "--provisioner-password-file",
        str(password),
    )
    renewing = ("ca", "renew", *pair, "--force")

    def denied(*command: str) -> str:
        said = dayfly(*command, *where, "--json", home=tmp_path, check=False)
        told = json.loads(said.stdout)
        assert (said.returncode, told["rule"]) == (1, "default-deny")
        assert f"dayfly ca policy allow --denial {told['denial']}" in told["next"]
        return str(told["denial"])

    def allowed(denial: str) -> str:
        made = json.loads(ca.dayfly("ca", "policy", "allow", "--denial", denial, "--json").stdout)
        return str(made["rules"][0]["rule"])

    rule = allowed(denied(*asking))
    dayfly(*asking, *where, home=tmp_path)
    ca.dayfly("ca", "policy", "remove", rule)
    first = Path(pair[0]).read_bytes()
    rule = allowed(denied(*renewing))
    assert Path(pair[0]).read_bytes() == first
    dayfly(*renewing, *where, home=tmp_path)
    assert Path(pair[0]).read_bytes() != first
    ca.dayfly("ca", "provisioner", "remove", "team")
    gone = dayfly(*renewing, *where, home=tmp_path, check=False)
    assert gone.returncode == 1
    assert ca.verify()["ok"]


# --- on a home --------------------------------------------------------------------------------------------------------


def test_rules_are_made_shown_and_removed(run: Run) -> None:
    """Allow, deny, remove: the table and the JSON say the same."""
    assert rules(run) == [("r1", "allow", "internal.example"), ("r2", "allow", "**.internal.example")]
    made = run("policy", "allow", "*.web.corp", "10.1.0.0/16", "--owner", "web-team", "--wildcards")
    assert (made.code, made.out) == (0, "")
    assert "✔ Owner: web-team (new)" in made.err
    denied = run("policy", "deny", "secret.web.corp", "--owner", "web-team", "--json").json
    assert denied["rules"][0]["made"]
    assert rules(run)[2:] == [
        ("r3", "allow", "*.web.corp"),
        ("r4", "allow", "10.1.0.0/16"),
        ("r5", "deny", "secret.web.corp"),
    ]
    shown = run("policy", "show").out.splitlines()
    assert shown[0].split() == ["RULE", "ACTION", "NAMES", "OWNER", "FOR", "CONDITIONS"]
    assert [line.split()[0] for line in shown[1:]] == ["r1", "r2", "r3", "r4", "r5"]
    assert run("policy", "remove", "r3", "r4").code == 0
    assert [one[0] for one in rules(run)] == ["r1", "r2", "r5"]
    assert run("policy", "remove", "r5", "--json").json["removed"][0]["rule"] == "r5"


def test_a_rule_that_is_there_is_not_made_again(run: Run) -> None:
    """The second time nothing changes, not even the revision."""
    assert run("policy", "allow", "web.corp").code == 0
    before = run("policy", "show", "--json").json["revision"]
    again = run("policy", "allow", "web.corp")
    assert "(there already)" in again.err
    assert run("policy", "show", "--json").json["revision"] == before


@pytest.mark.parametrize(
    ("arguments", "what", "next_"),
    [
        (("allow",), "nothing to allow is named", "--denial"),
        (("allow", "a.corp", "--denial", "4F2A"), "--denial says all", "--owner"),
        (("allow", "--denial", "4F2A", "--wildcards"), "--denial says all", "--owner"),
        (("allow", "--denial", "4f2a"), "there is no denial 4F2A", "dayfly ca denials"),
        (("allow", "**.com"), "com is a public suffix", "a domain of yours"),
        (("allow", "a.corp", "--provisioner", "nobody"), "provisioner 'nobody', which is not there", ""),
        (("allow", "a.corp", "--owner", "a b"), "cannot name owners", ""),
        (("allow", "a.corp", "--source", "10.0.0.1/8"), "--source", "10.0.0.0/24"),
        (("remove", "r9"), "there is no rule r9", "policy show"),
        (("test", "a..b"), "not a name", ""),
        (("test", "a.b", "--source", "here"), "no IP address", "10.0.3.7"),
        (("test", "a.b", "--lifetime", "long"), "--lifetime", "24h"),
        (("test", "a.b", "--provisioner", "nobody"), "no provisioner named nobody", "provisioner list"),
    ],
)
def test_what_cannot_be_is_said_with_the_next_step(run: Run, arguments: tuple[str, ...], what: str, next_: str) -> None:
    """Exit 1, what is wrong, what to do; and no rule was made."""
    said = run("policy", *arguments, "--json")
    assert said.code == 1
    assert what in said.json["error"]
    assert next_ in said.json.get("next", "")
    assert len(rules(run)) == 2


def test_two_owners_must_be_told_apart(run: Run) -> None:
    """With a second owner --owner is needed."""
    run("policy", "allow", "a.corp", "--owner", "web-team")
    said = run("policy", "allow", "b.corp")
    assert (said.code, "--owner" in said.err) == (1, True)


def test_a_rule_that_gives_the_cas_own_name_is_warned_of(run: Run) -> None:
    """Exactly that name can be given, and is said to be dangerous; a pattern leaves it out."""
    assert "! ca.internal.example gives ca.internal.example too" in run("policy", "allow", "ca.internal.example").err
    assert "not ca.internal.example" in run("policy", "allow", "*.internal.example").err


def test_policy_test_answers_as_the_ca_would(run: Run) -> None:
    """Exit 0 where all is allowed, 3 where one is not; a row for each, the nearest where there is one."""
    good = run("policy", "test", "shop.internal.example", "--provisioner", "acme", "--lifetime", "8h")
    assert (good.code, good.out.splitlines()[-1]) == (0, "Result: allowed.")
    assert "rule r2" in good.out
    bad = run(
        "policy", "test", "shop.internal.example", "shop.corp", "10.0.3.7", "--lifetime", "48h", "--provisioner", "acme"
    )
    assert (bad.code, bad.out.splitlines()[-1]) == (3, "Result: denied (name_not_allowed). exit 3")
    assert [line[0] for line in bad.out.splitlines()[:-1]] == ["✔", "✖", "✖", "✖"]
    assert "nearest: shop.internal.example" in bad.out
    said = run("policy", "test", "shop.corp", "--json")
    assert (said.code, said.json["allowed"], said.json["reason"]) == (3, False, "name_not_allowed")
    source = run("policy", "test", "shop.internal.example", "--owner", "web-team", "--source", "10.0.0.1", "--json")
    assert source.json["answers"][0]["owner"] == "platform-team"


def test_nothing_denied_is_said(run: Run) -> None:
    """An empty list is an answer."""
    said = run("denials")
    assert (said.code, said.out) == (0, "")
    assert "No name was refused" in said.err
    assert run("denials", "--json").json == []


def test_constraints_are_warned_of_and_decide(tmp_path: Path) -> None:
    """A rule beyond the intermediate's name constraints is made, and said to give nothing."""
    ca = found(tmp_path, "--constrain-names")
    made = ca.dayfly("ca", "policy", "allow", "**.corp", "10.0.0.0/8")
    assert made.stderr.count("the issuing certificate is constrained") == 2
    tried = ca.dayfly("ca", "policy", "test", "a.corp", "--json", check=False)
    assert json.loads(tried.stdout)["answers"][0]["rule"] == "issuer-constraints"
    assert "constrained" not in ca.dayfly("ca", "policy", "allow", "a.internal.example").stderr


# --- at a terminal ----------------------------------------------------------------------------------------------------


def deny_once(home: Path, name: str = OUTSIDE) -> None:
    """Put one denial into a home's database."""
    import asyncio

    from dayfly.config.reading import load_config
    from dayfly.wiring.commands import opened
    from factories import denial

    async def body() -> None:
        async with opened(load_config(home)) as store:
            await store.denials.note([denial(name)], keep=9)

    asyncio.run(body())


@pytest.mark.parametrize(("answers", "code", "made"), [(["n"], 1, False), (["y"], 0, True), ([], 0, True)])
def test_a_person_is_shown_the_rule_and_asked(
    original: CA, tmp_path: Path, answers: list[str], code: int, made: bool
) -> None:
    """At a terminal the smallest rule stands above the question; a no makes nothing, and --force asks nothing."""
    home = shutil.copytree(original.home, tmp_path / "ca")
    deny_once(home)
    flags = [] if answers else ["--force"]
    command = ["ca", "policy", "allow", "--denial", "4f2a", "--home", str(home), *flags]
    shown = at_terminal(command, answers, tmp_path, code=code)
    assert f"✔ Smallest rule: allow {OUTSIDE} for provisioner acme (owner platform-team)" in shown
    assert ("Make it so?" in shown) is bool(answers)
    assert ("✔ Rule: r3" in shown) is made
    again = dayfly("ca", "policy", "allow", "--denial", "4F2A", "--home", str(home), home=tmp_path)
    assert ("is allowed by rule r3 by now" in again.stderr) is made
    listed = dayfly("ca", "denials", "--home", str(home), home=tmp_path).stdout
    assert "allowed by r3 now" in listed


def test_a_denied_wildcard_is_listed_with_the_reason_that_it_was_told(original: CA, tmp_path: Path) -> None:
    """The rule that comes near and gives no wildcards, by name; not that there is none."""
    home = shutil.copytree(original.home, tmp_path / "ca")
    deny_once(home, "*.web.internal.example")
    listed = dayfly("ca", "denials", "--home", str(home), home=tmp_path).stdout
    assert "rule r2 of platform-team gives no wildcards" in listed


def test_an_id_may_be_held_against_the_name_that_it_is_for(original: CA, tmp_path: Path) -> None:
    """`ID=NAME` makes no rule for another name; for its own it is as the id alone."""
    home = shutil.copytree(original.home, tmp_path / "ca")
    deny_once(home)
    command = ("ca", "policy", "allow", "--home", str(home), "--denial")
    wrong = dayfly(*command, "4F2A=pay.corp", home=tmp_path, check=False)
    assert wrong.returncode != 0
    assert f"denial 4F2A is for {OUTSIDE}, not for pay.corp" in wrong.stderr
    assert dayfly(*command, "4F2A=", home=tmp_path, check=False).returncode == wrong.returncode
    right = dayfly(*command, f"4f2a={OUTSIDE.upper()}", home=tmp_path)
    assert "✔ Rule: r3" in right.stderr


# --- as root ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def nobodys(original: CA) -> Iterator[Path]:
    """A home that belongs to nobody, and can be reached by him."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a home away")
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        home = shutil.copytree(original.home, Path(place) / "ca")
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        yield home


def test_root_leaves_no_file_of_his_in_the_home(nobodys: Path) -> None:
    """Whatever root runs there is done as the home's owner; what is read is read as him, too."""
    for command in (
        ("policy", "allow", "web.corp"),
        ("provisioner", "add", "other", "--type", "ACME"),
        ("policy", "show"),
        ("policy", "test", "web.corp"),
        ("denials",),
        ("log", "verify"),
    ):
        dayfly("ca", *command, "--home", str(nobodys), home=nobodys.parent)
        owners = {path: path.lstat().st_uid for path in (nobodys, *nobodys.rglob("*"))}
        assert set(owners.values()) == {NOBODY}, (command, owners)


def test_root_follows_no_link_of_the_owner_with_roots_rights(nobodys: Path, tmp_path: Path) -> None:
    """A ca.toml that leads to a file of root's is not read for somebody who could not read it himself."""
    secret = tmp_path / "ca.toml"
    shutil.copy(nobodys / "ca.toml", secret)
    secret.chmod(0o600)
    (nobodys / "ca.toml").unlink()
    (nobodys / "ca.toml").symlink_to(secret)
    said = dayfly("ca", "policy", "show", "--home", str(nobodys), home=nobodys.parent, check=False)
    assert (said.returncode, "cannot be read" in said.stderr) == (1, True)


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (NOBODY, "runuser -u nobody -- dayfly ca start"),
        (54321, "setpriv --reuid=54321 --regid=54321 --clear-groups --"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_root_does_not_serve_in_somebody_elses_home(nobodys: Path, owner: int, step: str, workers: str) -> None:
    """It is refused before anything is opened, nothing in the home changes, and the next step is named."""
    for path in (nobodys, *nobodys.rglob("*")):
        os.chown(path, owner, owner)
    (nobodys / "ca.toml").write_text("what would be refused, were it read")
    before = facts_below(nobodys)
    said = dayfly("ca", "start", "--workers", workers, "--home", str(nobodys), home=nobodys.parent, check=False)
    assert said.returncode == 1
    assert f"belongs to user {owner}" in said.stderr
    assert step in said.stderr
    assert facts_below(nobodys) == before


def facts_below(place: Path) -> dict[Path, tuple[int, int, int]]:
    """Owner, size and time of the last change of everything there."""
    found = {path: path.lstat() for path in (place, *place.rglob("*"))}
    return {path: (facts.st_uid, facts.st_size, facts.st_mtime_ns) for path, facts in found.items()}
