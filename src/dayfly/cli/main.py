"""The `dayfly` command: one table of commands, each loaded when it is called.

Rules: `--home` stands before or after the subcommand; step's verbs exit with 0 or 1, usage errors too; ours as
agent.md 17 says; what is unexpected ends with 255 and one line, and with DAYFLY_DEBUG=1 the stack.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dayfly import __version__
from dayfly.cli.examples import with_examples
from dayfly.cli.output import emit, json_option, show_error
from dayfly.errors import ConfigError, DayflyError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Group to command to "module:attribute", and the line that help shows without loading it.
COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "": {
        "agent": ("dayfly.cli.agent:agent", "Keep this host's certificates fresh, and prove it."),
        "ca": ("", "Run and use the certificate authority."),
        "certificate": ("", "Look at certificates."),
        "completion": ("dayfly.cli.completion:completion", "Print the completion script of a shell."),
        "demo": ("dayfly.cli.demo:demo", "Show the main job, with real processes, in under three minutes."),
        "doctor": ("dayfly.cli.doctor:doctor", "Look for what is wrong with a home and its host."),
        "explain": ("dayfly.cli.doctor:explain", "Print what a code of doctor means, and what to do."),
        "version": ("dayfly.cli.main:version", "Print the version."),
    },
    "ca": {
        "account": ("dayfly.cli.account:account", "List, show, narrow and end ACME accounts."),
        "acme": ("dayfly.cli.eab:acme", "Manage what ACME provisioners have, under step's path."),
        "bootstrap": ("dayfly.cli.ca_bootstrap:bootstrap", "Make this host a client of a CA."),
        "certificate": ("dayfly.cli.ca_certificate:certificate", "Get a key and its certificate."),
        "crl": ("dayfly.cli.ca_crl:crl", "List the certificate revocation lists."),
        "denials": ("dayfly.cli.denials:denials", "List the names that policy refused."),
        "eab": ("dayfly.cli.eab:eab", "Make and manage keys for external account binding."),
        "federation": ("dayfly.cli.ca_roots:federation", "Fetch the roots of the CA and of those that it trusts."),
        "health": ("dayfly.cli.ca_roots:health", "Ask the CA whether it is well."),
        "init": ("dayfly.cli.ca_init:init", "Make a new certificate authority."),
        "limits": ("dayfly.cli.limits:limits", "Show the limits, and unpause an account."),
        "list": ("dayfly.cli.ca_list:list_certificates", "List certificates."),
        "log": ("dayfly.cli.log:log", "Look into the append-only log."),
        "order": ("dayfly.cli.order:order", "Look at ACME orders."),
        "policy": ("dayfly.cli.policy:policy", "Show, test and change the name rules."),
        "provisioner": ("dayfly.cli.provisioner:provisioner", "Manage provisioners."),
        "reissue": ("dayfly.cli.ca_reissue:reissue", "Have certificates renewed before their time."),
        "rekey": ("dayfly.cli.ca_renew:rekey", "Renew a certificate for a new key."),
        "renew": ("dayfly.cli.ca_renew:renew", "Renew a certificate, once or for as long as it runs."),
        "revoke": ("dayfly.cli.ca_revoke:revoke", "Revoke a certificate."),
        "root": ("dayfly.cli.ca_roots:root", "Fetch the CA's root certificate."),
        "roots": ("dayfly.cli.ca_roots:roots", "Fetch all of the CA's root certificates."),
        "sign": ("dayfly.cli.ca_certificate:sign", "Get a certificate for a request."),
        "start": ("dayfly.cli.ca_start:start", "Run the certificate authority."),
        "validate": ("dayfly.cli.validate:validate", "Look from the CA's seat at where challenges would be answered."),
        "token": ("dayfly.cli.ca_token:token", "Make a one-time token."),
    },
    "certificate": {
        "fingerprint": (
            "dayfly.cli.certificate.fingerprint:fingerprint",
            "Print the SHA-256 of a certificate or request.",
        ),
        "inspect": ("dayfly.cli.certificate.inspect:inspect", "Print what is in a certificate or request."),
        "install": ("dayfly.cli.certificate.install:install", "Make this host trust a root."),
        "needs-renewal": ("dayfly.cli.certificate.needs_renewal:needs_renewal", "Say by exit code whether one is due."),
        "uninstall": ("dayfly.cli.certificate.install:uninstall", "Make this host trust a root no longer."),
        "verify": ("dayfly.cli.certificate.verify:verify", "Check a certificate against roots."),
    },
}


class ExitCodes(NamedTuple):
    """What a command exits with: for a usage error or a missing file, and for any other of our errors."""

    usage: int
    other: int


STEP = ExitCodes(1, 1)  # verbs that step has
OURS = ExitCodes(2, 1)  # agent.md 17
# By the first words of a command, the longest that fits; all others are step's.
EXIT_CODES: Mapping[str, ExitCodes] = {
    "agent": OURS,
    "certificate needs-renewal": ExitCodes(255, 255),  # 1 and 2 are answers there
    "completion": OURS,
    "demo": OURS,
    "doctor": OURS,
    "explain": OURS,
}
COMPLETING = "_DAYFLY_COMPLETE"  # click's variable: a shell asks for completions
EXTRAS = {"uvicorn": "server", "httptools": "server", "uvloop": "server", "publicsuffixlist": "server"}


class LazyGroup(click.Group):
    """A group whose commands come from the table."""

    def __init__(self, *arguments: Any, table: str, **options: Any) -> None:  # noqa: ANN401 - click's own
        """`table` is the group's key in COMMANDS."""
        super().__init__(*arguments, **options)
        self._key = table
        self._table = COMMANDS[table]

    def list_commands(self, context: click.Context) -> list[str]:
        """All names, in order."""
        del context
        return sorted(self._table)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command, loaded now."""
        del context
        if name not in self._table:
            return None
        target, help_line = self._table[name]
        if not target:
            return LazyGroup(name, table=name, help=help_line, no_args_is_help=True)
        return with_examples(_load(target), f"{self._key} {name}".strip())

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The lines of the table; nothing is loaded for help."""
        del context
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(self._table.items())])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of the table; nothing is loaded for a tab."""
        from click.shell_completion import CompletionItem

        found = [(name, line) for name, (_, line) in sorted(self._table.items()) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=line) for name, line in found]
        return [*items, *click.Command.shell_complete(self, context, incomplete)]


def _load(target: str) -> click.Command:
    module, _, name = target.partition(":")
    try:
        command: click.Command = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise UsageError(
            f"this command needs {error.name}, which is not installed", hint=f"pip install 'dayfly[{extra}]'"
        ) from None
    return command


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        emit({"version": __version__})
    else:
        click.echo(f"Dayfly/{__version__}")


@click.group(cls=LazyGroup, table="", no_args_is_help=True)
@click.option("--home", metavar="DIR", help="The home directory; else DAYFLY_HOME, else ~/.dayfly.")
def cli(home: str | None) -> None:
    """Dayfly: a private certificate authority for short-lived certificates."""
    if home is not None:
        os.environ["DAYFLY_HOME"] = home


def main() -> None:
    """Run the command line and exit."""
    raise SystemExit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    as_json = "--json" in arguments
    codes = exit_codes(arguments)
    try:
        result = cli.main(arguments, prog_name="dayfly", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return codes.usage
    except click.ClickException as error:
        where = (
            f"{error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else "dayfly --help"
        )
        show_error(UsageError(error.format_message(), hint=where), as_json=as_json)
        return codes.usage
    except click.exceptions.Abort:
        return 130
    except DayflyError as error:
        if COMPLETING in os.environ:
            return 1  # a tab is no place for words
        show_error(error, as_json=as_json)
        return codes.usage if isinstance(error, UsageError | ConfigError) else codes.other
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if os.environ.get("DAYFLY_DEBUG") == "1":
            raise
        what = f"something unexpected happened ({type(error).__name__}); this is a bug in Dayfly"
        show_error(
            DayflyError(what, hint="run it again with DAYFLY_DEBUG=1 and report what it prints"), as_json=as_json
        )
        return 255
    return result if isinstance(result, int) else 0


def exit_codes(arguments: Sequence[str]) -> ExitCodes:
    """The codes of the command that these arguments name, behind --home and other options."""
    words: list[str] = []
    left = iter(arguments)
    for one in left:
        if one == "--home":
            next(left, None)
        elif not one.startswith("-"):
            words.append(one)
    return EXIT_CODES.get(" ".join(words[:2])) or EXIT_CODES.get(" ".join(words[:1]), STEP)
