"""`dayfly ca provisioner`: who may ask for certificates, and how."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import click

from dayfly.cli.output import emit, home_option, tick
from dayfly.core.policy.lifetimes import parse_duration, render_duration
from dayfly.core.settings.documents import Claims, Provisioner, ProvisionerType, Settings, SettingsChange, make_claims
from dayfly.errors import ConfigError, UsageError
from dayfly.wiring.commands import change_settings_of
from dayfly.wiring.homes import enter_home


@click.group()
def provisioner() -> None:
    """Manage provisioners."""


@provisioner.command()
@click.argument("name")
@home_option
@click.option("--type", "kind", required=True, help="Type of the provisioner: ACME.")
@click.option("--x509-min-dur", help="Shortest lifetime of its certificates, as 5m.")
@click.option("--x509-default-dur", help="Lifetime when the client asks for none, as 24h.")
@click.option("--x509-max-dur", help="Longest lifetime of its certificates, as 24h.")
@click.option("--force-cn", is_flag=True, help="Always set a common name.")
@click.option("--json", "as_json", is_flag=True, help="Print the provisioner as JSON.")
def add(name: str, home: str | None, kind: str, force_cn: bool, as_json: bool, **durations: str | None) -> None:
    """Add a provisioner; a running CA sees it at once."""
    if kind.upper() != ProvisionerType.ACME:
        raise UsageError(
            f"provisioners of type {kind} cannot be added yet",
            hint="use --type ACME; the first JWK one is made by init",
        )
    claims = _claims(durations)
    made = Provisioner(name=name, type=ProvisionerType.ACME, claims=claims, force_cn=force_cn)
    config = enter_home(home)
    asyncio.run(change_settings_of(config, lambda settings: _plan(settings, made)))
    directory = f"{config.base_urls[0]}/acme/{name}/directory"
    if as_json:
        emit(_document(made, directory))
        return
    tick("Provisioner", f"{name} (ACME)")
    tick("Directory", directory)
    tick("Lifetimes", f"{_words(claims)}")


def _plan(settings: Settings, made: Provisioner) -> SettingsChange:
    if any(one.name == made.name for one in settings.provisioners):
        raise ConfigError("", f"there is a provisioner named {made.name} already", hint="choose another name")
    return SettingsChange(settings.revision, put=(made,), remove=())


def _claims(durations: dict[str, str | None]) -> Claims:
    """The claims that the flags ask for; step's rules for what stretches what."""
    asked: dict[str, timedelta | None] = {}
    for flag, text in durations.items():
        try:
            asked[flag] = parse_duration(text) if text else None
        except ValueError as error:
            raise UsageError(f"--{flag.replace('_', '-')}: {error}", hint="write it as 30s, 5m or 24h") from None
    return make_claims(minimum=asked["x509_min_dur"], default=asked["x509_default_dur"], maximum=asked["x509_max_dur"])


def _words(claims: Claims) -> str:
    shortest, usual, longest = map(render_duration, (claims.min_lifetime, claims.default_lifetime, claims.max_lifetime))
    return f"{usual} by default, {shortest} to {longest}"


def _document(made: Provisioner, directory: str) -> dict[str, Any]:
    return {
        "type": str(made.type),
        "name": made.name,
        "directory": directory,
        "claims": {
            "minTLSCertDuration": render_duration(made.claims.min_lifetime),
            "maxTLSCertDuration": render_duration(made.claims.max_lifetime),
            "defaultTLSCertDuration": render_duration(made.claims.default_lifetime),
        },
    }
