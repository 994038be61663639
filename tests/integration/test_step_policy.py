"""`ca policy authority|provisioner` in step's words (step-compat.md part 14)."""

from __future__ import annotations

import pytest

from home_world import Run


def test_the_whole_policy_is_shown_after_each_change(run: Run) -> None:
    """Add, switch wildcards on, take out, remove: JSON on standard output each time."""
    first = run("policy", "authority", "x509", "allow", "dns", "*.web.corp")
    assert first.out.startswith('{\n   "x509": {\n      "allow"')
    assert first.json["x509"]["allow"]["dns"] == ["internal.example", "**.internal.example", "*.web.corp"]
    assert run("policy", "authority", "x509", "deny", "ip", "10.0.0.30").json["x509"]["deny"] == {
        "ips": ["10.0.0.30/32"]
    }
    assert run("policy", "authority", "x509", "wildcards", "allow").json["x509"]["allowWildcardNames"] is True
    assert run("policy", "authority", "x509", "wildcards", "deny").json["x509"]["allowWildcardNames"] is False
    removed = run("policy", "authority", "x509", "allow", "dns", "*.web.corp", "--remove").json
    assert removed["x509"]["allow"]["dns"] == ["internal.example", "**.internal.example"]
    assert run("policy", "authority", "view").json == removed
    assert run("policy", "test", "a.web.corp").code == 3
    assert run("policy", "provisioner", "view", "--provisioner", "acme", "--json").json is None
    assert run("policy", "authority", "remove").out == "policy deleted\n"
    assert run("policy", "authority", "view").out == "certificate issuance policy does not exist\n"
    again = run("policy", "authority", "remove")
    assert (again.code, "certificate issuance policy does not exist" in again.err) == (1, True)


def test_a_provisioners_policy_is_its_own(run: Run) -> None:
    """With --provisioner, and only with it; the same rules as `policy show`."""
    made = run("policy", "provisioner", "x509", "allow", "dns", "shop.corp", "--provisioner", "acme").json
    assert made["x509"]["allow"] == {"dns": ["shop.corp"]}
    assert run("policy", "provisioner", "view", "--provisioner", "acme").json == made
    assert [one["provisioner"] for one in run("policy", "show", "--json").json["rules"]] == ["", "", "acme"]
    assert run("policy", "provisioner", "remove", "--provisioner", "acme", "--json").json == {"deleted": True}
    assert run("policy", "provisioner", "view").code == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("authority", "x509", "allow", "dns", "10.0.0.1"), "is of the kind ip, not dns"),
        (("authority", "x509", "allow", "dns", "*.com"), "public suffix"),
        (("authority", "x509", "allow", "email", "a.b"), "is no pattern of e-mail addresses"),
        (("authority", "x509", "allow", "uri", "spiffe://a.b/c"), "a rule is for all of a host"),
        (("authority", "x509", "deny", "cn", "a.b"), "is no common name that is not a name of another kind"),
        (("provisioner", "view", "--provisioner", "nobody"), "no provisioner named nobody"),
        (("acme", "x509", "allow", "dns", "a.b", "--provisioner", "p", "--eab-key-id", "k"), "external account keys"),
    ],
)
def test_what_is_not_there_is_refused_with_the_reason(run: Run, arguments: tuple[str, ...], what: str) -> None:
    """Exit 1, and no rule was made."""
    said = run("policy", *arguments)
    assert (said.code, what in said.err) == (1, True), said.err
    assert len(run("policy", "show", "--json").json["rules"]) == 2
