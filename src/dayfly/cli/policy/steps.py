"""`ca policy authority|provisioner ...` in step's words, over the same rules (step-compat.md 14).

Rules: the whole policy as indented JSON after each change; what step has and we have not (policies of external
account keys, SSH) is refused with the reason, not hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import click

from dayfly.cli.output import emit, home_option, json_option
from dayfly.core.policy.rules import RuleAction, RuleKind
from dayfly.core.settings.revisions import Settings, SettingsChange
from dayfly.core.settings.rule_changes import RuleRequest
from dayfly.core.settings.step_policy import (
    plan_names,
    plan_names_removal,
    plan_policy_removal,
    plan_wildcards,
    render_policy,
)
from dayfly.errors import ConfigError, UsageError
from dayfly.wiring.commands import change_settings_of, is_public_suffix, read_settings_of
from dayfly.wiring.homes import enter_home

NO_POLICY = "certificate issuance policy does not exist"
_KINDS = {
    "dns": (RuleKind.DNS, "DNS names and patterns"),
    "ip": (RuleKind.IP, "IP addresses and networks (CIDR)"),
    "email": (RuleKind.EMAIL, "e-mail addresses, or all of a domain's as @a.b"),
    "uri": (RuleKind.URI, "URIs by their host, whatever scheme and path"),
    "cn": (RuleKind.CN, "common names that are no names of another kind"),
}
NO_SCOPES = {"acme": "external account keys are not there yet, so they have no policies"}

Command = Callable[..., Any]


class RefusingGroup(click.Group):
    """A group that knows words of step's which can do nothing here, and says why; it lists them nowhere."""

    def __init__(self, *arguments: Any, refused: Mapping[str, str], **options: Any) -> None:  # noqa: ANN401 - click's own
        """`refused` are the words and their reasons."""
        super().__init__(*arguments, **options)
        self._refused = refused

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command, or one that refuses whatever follows."""
        if name in self._refused:
            return _refusing(name, self._refused[name])
        return super().get_command(context, name)


def add_scopes(group: click.Group) -> None:
    """Put step's groups beside our own commands."""
    group.add_command(_scope("authority", bound=False))
    group.add_command(_scope("provisioner", bound=True))


def _scope(name: str, *, bound: bool) -> click.Group:
    """One scope: `bound` to the provisioner that --provisioner names."""
    what = "a provisioner" if bound else "the authority"
    group = click.Group(name, help=f"The name rules of {what}, in step's words.")
    for command in (_view, _clear):
        group.add_command(command(bound=bound))
    x509 = click.Group("x509", help="What X.509 certificates may say.")
    for action in RuleAction:
        x509.add_command(_action(action, bound=bound))
    x509.add_command(_wildcards(bound=bound))
    group.add_command(x509)
    return group


def _options(command: Command, *, bound: bool) -> Command:
    """The home, the provisioner where the scope is one, and --json, though it is JSON mostly anyway."""
    if bound:
        command = click.option("--provisioner", required=True, help="Name of the provisioner.")(command)
    return home_option(json_option(command))


def _view(*, bound: bool) -> click.Command:
    def view(home: str | None, as_json: bool, provisioner: str = "") -> None:
        settings = asyncio.run(read_settings_of(enter_home(home)))
        _check_scope(settings, provisioner)
        _show(settings, provisioner, as_json=as_json)

    return click.command("view", help="Show the policy as JSON.")(_options(view, bound=bound))


def _clear(*, bound: bool) -> click.Command:
    def remove(home: str | None, as_json: bool, provisioner: str = "") -> None:
        def plan(settings: Settings) -> SettingsChange:
            _check_scope(settings, provisioner)
            change = plan_policy_removal(settings, provisioner)
            if not change.remove:
                raise ConfigError("", NO_POLICY)
            return change

        asyncio.run(change_settings_of(enter_home(home), plan))
        if as_json:
            emit({"deleted": True})
        else:
            click.echo("policy deleted")

    text = "Remove all of the policy's rules; what no other rule allows is denied then."
    return click.command("remove", help=text)(_options(remove, bound=bound))


def _action(action: RuleAction, *, bound: bool) -> click.Group:
    group = click.Group(str(action), help=f"{action.capitalize()} names.")
    for word, (kind, what) in _KINDS.items():
        group.add_command(_names(word, kind, what, action, bound=bound))
    return group


def _names(word: str, kind: RuleKind, what: str, action: RuleAction, *, bound: bool) -> click.Command:
    @click.argument("names", nargs=-1, required=True)
    @click.option("--remove", is_flag=True, help="Take them out of the policy.")
    @click.option("--owner", default="", help="Whose rules they are. Default: the only owner.")
    def change(names: tuple[str, ...], home: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's bag
        remove, owner, provisioner = options["remove"], options["owner"], options.get("provisioner", "")
        is_suffix = is_public_suffix()
        config = enter_home(home)
        own = tuple(one.value for one in config.dns_names)
        request = RuleRequest(names, action, owner=owner, provisioner=provisioner, own_names=own)

        def plan(settings: Settings) -> SettingsChange:
            _check_scope(settings, provisioner)
            if remove:
                return plan_names_removal(settings, request, kind)
            return plan_names(settings, request, kind, is_public_suffix=is_suffix)

        _show(asyncio.run(change_settings_of(config, plan)), provisioner, as_json=as_json)

    return click.command(word, help=f"{action.capitalize()} {what}.")(_options(change, bound=bound))


def _wildcards(*, bound: bool) -> click.Group:
    group = click.Group("wildcards", help="Allow or deny wildcard names.")
    for allowed, word in ((True, "allow"), (False, "deny")):
        group.add_command(_wildcard(word, allowed=allowed, bound=bound))
    return group


def _wildcard(word: str, *, allowed: bool, bound: bool) -> click.Command:
    def change(home: str | None, as_json: bool, provisioner: str = "") -> None:
        def plan(settings: Settings) -> SettingsChange:
            _check_scope(settings, provisioner)
            return plan_wildcards(settings, provisioner, allowed=allowed)

        _show(asyncio.run(change_settings_of(enter_home(home), plan)), provisioner, as_json=as_json)

    return click.command(word, help=f"{word.capitalize()} wildcards by all rules of the policy.")(
        _options(change, bound=bound)
    )


def _refusing(name: str, why: str) -> click.Command:
    @click.argument("rest", nargs=-1, type=click.UNPROCESSED)
    def refuse(rest: tuple[str, ...]) -> None:
        del rest
        raise UsageError(f"{name} is not taken: {why}", hint="see what there is: dayfly ca policy --help")

    taking_all = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.command(name, context_settings=taking_all)(refuse)


def _check_scope(settings: Settings, provisioner: str) -> None:
    if provisioner and settings.find_provisioner(provisioner) is None:
        raise ConfigError(
            "", f"there is no provisioner named {provisioner}", hint="list them: dayfly ca provisioner list"
        )


def _show(settings: Settings, provisioner: str, *, as_json: bool) -> None:
    policy = render_policy(settings, provisioner)
    if policy is None and not as_json:
        click.echo(NO_POLICY)
    else:
        emit(policy)
