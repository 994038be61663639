"""The flags of `provisioner add` and `update`: step's, with step's spelling of yes and no."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from dayfly.cli.ca_target import not_taken
from dayfly.core.policy.lifetimes import parse_duration
from dayfly.core.settings.provisioner_changes import ProvisionerEdit
from dayfly.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_file = click.Path(path_type=Path)
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--x509-min-dur", help="Shortest lifetime of its certificates, as 5m."),
    click.option("--x509-default-dur", help="Lifetime when the client asks for none, as 24h."),
    click.option("--x509-max-dur", help="Longest lifetime of its certificates, as 24h."),
    click.option("--disable-renewal/--no-disable-renewal", default=None, help="Renew none of its certificates."),
    click.option(
        "--allow-renewal-after-expiry/--no-allow-renewal-after-expiry",
        default=None,
        help="Renew expired ones too, by token, within --renewal-grace.",
    ),
    click.option("--renewal-grace", help="How long after expiry; else one lifetime of the certificate."),
    click.option(
        "--disable-smallstep-extensions/--no-disable-smallstep-extensions",
        default=None,
        help="Leave step's provisioner extension out of its certificates.",
    ),
    click.option("--force-cn/--no-force-cn", default=None, help="ACME: always set a common name."),
    click.option(
        "--require-eab/--no-require-eab", default=None, help="ACME: an account needs a key of `ca acme eab add`."
    ),
    click.option("--terms-of-service", metavar="URL", help="ACME: terms that a client must agree to; '' for none."),
    click.option("--website", metavar="URL", help="ACME: a page about this CA, in the directory; '' for none."),
    click.option("--caa/--no-caa", default=None, help="ACME: issue only where CAA records let this CA (RFC 8659)."),
    click.option("--caa-identity", multiple=True, metavar="DOMAIN", help="ACME: the CA's name in CAA records; repeat."),
    click.option("--challenge", multiple=True, help="ACME: offer this challenge type only; repeat for more."),
    click.option(
        "--pre-authorization/--no-pre-authorization",
        default=None,
        help="ACME: let clients prove names before they order (newAuthz).",
    ),
    click.option("--reuse-authorizations", help="ACME: how long a proved name serves further orders, as 1h; 0s never."),
    click.option(
        "--key-type",
        multiple=True,
        metavar="TYPE",
        help="Keys of this type only, as P-256 or RSA-3072; repeat for more. Else all; '' for all.",
    ),
    click.option(
        "--profile",
        multiple=True,
        metavar="PROFILE",
        help="Offer this profile only, the first is its default; repeat for more. '' for service and ephemeral.",
    ),
    click.option("--create", is_flag=True, help="JWK: make a new key."),
    click.option("--public-key", type=_file, help="JWK: take this public key (JWK or PEM); its owner makes tokens."),
    click.option("--password-file", type=_file, help="JWK: password for the new key."),
    click.option(
        "--publish-key/--no-publish-key",
        default=None,
        help="JWK: give the encrypted key to whoever asks, as `step` expects it (the default).",
    ),
)

_ON_THE_HOST = "provisioners are changed on the CA's host, by whoever owns the CA's home"
# step's flags that mean what we do not have, and why.
REFUSED: Mapping[str, str] = {
    "--private-key": "a private key stays where tokens are made; give its public half with --public-key",
    "--x509-template": "certificates are made by profiles; no template runs on what clients send",
    "--x509-template-data": "certificates are made by profiles; no template runs on what clients send",
    "--attestation-format": "device attestation is not there",
    "--attestation-roots": "device attestation is not there",
    "--name": "accounts and certificates belong to a provisioner by its name; add another one instead",
    "--ca-url": _ON_THE_HOST,
    "--root": _ON_THE_HOST,
    "--ca-config": _ON_THE_HOST,
    "--context": "one home is one CA; keep several apart with --home or DAYFLY_HOME",
    "--admin-cert": _ON_THE_HOST,
    "--admin-key": _ON_THE_HOST,
    "--admin-subject": _ON_THE_HOST,
    "--admin-provisioner": _ON_THE_HOST,
    "--admin-password-file": _ON_THE_HOST,
}
REFUSED_SWITCHES: Mapping[str, str] = {
    "--ssh": "SSH certificates are not issued here",
}

_GO_SWITCH = re.compile(r"--([a-z0-9-]+)=(true|false|1|0|t|f)", re.IGNORECASE)


class GoFlags(click.Command):
    """A command whose switches may be written as Go has it: `--disable-renewal=false`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Write them as click has them."""
        switches = {
            one.opts[0]: one.secondary_opts for one in self.params if isinstance(one, click.Option) and one.is_flag
        }
        return super().parse_args(context, [_plain(one, switches) for one in args])


def _plain(argument: str, switches: Mapping[str, list[str]]) -> str:
    match = _GO_SWITCH.fullmatch(argument)
    flag = f"--{match[1]}" if match else ""
    if match is None or flag not in switches:
        return argument
    if match[2].lower() in {"true", "1", "t"}:
        return flag
    if not switches[flag]:
        raise UsageError(f"{argument} has no meaning: {flag} is off where it is not given", hint=f"leave {flag} out")
    return switches[flag][0]


def provisioner_flags(command: Command) -> Command:
    """Add them all, in order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refused_flags(command: Command) -> Command:
    """Know step's other flags, and refuse each with its reason."""
    for flag, why in REFUSED.items():
        command = not_taken(flag, why)(command)
    for flag, why in REFUSED_SWITCHES.items():
        command = not_taken(flag, why, is_flag=True)(command)
    return command


def edit_of(options: Mapping[str, Any]) -> ProvisionerEdit:
    """What the flags ask for, but for the key; UsageError."""
    return ProvisionerEdit(
        minimum=_duration(options, "x509_min_dur"),
        default=_duration(options, "x509_default_dur"),
        maximum=_duration(options, "x509_max_dur"),
        renewal_grace=_duration(options, "renewal_grace"),
        disable_renewal=options["disable_renewal"],
        allow_renewal_after_expiry=options["allow_renewal_after_expiry"],
        disable_smallstep_extensions=options["disable_smallstep_extensions"],
        enabled=options.get("enabled"),
        force_cn=options["force_cn"],
        add_challenges=options["challenge"],
        remove_challenges=options.get("remove_challenge", ()),
        publish_key=options["publish_key"],
        require_eab=options["require_eab"],
        terms_of_service=options["terms_of_service"],
        website=options["website"],
        pre_authorization=options["pre_authorization"],
        authorization_reuse=_duration(options, "reuse_authorizations"),
        caa_identities=options["caa_identity"],
        caa=options["caa"],
        key_types=options["key_type"],
        profiles=options["profile"],
    )


def _duration(options: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - timedelta or None
    text = options[name]
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}", hint="write it as 30s, 5m or 24h") from None
