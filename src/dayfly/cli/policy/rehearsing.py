"""`policy diff` and `policy suggest`: rules against what was asked for lately.

Rules: nothing is changed; where there was more than is read, that is said; what is suggested is printed as commands, or
with --json as a file that `diff --file` takes.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dayfly.adapters.system import SystemClock
from dayfly.cli.output import emit, say
from dayfly.cli.policy.showing import target_words
from dayfly.cli.tables import render_moment, render_table
from dayfly.config.values import Config
from dayfly.core.policy.index import compile_rules
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.policy.rules import Rule, RuleAction
from dayfly.core.settings.rehearsal import Answer, Asked, Difference, asked_for, compare, suggest_rules
from dayfly.core.settings.revisions import Settings, apply_change
from dayfly.core.settings.rule_changes import RuleRequest, choose_owner, plan_removal, plan_rules
from dayfly.core.settings.rule_files import MAX_OCTETS, parse_rule_file, rule_document
from dayfly.errors import UsageError
from dayfly.wiring.commands import Requests, is_public_suffix, read_requests_of
from dayfly.wiring.homes import enter_home

DENIED = 3  # the exit code where a name that was given would be denied
SHOWN = 200  # lines for a person; --json has all


def show_difference(home: str | None, options: dict[str, Any], *, as_json: bool) -> int:
    """`policy diff`; 3 where a name that has a certificate would be denied, else 0."""
    config = enter_home(home)
    since = _since(options["since"])
    found = asyncio.run(read_requests_of(config, since))
    asked = asked_for(found.certificates, found.denials)
    rules = _rules(config, found.settings, options)
    differences = compare(asked, found.settings.name_rules, compile_rules(rules))
    if as_json:
        rows = [_difference_document(one) for one in differences]
        emit({**_head(found, since, asked), "rules": len(rules), "differences": rows})
    else:
        _tell_differences(differences)
        _tell_head(found, since, asked)
    lost = [one for one in differences if one.kind == "newly_denied"]
    return DENIED if lost else 0


def show_suggestion(home: str | None, options: dict[str, Any], *, as_json: bool) -> None:
    """`policy suggest`."""
    is_suffix = is_public_suffix()
    config = enter_home(home)
    since = _since(options["since"])
    found = asyncio.run(read_requests_of(config, since))
    asked = asked_for(found.certificates, found.denials if options["denials"] else ())
    owner = choose_owner(found.settings, options["owner"]) if any(one.was_denied for one in asked) else ""
    own = tuple(one.value for one in config.dns_names)
    rules = suggest_rules(asked, owner=owner, own_names=own, is_public_suffix=is_suffix, wide=options["wide"])
    if as_json:
        rows = [{**rule_document(one), "command": _command(one)} for one in rules]
        emit({**_head(found, since, asked), "rules": rows})
        return
    for rule in rules:
        click.echo(_command(rule))
    _tell_head(found, since, asked)
    say("See what they change: dayfly ca policy suggest --json > rules.json; dayfly ca policy diff --file rules.json")


def _since(text: str) -> datetime:
    try:
        return SystemClock().now() - parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--since: {error}", hint="write it as 24h or 7d") from None


def _rules(config: Config, settings: Settings, options: dict[str, Any]) -> tuple[Rule, ...]:
    """The other rules: those of a file, else today's with what the flags say."""
    if options["file"] is not None:
        if options["allow"] or options["deny"] or options["remove"]:
            raise UsageError("--file has all of the rules", hint="leave --allow, --deny and --remove out")
        return parse_rule_file(_read(Path(options["file"])))
    if not (options["allow"] or options["deny"] or options["remove"]):
        raise UsageError("no other rules are named", hint="add --file, or --allow, --deny, --remove")
    is_suffix, changed = is_public_suffix(), settings
    if options["remove"]:
        changed = apply_change(changed, plan_removal(changed, options["remove"]).change)
    for action, patterns in ((RuleAction.ALLOW, options["allow"]), (RuleAction.DENY, options["deny"])):
        denying = action is RuleAction.DENY
        request = RuleRequest(
            tuple(patterns),
            action,
            owner=options["owner"],
            provisioner=options["provisioner"],
            wildcards=options["wildcards"] and not denying,
            sources=() if denying else options["sources"],
            own_names=tuple(one.value for one in config.dns_names),
        )
        plan = plan_rules(changed, request, is_public_suffix=is_suffix) if patterns else None
        changed = changed if plan is None else apply_change(changed, plan.change)
    return changed.rules


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name a file of rules") from None


def _tell_differences(differences: Sequence[Difference]) -> None:
    if not differences:
        say("Nothing that was asked for would be answered otherwise.")
        return
    head = ("change", "name", "provisioner", "owner", "times", "before", "after")
    rows = [
        (
            one.kind.replace("_", " "),
            one.asked.identifier.value,
            one.asked.provisioner,
            one.asked.owner or "–",
            str(one.asked.count),
            _words(one.before),
            _words(one.after),
        )
        for one in differences[:SHOWN]
    ]
    click.echo(render_table(head, rows))
    if len(differences) > SHOWN:
        say(f"and {len(differences) - SHOWN} more: --json")


def _words(answer: Answer) -> str:
    return f"{answer.why}, of {answer.owner}" if answer.standing == "allowed" else answer.why


def _head(found: Requests, since: datetime, asked: Sequence[Asked]) -> dict[str, Any]:
    return {"since": render_moment(since), "requests": len(asked), "complete": found.complete}


def _tell_head(found: Requests, since: datetime, asked: Sequence[Asked]) -> None:
    say(
        f"From {len(found.certificates)} certificates and {len(found.denials)} denials since {render_moment(since)}: "
        f"{len(asked)} different requests."
    )
    if not found.complete:
        say("! There were more certificates than are read; name a shorter time: --since")


def _difference_document(one: Difference) -> dict[str, Any]:
    return {
        "change": one.kind,
        "type": one.asked.identifier.type,
        "name": one.asked.identifier.value,
        "provisioner": one.asked.provisioner,
        "owner": one.asked.owner,
        "source": one.asked.source,
        "count": one.asked.count,
        "before": _answer_document(one.before),
        "after": _answer_document(one.after),
    }


def _answer_document(one: Answer) -> dict[str, Any]:
    return {"standing": one.standing, "rule": one.rule, "owner": one.owner, "why": one.why}


def _command(rule: Rule) -> str:
    """The command that makes the rule."""
    words = ["dayfly", "ca", "policy", "allow", target_words(rule), "--owner", rule.owner]
    words += ["--provisioner", rule.provisioner] if rule.provisioner else []
    words += ["--wildcards"] if rule.wildcards else []
    return shlex.join(words)
