"""Modes, owners and keys: a finding for each fault, none for a healthy home (security.md 9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from dayfly.core.doctor.catalogue import Level
from dayfly.core.doctor.files import FileFacts, KeyFact, PathFact, Role, judge_files, judge_password_file
from dayfly.core.doctor.findings import Finding, Mend
from dayfly.core.frozen import replace

ISSUER = KeyFact("intermediate", "/h/secrets/intermediate_ca_key", encrypted=True, opens=True, matches=True)
LOG = KeyFact("log", "/h/secrets/log_key", encrypted=True, opens=True)
ROOT = KeyFact("root", "/h/offline/root_ca_key", encrypted=True, opens=False)
PATHS = (
    PathFact("/", Role.ABOVE, 0o755, 0),
    PathFact("/sticky", Role.ABOVE, 0o1777, 0),
    PathFact("/h", Role.DIRECTORY, 0o700, 5),
    PathFact("/h/secrets", Role.SECRETS, 0o700, 5),
    PathFact("/h/secrets/log_key", Role.KEY, 0o600, 5),
    PathFact("/h/db/dayfly.db", Role.DATABASE, 0o600, 5),
    PathFact("/h/ca.toml", Role.CONFIG, 0o644, 5),
    PathFact("/h/certs/root_ca.crt", Role.OTHER, 0o644, 5),
)


def facts(**changes: Any) -> FileFacts:
    """A healthy home of user 5."""
    return replace(FileFacts(owner=5, paths=PATHS, keys=(ISSUER, LOG)), **changes)


def with_path(role: Role, *, mode: int, uid: int = 5) -> FileFacts:
    """The same with one path more."""
    return facts(paths=(*PATHS, PathFact("/h/x", role, mode, uid)))


def wrongs(found: Iterable[Finding]) -> list[tuple[str, Level]]:
    """The codes and levels of what is wrong, each with something to do."""
    bad = [one for one in found if one.level in {Level.WARNING, Level.PROBLEM}]
    assert all(one.next_step for one in bad)
    return [(one.code, one.level) for one in bad]


def test_healthy_home_has_no_finding() -> None:
    """All passed, nothing unknown."""
    assert {one.level for one in judge_files(facts())} == {Level.OK}


@pytest.mark.parametrize(
    ("role", "mode", "code", "mended"),
    [
        (Role.DIRECTORY, 0o770, "DF4001", 0o750),
        (Role.SECRETS, 0o722, "DF4001", 0o700),
        (Role.OTHER, 0o666, "DF4001", 0o644),
        (Role.KEY, 0o640, "DF4003", 0o600),
        (Role.KEY, 0o604, "DF4003", 0o600),
        (Role.DATABASE, 0o644, "DF4004", 0o600),
        (Role.CONFIG, 0o664, "DF4005", 0o644),
        (Role.SECRETS, 0o750, "DF4014", 0o700),
    ],
)
def test_loose_mode_is_found_with_its_cure__security_9(role: Role, mode: int, code: str, mended: int) -> None:
    """Each kind of path has its code; the cure takes the others' rights away and no more."""
    (finding,) = [one for one in judge_files(with_path(role, mode=mode)) if one.level is not Level.OK]
    assert (finding.code, finding.mend) == (code, Mend("/h/x", mended))


@pytest.mark.parametrize("role", [Role.DIRECTORY, Role.OTHER, Role.CONFIG])
def test_what_others_may_only_read_is_no_finding(role: Role) -> None:
    """Certificates and ca.toml are no secrets."""
    assert wrongs(judge_files(with_path(role, mode=0o755))) == []


def test_password_file_is_judged_by_its_mode_alone() -> None:
    """Root may own it; others may not read it."""
    assert judge_password_file(PathFact("/etc/p", Role.KEY, 0o600, 0)) == ()
    assert wrongs(judge_password_file(PathFact("/etc/p", Role.KEY, 0o644, 0))) == [("DF4003", Level.PROBLEM)]


def test_file_of_another_user_is_found() -> None:
    """Root's commands in another user's home leave such files."""
    assert wrongs(judge_files(with_path(Role.OTHER, mode=0o600, uid=0))) == [("DF4002", Level.PROBLEM)]


@pytest.mark.parametrize(("mode", "uid", "found"), [(0o777, 0, True), (0o755, 9, True), (0o1777, 0, False)])
def test_directory_above_that_others_command_is_found(mode: int, uid: int, found: bool) -> None:
    """Writable without the sticky bit, or of a third user."""
    expected = [("DF4006", Level.PROBLEM)] if found else []
    assert wrongs(judge_files(with_path(Role.ABOVE, mode=mode, uid=uid))) == expected


def test_missing_file_is_found() -> None:
    """What ca.toml names has to be there."""
    assert wrongs(judge_files(facts(missing=("/h/secrets/log_key",)))) == [("DF4013", Level.PROBLEM)]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ((ROOT, ISSUER, LOG), [("DF4007", Level.WARNING)]),
        ((replace(ROOT, opens=True), ISSUER, LOG), [("DF4007", Level.WARNING), ("DF4008", Level.WARNING)]),
        ((replace(ROOT, encrypted=False), ISSUER, LOG), [("DF4007", Level.WARNING), ("DF4009", Level.PROBLEM)]),
        ((replace(ISSUER, encrypted=False), LOG), [("DF4009", Level.WARNING)]),
        ((replace(ISSUER, opens=False, matches=None), LOG), [("DF4012", Level.PROBLEM)]),
        ((replace(ISSUER, matches=False), LOG), [("DF4012", Level.PROBLEM)]),
        ((ISSUER, replace(LOG, opens=False)), [("DF4012", Level.PROBLEM)]),
        ((ROOT,), [("DF4007", Level.WARNING)]),
    ],
)
def test_keys_that_are_here_open_too_much_or_not_at_all(
    keys: tuple[KeyFact, ...], found: list[tuple[str, Level]]
) -> None:
    """The root's key, one password for both, keys in the clear, keys that do not open or match."""
    assert wrongs(judge_files(facts(keys=keys))) == found


def test_without_a_password_nothing_is_claimed_of_the_keys() -> None:
    """What could not be looked at is unknown, and never well."""
    closed = tuple(replace(key, opens=None, matches=None) for key in (ROOT, ISSUER, LOG))
    unknown = [one.code for one in judge_files(facts(keys=closed)) if one.level is Level.UNKNOWN]
    assert unknown == ["DF4008", "DF4012"]


def test_stray_keys_and_the_provisioners_password_are_found() -> None:
    """What helps an intruder and nobody else."""
    home = facts(strays=("/h/copy.pem",), provisioner_password="/h/secrets/provisioner_password")
    assert wrongs(judge_files(home)) == [("DF4011", Level.PROBLEM), ("DF4010", Level.WARNING)]


def test_home_without_keys_is_judged_by_its_modes_alone() -> None:
    """A client has none of the CA's keys."""
    assert [one.code for one in judge_files(facts(keys=()))] == ["DF4001", "DF4013"]
