"""How a command enters a CA's home: as its owner, whoever calls.

Rules: what root starts in somebody else's home goes on as that somebody, for good, so that no file in it is ever
root's and no path in it is followed with root's rights; a secret that only root may read is read before. The server
is not started so: its socket and what it loads later are the owner's own affair, so it is refused with the command.
"""

from __future__ import annotations

import codecs
import os
import pwd
import shlex
from pathlib import Path

from dayfly.adapters.stores import load_stores
from dayfly.config.reading import load_config
from dayfly.config.values import Config
from dayfly.errors import ConfigError
from dayfly.home import resolve_home


def enter_home(option: str | None) -> Config:
    """The settings of the CA in the home that is meant, as the home's owner; ConfigError."""
    home = resolve_home(option, os.environ, Path.home())
    become_owner(home)
    return load_config(home)


def _other_owner(home: Path) -> os.stat_result | None:
    """Whose home it is, where this process is root's and the home is not; None otherwise."""
    if os.geteuid() != 0:
        return None
    try:
        status = home.stat()
    except OSError:
        return None  # what comes next says that there is no home
    return status if status.st_uid else None


def become_owner(home: Path) -> None:
    """Give up root's rights for those of the home's owner; nothing happens for anybody else. ConfigError."""
    status = _other_owner(home)
    if status is None:
        return
    _load_now()
    os.umask(0o077)
    try:
        os.setgroups([status.st_gid])
        os.setgid(status.st_gid)
        os.setuid(status.st_uid)
    except OSError as error:
        raise ConfigError(
            "",
            f"{home} belongs to user {status.st_uid}, and this process cannot become that user: {error.strerror}",
            hint="run the command as that user",
        ) from None


def refuse_root(home: Path) -> None:
    """ConfigError where root would serve in a home of somebody else, who could not start it there afterwards."""
    status = _other_owner(home)
    if status is None:
        return
    raise ConfigError(
        "",
        f"{home} belongs to user {status.st_uid}, and root would leave files in it that are root's",
        hint=f"start it as its owner: {_as_owner(status)} dayfly ca start --home {shlex.quote(str(home))}, "
        "or by the systemd unit, which gives it a port below 1024, too",
    )


def _as_owner(status: os.stat_result) -> str:
    """How root runs a command as this file's owner, who may have no name here."""
    try:
        return f"runuser -u {pwd.getpwuid(status.st_uid).pw_name} --"
    except KeyError:
        return f"setpriv --reuid={status.st_uid} --regid={status.st_gid} --clear-groups --"


def _load_now() -> None:
    """What is imported when it is first used: this program may lie where only root can read it."""
    load_stores()
    for name in ("ascii", "latin-1", "punycode", "idna"):
        codecs.lookup(name)
