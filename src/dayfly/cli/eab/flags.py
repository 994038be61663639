"""The flags of `ca eab`: what a key, or an account, may be held to, and step's flags that mean what we do not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import click

from dayfly.cli.ca_target import not_taken
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.policy.rules import parse_network
from dayfly.core.policy.scopes import Scope
from dayfly.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def _held_to(who: str, whose: str) -> tuple[Callable[[Any], Any], ...]:
    """The parts of a scope, in the words for those whom it binds."""
    return (
        click.option("--allow", multiple=True, metavar="PATTERN", help=f"{who} may have these names only; repeat."),
        click.option("--deny", multiple=True, metavar="PATTERN", help=f"{who} may not have these; repeat."),
        click.option("--wildcards", is_flag=True, help="Let what --allow names have wildcards."),
        click.option("--source", multiple=True, metavar="NETWORK", help=f"{who} may ask from these only; repeat."),
        click.option("--owner", default="", help=f"Whose {whose} certificates are; else the rule's owner."),
        click.option("--profile", multiple=True, help=f"{who} may ask for these profiles only; repeat."),
        click.option("--max-lifetime", help=f"Longest lifetime of {whose} certificates, as 8h."),
    )


_OF_ACCOUNT = _held_to("It", "its")
_OF_KEY = (
    *_held_to("Its accounts", "its accounts'"),
    click.option("--uses", type=click.IntRange(1), default=1, show_default=True, help="How many accounts it binds."),
    click.option("--unlimited", is_flag=True, help="It binds any number of accounts."),
    click.option("--expires", help="How long it binds accounts from now, as 72h; else until it is removed."),
    click.option("--preauthorized", is_flag=True, help="Its names need no proof; needs --allow and --source."),
)
_STEP_FLAGS = (
    "--admin-cert", "--admin-key", "--admin-subject", "--admin-provisioner", "--admin-password-file", "--ca-url",
    "--root", "--context",
)  # fmt: skip
_ON_THE_HOST = "keys are made and removed on the CA's host, by whoever owns the CA's home"


def scope_options(command: Command) -> Command:
    """What a new key is held to."""
    return _with(_OF_KEY, command)


def account_scope_options(command: Command) -> Command:
    """What an account is held to."""
    return _with(_OF_ACCOUNT, command)


def _with(options: tuple[Callable[[Any], Any], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def on_the_host(command: Command) -> Command:
    """Know step's flags for its admin API, and refuse each with the reason."""
    for flag in _STEP_FLAGS:
        command = not_taken(flag, _ON_THE_HOST)(command)
    return command


def scope_of(options: Mapping[str, Any]) -> Scope:
    """The scope that the flags ask for; UsageError, RuleError."""
    return Scope(
        owner=options["owner"],
        allow=options["allow"],
        deny=options["deny"],
        wildcards=options["wildcards"],
        sources=tuple(str(parse_network(one, what="--source")) for one in options["source"]),
        profiles=options["profile"],
        max_lifetime=duration_of(options["max_lifetime"], "--max-lifetime"),
    )


def duration_of(text: str | None, flag: str) -> timedelta | None:
    """A duration, None where none is given; UsageError."""
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise UsageError(f"{flag}: {error}", hint="write it as 30m, 8h or 72h") from None
