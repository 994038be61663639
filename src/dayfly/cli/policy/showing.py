"""Rules in words."""

from __future__ import annotations

from dayfly.core.policy.rules import Rule, RuleKind
from dayfly.core.settings.rule_changes import covers


def rules_head() -> tuple[str, ...]:
    """The columns of `rule_row`."""
    return "rule", "action", "names", "owner", "for", "conditions"


def rule_row(rule: Rule) -> tuple[str, ...]:
    """A rule as a line of a table."""
    return (
        rule.id,
        rule.action,
        target_words(rule),
        rule.owner,
        rule.provisioner or "all",
        ", ".join(conditions(rule)) or "–",
    )


def conditions(rule: Rule) -> list[str]:
    """What else a rule says; exclusions that its pattern does not cover say nothing."""
    excluded = [one for one in rule.excluded if covers(rule, one)]
    found = ["wildcards"] if rule.wildcards else []
    found += [f"from {' or '.join(rule.sources)}"] if rule.sources else []
    found += [f"not {' or '.join(excluded)}"] if excluded else []
    return found


def rule_words(rule: Rule) -> str:
    """A rule as a phrase, as `allow shop.corp for provisioner acme (owner team)`."""
    scope = f" for provisioner {rule.provisioner}" if rule.provisioner else ""
    more = f", {', '.join(conditions(rule))}" if conditions(rule) else ""
    return f"{rule.action} {target_words(rule)}{scope}{more} (owner {rule.owner})"


def target_words(rule: Rule) -> str:
    """What the rule speaks of, as `policy allow` takes it."""
    return f"{rule.kind}:{rule.pattern}" if rule.kind in {RuleKind.URI, RuleKind.CN} else rule.pattern
