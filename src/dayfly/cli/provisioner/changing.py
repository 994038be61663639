"""`provisioner add`, `update` and `remove`."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dayfly.adapters.keyfiles import read_password
from dayfly.adapters.provisionerkeys import new_provisioner_key, read_public_key
from dayfly.cli.output import emit, say, tick
from dayfly.cli.provisioner.flags import edit_of
from dayfly.config.values import Config
from dayfly.core.frozen import replace
from dayfly.core.jose.encoding import b64u_encode
from dayfly.core.policy.lifetimes import render_duration
from dayfly.core.policy.profiles import NEED_CRL, offered_profiles
from dayfly.core.policy.rules import Rule
from dayfly.core.settings.provisioner_changes import Key, plan_add, plan_provisioner_removal, plan_update
from dayfly.core.settings.provisioners import Provisioner, ProvisionerType
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.core.step.provisioners import describe
from dayfly.errors import UsageError
from dayfly.wiring.commands import change_settings_of
from dayfly.wiring.homes import enter_home

MADE_PASSWORD_OCTETS = 18  # 144 bits, 24 characters
TYPES = ("ACME", "JWK")


def add(home: str | None, name: str, kind: str, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Add a provisioner."""
    kind_ = _type(kind)
    if kind_ is ProvisionerType.JWK and not options["create"] and options["public_key"] is None:
        raise UsageError("a JWK provisioner needs a key", hint="make one with --create, or name it: --public-key FILE")
    edit = replace(edit_of(options), key=_key(options))  # before the rights to read its files are given up
    config = enter_home(home)
    settings = asyncio.run(change_settings_of(config, lambda current: plan_add(current, name, kind_, edit)))
    _tell(config, settings, name, as_json=as_json)


def update(home: str | None, name: str, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Change a provisioner."""
    edit = replace(edit_of(options), key=_key(options))
    config = enter_home(home)
    settings = asyncio.run(change_settings_of(config, lambda current: plan_update(current, name, edit)))
    _tell(config, settings, name, as_json=as_json)


def remove(home: str | None, name: str, *, as_json: bool) -> None:
    """Remove a provisioner, and the rules that held for it only."""
    gone: list[tuple[Rule, ...]] = []

    def plan(settings: Settings) -> SettingsChange:
        change, rules = plan_provisioner_removal(settings, name)
        gone.append(rules)
        return change

    asyncio.run(change_settings_of(enter_home(home), plan))
    rules = [one.id for one in gone[-1]]
    if as_json:
        emit({"removed": name, "rules": rules})
        return
    tick("Removed", f"{name}; its certificates stay valid until they expire, and renew no more")
    if rules:
        tick("Rules", f"{', '.join(rules)} went with it: they held for {name} only")


def _type(text: str) -> ProvisionerType:
    try:
        return ProvisionerType(text.upper())
    except ValueError:
        raise UsageError(f"there are no provisioners of type {text}", hint=f"use {' or '.join(TYPES)}") from None


def _key(options: Mapping[str, Any]) -> Key | None:
    """The key that the flags ask for; UsageError, ConfigError."""
    create, public_key, password_file = (options[name] for name in ("create", "public_key", "password_file"))
    if create and public_key is not None:
        raise UsageError("--create makes a key, and --public-key names one", hint="leave one of them out")
    if create:
        return new_provisioner_key(_password(password_file))
    if password_file is not None:
        raise UsageError("--password-file is for a new key", hint="add --create, or leave it out")
    return None if public_key is None else read_public_key(public_key)


def _password(path: Path | None) -> bytes:
    """The password for a new key: from a file, or typed at a terminal, where an empty answer has one made."""
    if path is not None:
        return read_password(path, flag="--password-file")
    if not sys.stdin.isatty():
        raise UsageError(
            "the new key needs a password, and there is no terminal to ask at", hint="add --password-file FILE"
        )
    question = "Password for the provisioner's key [leave empty and one is made]"
    answer: str = click.prompt(question, hide_input=True, default="", show_default=False, err=True)
    if answer:
        return answer.encode()
    made = b64u_encode(secrets.token_bytes(MADE_PASSWORD_OCTETS))
    tick("Password", f"{made}  (shown once: keep it)")
    return made.encode()


def _tell(config: Config, settings: Settings, name: str, *, as_json: bool) -> None:
    found = settings.find_provisioner(name)
    if found is None:  # somebody else removed it in the same moment
        raise UsageError(f"provisioner {name} was removed by somebody else just now")
    directory = f"{config.base_urls[0]}/acme/{name}/directory" if found.type is ProvisionerType.ACME else ""
    if as_json:
        emit({**describe(found), **({"directory": directory} if directory else {})})
        return
    tick("Provisioner", f"{name} ({found.type}){'' if found.enabled else ', disabled'}")
    if directory:
        tick("Directory", directory)
    if found.kid:
        tick("Key ID", found.kid)
    tick("Lifetimes", _lifetimes(found))
    offered = offered_profiles(found.profiles, found.claims.lifetimes)
    tick("Profiles", ", ".join(offered))
    if config.crl is None and not NEED_CRL.isdisjoint(offered):
        waiting = ", ".join(NEED_CRL.intersection(offered))
        say(f"{waiting} waits for CRLs. next: set [crl] address in ca.toml, and restart the CA")


def _lifetimes(found: Provisioner) -> str:
    claims = found.claims
    shortest, usual, longest = map(render_duration, (claims.min_lifetime, claims.default_lifetime, claims.max_lifetime))
    return f"{usual} by default, {shortest} to {longest}"
