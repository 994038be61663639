"""`dayfly ca validate`: what the CA would meet if it looked at a challenge for a name now (acme.md part 8)."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

import click

from dayfly.cli.output import emit, home_option, json_option
from dayfly.config.values import Config
from dayfly.core.acme.challenges import OF_AN_ACCOUNT
from dayfly.core.identifiers import Identifier, IdentifierType, parse_dns, parse_ip
from dayfly.core.problems import Refused
from dayfly.errors import UsageError
from dayfly.wiring.commands import read_settings_of
from dayfly.wiring.homes import enter_home
from dayfly.wiring.validating import DryRun, caa_names, dry_run, dry_run_caa, types_for

NOT_REACHED = 1


@click.command()
@click.argument("name")
@home_option
@click.option("--type", "kinds", multiple=True, help="Only this challenge type; repeat for more.")
@click.option("--provisioner", default="", help="The types that this provisioner offers; else those of all.")
@click.option("--account", "account_url", default="", metavar="URL", help="For the types that name an account.")
@json_option
def validate(
    name: str, home: str | None, kinds: tuple[str, ...], provisioner: str, account_url: str, as_json: bool
) -> int:
    """Look from the CA's seat at where challenges for a name would be answered; exit 1 where a place is not reached."""
    identifier = _identifier(name)
    for kind in kinds:
        if kind in OF_AN_ACCOUNT and not account_url:
            raise UsageError(f"{kind} is about one account", hint="name it: --account URL")
    config = enter_home(home)
    settings = asyncio.run(read_settings_of(config))
    wanted = kinds or types_for(settings, provisioner=provisioner, account_url=account_url)
    names = caa_names(settings, config, provisioner=provisioner)
    runs = asyncio.run(_look(config, identifier, wanted, account_url=account_url, names=names))
    if as_json:
        emit({"name": identifier.value, "results": [_document(one) for one in runs]})
    else:
        click.echo("\n\n".join(_screen(identifier, one) for one in runs))
    return 0 if all(one.reached for one in runs) else NOT_REACHED


async def _look(
    config: Config, identifier: Identifier, kinds: tuple[str, ...], *, account_url: str, names: tuple[str, ...]
) -> tuple[DryRun, ...]:
    """The challenge types, and CAA where it is looked at; an address has no such records."""
    runs = await dry_run(config, identifier, kinds, account_url=account_url)
    if not names or identifier.type is not IdentifierType.DNS:
        return runs
    return (*runs, await dry_run_caa(config, identifier, names, [one.type for one in runs], account_url=account_url))


def _identifier(text: str) -> Identifier:
    """A DNS name, `*.` in front of a wildcard, or an address; UsageError."""
    try:
        try:
            address = str(ip_address(text))
        except ValueError:
            return parse_dns(text)
        return parse_ip(address)
    except Refused as error:
        raise UsageError(f"{text!r} is not a name that a challenge can prove: {error.detail}") from None


def _document(run: DryRun) -> dict[str, Any]:
    return {
        "type": run.type,
        "reached": run.reached,
        "problem": run.problem,
        "detail": run.detail,
        "change": _line(run),
        "hops": [
            {
                "at": round(one.at, 4),
                "step": one.step.value,
                "what": one.what,
                "outcome": one.outcome,
                "passed": one.passed,
            }
            for one in run.hops
        ],
    }


def _screen(identifier: Identifier, run: DryRun) -> str:
    lines = [f"{run.type} for {identifier.value}"]
    lines += [
        f"  {one.at:6.3f}s  {'✔' if one.passed else '✖'} {one.step.value:7}  {one.what}: {one.outcome}"
        for one in run.hops
    ]
    lines.append(f"  {_result(run)}")
    if change := _change(run):
        lines.append(f"  {change}")
    return "\n".join(lines)


def _result(run: DryRun) -> str:
    if not run.problem:
        return "Result: allowed." if run.type == "caa" else "Result: reached, and what was looked for is there."
    if run.problem == "caa":
        return f"Result: forbidden: {run.detail}"
    if run.reached:
        return f"Result: reached. No challenge is under way, so this is what it found: {run.detail}"
    return f"Result: not reached ({run.problem}): {run.detail}"


def _change(run: DryRun) -> str:
    if run.reached:
        return ""
    if run.opened:
        return f"To change: [validation] {_line(run)} in ca.toml, then reload the CA (SIGHUP)."
    return {
        "dns": "To change: the records of the name, or [validation] resolver or hosts in ca.toml, then reload.",
        "connection": "To change: what listens there, what stands between, or the address that the name leads to.",
        "tls": "To change: what answers there.",
        "caa": "To change: the CAA records, or who the CA is in them (ca provisioner update --caa-identity).",
    }.get(run.problem, "")


def _line(run: DryRun) -> str:
    """The line of `[validation]` that would let it through; "" where none would."""
    quoted = ", ".join(f'"{one}"' for one in run.opened)
    return f"allow = [{quoted}]" if quoted else ""
