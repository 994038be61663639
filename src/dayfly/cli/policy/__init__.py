"""`dayfly ca policy`: the name rules, shown, tried and changed beside the running CA (security.md section 4).

Rules: a change is one revision and an entry of the log, and the next request is judged by it; a person at a terminal
is asked before a denial becomes a rule, a script is not; what is there already is not made again.

Modules: `changing` makes and removes rules, `trying` asks the engine, `rehearsing` asks it about what was asked lately,
`showing` puts rules into words, `steps` says it all in step's words.
"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.cli.policy import changing, rehearsing, steps, trying
from dayfly.cli.policy.showing import rule_row, rules_head
from dayfly.cli.tables import render_table
from dayfly.core.policy.rules import RuleAction
from dayfly.core.settings.rehearsal import WIDE
from dayfly.core.settings.rule_files import rule_document
from dayfly.wiring.commands import read_settings_of
from dayfly.wiring.homes import enter_home

_owner = click.option("--owner", default="", help="Whose rule it is; a new name is a new owner. Default: the only one.")
_provisioner = click.option("--provisioner", default="", help="For this provisioner only; else for all of them.")


@click.group(cls=steps.RefusingGroup, refused=steps.NO_SCOPES)
def policy() -> None:
    """Show, test and change the name rules."""


@policy.command()
@home_option
@json_option
def show(home: str | None, as_json: bool) -> None:
    """Show all name rules and owners."""
    settings = asyncio.run(read_settings_of(enter_home(home)))
    if as_json:
        owners = [{"name": one.name, "contact": one.contact} for one in settings.owners]
        rules = [rule_document(one) for one in settings.rules]
        emit({"revision": settings.revision, "rules": rules, "owners": owners})
    elif settings.rules:
        click.echo(render_table(rules_head(), [rule_row(one) for one in settings.rules]))
        say("What no rule allows is denied; a rule that denies wins.")
    else:
        say("There is no rule, so no name is allowed.")


@policy.command()
@click.argument("patterns", nargs=-1)
@home_option
@click.option(
    "--denial",
    "denials",
    multiple=True,
    metavar="ID[=NAME]",
    help="Allow exactly what was denied, and only if it was NAME; repeat for more.",
)
@_owner
@_provisioner
@click.option("--source", "sources", multiple=True, help="Only for requests from this network (CIDR); repeat for more.")
@click.option("--wildcards", is_flag=True, help="Allow wildcard names too.")
@click.option("-f", "--force", is_flag=True, help="Do not ask at a terminal.")
@json_option
def allow(patterns: tuple[str, ...], home: str | None, denials: tuple[str, ...], as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Allow names, or what --denial names.

    a.b, *.a.b (one label), **.a.b (any depth), an address or a network, user@a.b or @a.b, uri:HOST, cn:TEXT.
    """
    changing.allow(home, patterns, denials, options, as_json=as_json)


@policy.command()
@click.argument("patterns", nargs=-1, required=True)
@home_option
@_owner
@_provisioner
@json_option
def deny(patterns: tuple[str, ...], home: str | None, owner: str, provisioner: str, as_json: bool) -> None:
    """Deny names, whatever other rules allow; written as for allow."""
    request = {"owner": owner, "provisioner": provisioner, "action": RuleAction.DENY}
    changing.make(home, patterns, request, as_json=as_json)


@policy.command()
@click.argument("rules", nargs=-1, required=True)
@home_option
@json_option
def remove(rules: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Remove rules by their ids."""
    changing.remove(home, rules, as_json=as_json)


@policy.command(name="test")
@click.argument("names", nargs=-1, required=True)
@home_option
@click.option("--provisioner", default="", help="Through this provisioner; else by the rules for all of them.")
@click.option("--owner", default="", help="Would the certificate belong to this owner?")
@click.option("--source", help="As if the request came from this address.")
@click.option("--lifetime", help="For this long, as 8h.")
@json_option
def try_names(names: tuple[str, ...], home: str | None, as_json: bool, **options: Any) -> int:  # noqa: ANN401 - click's bag
    """Ask whether names would be allowed; exit 3 when one would be denied."""
    return trying.try_names(home, names, options, as_json=as_json)


_since = click.option("--since", default="7d", show_default=True, help="How far back to look, as 24h.")


@policy.command()
@home_option
@click.option("--file", metavar="FILE", help="A whole set of rules, as `show --json` and `suggest --json` print.")
@click.option("--allow", multiple=True, metavar="PATTERN", help="As if this was allowed too; repeat for more.")
@click.option("--deny", multiple=True, metavar="PATTERN", help="As if this was denied; repeat for more.")
@click.option("--remove", multiple=True, metavar="RULE", help="As if this rule was gone; repeat for more.")
@_owner
@_provisioner
@click.option("--source", "sources", multiple=True, help="What --allow names, for requests from this network only.")
@click.option("--wildcards", is_flag=True, help="What --allow names, wildcard names too.")
@_since
@json_option
def diff(home: str | None, as_json: bool, **options: Any) -> int:  # noqa: ANN401 - click's bag
    """Tell what other rules would have changed for what was asked lately; exit 3 when a name would be lost."""
    return rehearsing.show_difference(home, options, as_json=as_json)


@policy.command()
@home_option
@click.option("--denials", is_flag=True, help="Cover what was denied, too.")
@click.option("--owner", default="", help="Whose rules those for denied names are. Default: the only owner.")
@click.option(
    "--wide",
    type=click.IntRange(2),
    default=WIDE,
    show_default=True,
    help="So many names right below a domain become one pattern.",
)
@_since
@json_option
def suggest(home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
    """Print the fewest rules that cover what was asked lately, as commands; nothing is changed."""
    rehearsing.show_suggestion(home, options, as_json=as_json)


steps.add_scopes(policy)
