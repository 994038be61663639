"""Where files really lie: found once, held, and never where somebody else leads root."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from dayfly.cli.renewing.pair import Replacement, locked, rehearse, replace_files
from dayfly.cli.renewing.spots import open_spots, refuse_moved
from dayfly.errors import UsageError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away; CI is root")
OTHER = 54321


def real(path: Path) -> Path:
    """Where it lies, by the descriptor and by the path, which agree."""
    with ExitStack() as held:
        spot = open_spots((path,), held)[path]
        assert Path(f"/proc/self/fd/{spot.directory}").readlink() / spot.name == spot.real
        return spot.real


def test_links_are_followed_as_the_kernel_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle and at the end, relative, absolute, upwards, to nothing yet; relative paths, too."""
    generation = tmp_path / "gens/1"
    generation.mkdir(parents=True)
    (tmp_path / "current").symlink_to("gens/1")
    (tmp_path / "absolute").symlink_to(tmp_path / "current")
    (generation / "up.crt").symlink_to("../../a.crt")
    (tmp_path / "last").symlink_to("absolute/up.crt")
    monkeypatch.chdir(tmp_path / "current")
    for path in (
        "a.crt",
        "up.crt",
        "../x.crt",
        tmp_path / "absolute/b.crt",
        tmp_path / "last",
        tmp_path / "current/../c",
    ):
        assert real(Path(path)) == Path(path).resolve()


@pytest.mark.parametrize("path", ["loop/a", "loop", "absent/a.crt", "file/a.crt", "top", ".."])
def test_path_that_leads_nowhere_is_told(tmp_path: Path, path: str) -> None:
    """A loop, a directory that is not there or is none, and a directory itself."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "top").symlink_to("/")
    (tmp_path / "file").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(UsageError, match="cannot be opened"):
        real(tmp_path / path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_link_that_changes_meanwhile_leads_nobody_away(tmp_path: Path) -> None:
    """What was found before the pair was read is what is replaced, wherever links lead by then."""
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.crt").write_text("old")
    link, path = tmp_path / "current", tmp_path / "current/a.crt"
    link.symlink_to("mine")
    with locked(path) as spots:
        refuse_moved(spots)
        link.unlink()
        link.symlink_to("theirs")
        with pytest.raises(UsageError, match="leads to another file"):
            refuse_moved(spots)
        replace_files((Replacement(spots[path], b"new", 0o600),))
    assert [(tmp_path / name / "a.crt").read_text() for name in ("mine", "theirs")] == ["new", "old"]


def test_file_that_became_a_link_is_neither_followed_nor_replaced(tmp_path: Path) -> None:
    """The file that it leads to stays, and so does the link; nothing is left beside it."""
    path, theirs = tmp_path / "a.crt", tmp_path / "passwd"
    theirs.write_text("root")
    with locked(path) as spots:
        path.symlink_to(theirs)
        with pytest.raises(UsageError, match="not a regular file any more"):
            rehearse((spots[path],))
        with pytest.raises(UsageError, match="not a regular file any more"):
            replace_files((Replacement(spots[path], b"new", 0o600),))
    assert theirs.read_text() == "root"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.crt", "passwd"]


@as_root
@pytest.mark.parametrize("owner", [OTHER, 65534])
def test_root_writes_in_no_directory_of_somebody_else(tmp_path: Path, owner: int) -> None:
    """By its name or behind a link; the hint names the owner. Whose the file itself is does not matter."""
    place = tmp_path / "certs"
    place.mkdir()
    (place / "a.crt").touch()
    (tmp_path / "link").symlink_to("certs/a.crt")
    os.chown(place / "a.crt", owner, owner)
    assert real(tmp_path / "link") == place / "a.crt"
    os.chown(place, owner, owner)
    for path in (place / "a.crt", tmp_path / "link"):
        with pytest.raises(UsageError, match="others may change") as caught:
            real(path)
        assert ("runuser -u nobody --" if owner == 65534 else f"--reuid={OTHER}") in caught.value.hint


@as_root
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_root_writes_in_no_directory_that_others_may_write(tmp_path: Path, mode: int) -> None:
    """A sticky one is no better: somebody may have put a file there whose owner the new key would get."""
    tmp_path.chmod(mode)
    with pytest.raises(UsageError, match="others may change") as caught:
        real(tmp_path / "a.key")
    assert "chmod go-w" in caught.value.hint


@as_root
def test_root_follows_no_link_of_somebody_else(tmp_path: Path) -> None:
    """Neither one that they made, nor one that lies in their directory, though it leads to a place of root's."""
    roots, theirs = tmp_path / "etc", tmp_path / "theirs"
    for place in (roots, theirs):
        place.mkdir()
    (theirs / "certs").symlink_to(roots)
    assert real(theirs / "certs/a.crt") == roots / "a.crt"
    os.chown(theirs, OTHER, OTHER)
    with pytest.raises(UsageError, match=r"the link .*/certs, which root would follow"):
        real(theirs / "certs/a.crt")
    os.chown(theirs, 0, 0)
    theirs.chmod(0o1777)
    assert real(theirs / "certs/a.crt") == roots / "a.crt"
    os.chown(theirs / "certs", OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(UsageError, match="which root would follow"):
        real(theirs / "certs/a.crt")
