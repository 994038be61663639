"""One or two lines for each command that a reader can change and run: shown at the end of its help.

Rules: each line parses as it stands; tests hold every command to a line here, and every line to its command.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

_CA = "https://ca.internal.example:9000"
_SHA256 = "0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3"


def _policies() -> Mapping[str, tuple[str, ...]]:
    """The commands of `ca policy` that step has, for the authority and for a provisioner."""
    commands = {
        "view": "",
        "remove": "",
        "x509 allow dns": " '*.web.internal.example'",
        "x509 allow ip": " 10.0.3.0/24",
        "x509 allow email": " @internal.example",
        "x509 allow uri": " mesh.internal.example",
        "x509 allow cn": " 'Build robot'",
        "x509 deny email": " root@internal.example",
        "x509 deny uri": " '**.lab.internal.example'",
        "x509 deny cn": " 'Old robot'",
        "x509 deny dns": " payroll.internal.example",
        "x509 deny ip": " 10.0.3.30",
        "x509 wildcards allow": "",
        "x509 wildcards deny": "",
    }
    scopes = {"authority": "", "provisioner": " --provisioner internal-acme"}
    return {
        f"ca policy {scope} {command}": (f"dayfly ca policy {scope} {command}{names}{flag}",)
        for scope, flag in scopes.items()
        for command, names in commands.items()
    }


EXAMPLES: Mapping[str, tuple[str, ...]] = {
    **_policies(),
    "agent run": ("dayfly agent run --home /var/lib/dayfly-agent --config /etc/dayfly/agent.toml",),
    "agent status": ("dayfly agent status",),
    "agent verify": ("dayfly agent verify all",),
    "ca account deactivate": ("dayfly ca account deactivate 00000b1e5f400000",),
    "ca account list": ("dayfly ca account list --provisioner internal-acme",),
    "ca account show": ("dayfly ca account show 00000b1e5f400000",),
    "ca account update": (
        "dayfly ca account update 00000b1e5f400000 --allow api.internal.example --max-lifetime 8h",
        "dayfly ca account update 00000b1e5f400000 --no-scope",
    ),
    "ca bootstrap": (f"dayfly ca bootstrap --ca-url {_CA} --fingerprint {_SHA256}",),
    "ca certificate": (
        "dayfly ca certificate api.internal.example api.crt api.key --provisioner internal-acme",
        "dayfly ca certificate api.internal.example api.crt api.key --san 10.0.3.7 --not-after 8h",
    ),
    "ca crl": ("dayfly ca crl --out /var/www/crl",),
    "ca denials": ("dayfly ca denials --limit 20",),
    **{
        f"ca {path} {command}": tuple(f"dayfly ca {path} {line}" for line in lines)
        for path in ("eab", "acme eab")
        for command, lines in {
            "add": (
                "add internal-acme web-team",
                "add internal-acme cluster --allow '*.apps.internal.example' --source 10.42.0.0/16 --preauthorized",
            ),
            "list": ("list internal-acme",),
            "remove": ("remove internal-acme 7hQ2bX0mT4kVw9Zc",),
        }.items()
    },
    "ca federation": ("dayfly ca federation federation.pem",),
    "ca health": (f"dayfly ca health --ca-url {_CA} --root root_ca.crt",),
    "ca init": (
        'dayfly ca init --name "Internal CA" --dns ca.internal.example --address :9000 --provisioner platform-team',
    ),
    "ca list": ("dayfly ca list --expiring 4h",),
    "ca log verify": ("dayfly ca log verify --json",),
    "ca limits show": ("dayfly ca limits show",),
    "ca limits unpause": ("dayfly ca limits unpause 00000b1e5f400000 shop.web.internal.example",),
    "ca order list": (
        "dayfly ca order list --state invalid",
        "dayfly ca order list --name '**.internal.example' --json",
    ),
    "ca order show": ("dayfly ca order show 0000d1f2a3b40000",),
    "ca policy allow": (
        "dayfly ca policy allow '*.web.internal.example' --owner web-team",
        "dayfly ca policy allow --denial 4F2A",
    ),
    "ca policy deny": ("dayfly ca policy deny '**.corp.example'",),
    "ca policy diff": (
        "dayfly ca policy diff --deny '**.lab.internal.example'",
        "dayfly ca policy diff --file rules.json --since 24h",
    ),
    "ca policy suggest": ("dayfly ca policy suggest --since 7d",),
    "ca policy remove": ("dayfly ca policy remove r12",),
    "ca policy show": ("dayfly ca policy show",),
    "ca policy test": ("dayfly ca policy test --provisioner internal-acme shop.web.internal.example 10.0.3.7",),
    "ca provisioner add": (
        "dayfly ca provisioner add internal-acme --type ACME",
        "dayfly ca provisioner add web-team --create --x509-max-dur 8h",
    ),
    "ca provisioner get-encrypted-key": (
        "dayfly ca provisioner get-encrypted-key RPLqBQhO5uQgI-D8ICSIUdnvMPPw6PMtxw2H8yJ51Sw",
    ),
    "ca provisioner list": ("dayfly ca provisioner list",),
    "ca provisioner remove": ("dayfly ca provisioner remove internal-acme",),
    "ca provisioner update": ("dayfly ca provisioner update internal-acme --x509-default-dur 12h",),
    "ca reissue": (
        "dayfly ca reissue --owner web-team --within 2h --reason 'a library leaked keys'",
        "dayfly ca reissue --all --within 4h --dry-run",
    ),
    "ca rekey": ("dayfly ca rekey api.crt api.key --force",),
    "ca renew": (
        "dayfly ca renew api.crt api.key --force",
        "dayfly ca renew api.crt api.key --daemon --exec 'systemctl reload nginx'",
    ),
    "ca revoke": (
        "dayfly ca revoke 308893286343609293989051180431574390766",
        "dayfly ca revoke --cert api.crt --key api.key",
        "dayfly ca revoke --owner web-team --reasonCode keyCompromise --dry-run",
    ),
    "ca root": (f"dayfly ca root root_ca.crt --ca-url {_CA} --fingerprint {_SHA256}",),
    "ca roots": ("dayfly ca roots roots.pem",),
    "ca sign": ("dayfly ca sign api.csr api.crt",),
    "ca start": ("dayfly ca start --password-file /etc/dayfly/password",),
    "ca token": ("dayfly ca token api.internal.example --provisioner platform-team",),
    "ca validate": (
        "dayfly ca validate web.internal.example",
        "dayfly ca validate web.internal.example --type http-01 --json",
    ),
    "certificate fingerprint": ("dayfly certificate fingerprint root_ca.crt",),
    "certificate inspect": (
        "dayfly certificate inspect api.crt --short",
        "dayfly certificate inspect https://api.internal.example --bundle",
    ),
    "certificate install": ("dayfly certificate install root_ca.crt",),
    "certificate needs-renewal": (
        "dayfly certificate needs-renewal api.crt --expires-in 75%",
        "dayfly certificate needs-renewal https://api.internal.example --roots root_ca.crt",
    ),
    "certificate uninstall": ("dayfly certificate uninstall root_ca.crt",),
    "certificate verify": ("dayfly certificate verify api.crt --roots root_ca.crt --host api.internal.example",),
    "completion": ("source <(dayfly completion bash)",),
    "demo": ("dayfly demo --lifetime 30",),
    "doctor": ("dayfly doctor --deep --password-file /etc/dayfly/password",),
    "explain": ("dayfly explain DF4003",),
    "version": ("dayfly version --json",),
}


def with_examples(command: click.Command, path: str) -> click.Command:
    """The command, and all below it, with their examples at the end of the help."""
    lines = EXAMPLES.get(path)
    if lines:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            with_examples(inner, f"{path} {name}")
    return command
