"""How a command enters a CA's home: as its owner, whoever calls.

Rules: what root starts in somebody else's home goes on as that somebody, for good, so that no file in it is ever
root's and no path in it is followed with root's rights; a secret that only root may read is read before.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from dayfly.adapters.stores import load_stores
from dayfly.config import Config, load_config
from dayfly.errors import ConfigError
from dayfly.home import resolve_home


def enter_home(option: str | None) -> Config:
    """The settings of the CA in the home that is meant, as the home's owner; ConfigError."""
    home = resolve_home(option, os.environ, Path.home())
    become_owner(home)
    return load_config(home)


def become_owner(home: Path) -> None:
    """Give up root's rights for those of the home's owner; nothing happens for anybody else. ConfigError."""
    if os.geteuid() != 0:
        return
    try:
        status = home.stat()
    except OSError:
        return  # what comes next says that there is no home
    if status.st_uid == 0:
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


def _load_now() -> None:
    """What is imported when it is first used: this program may lie where only root can read it."""
    load_stores()
    for name in ("ascii", "latin-1", "punycode", "idna"):
        codecs.lookup(name)
