"""`dayfly ca start`: the server, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

import click
import uvloop

from dayfly.adapters.keyfiles import is_encrypted, read_password
from dayfly.cli.output import home_option
from dayfly.config.reading import load_config
from dayfly.config.values import Config
from dayfly.errors import ConfigError, UsageError
from dayfly.home import resolve_home
from dayfly.server.logs import configure_logging
from dayfly.wiring.homes import refuse_root
from dayfly.wiring.server import run_server

CREDENTIAL = "key-password"
MOST_WORKERS = 16


@click.command()
@home_option
@click.option("--password-file", type=click.Path(path_type=Path), help="Password of the CA's keys.")
@click.option("--workers", type=click.IntRange(1, MOST_WORKERS), default=1, show_default=True, help="Worker processes.")
@click.option("--log-format", type=click.Choice(["json", "console"]), help="JSON when standard error is no terminal.")
def start(home: str | None, password_file: Path | None, workers: int, log_format: str | None) -> None:
    """Run the certificate authority."""
    configure_logging(log_format, stream=sys.stderr)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold the decrypted keys
    place = resolve_home(home, os.environ, Path.home())
    refuse_root(place)
    config = load_config(place)
    password = _password(config, password_file)
    if workers > 1:
        from dayfly.wiring.workers.starting import run_workers

        run_workers(config, password, workers=workers, log_format=log_format)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_server(config, password))


def _password(config: Config, option: Path | None) -> bytes | None:
    """The flag's file, else DAYFLY_PASSWORD_FILE, else the credentials directory, else a prompt (interfaces.md 4)."""
    if option is not None:
        return read_password(option, flag="--password-file")
    if named := os.environ.get("DAYFLY_PASSWORD_FILE"):
        return read_password(Path(named), flag="DAYFLY_PASSWORD_FILE")
    if directory := os.environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(directory) / CREDENTIAL
        if credential.exists():
            return read_password(credential, flag="the credential key-password")
    return _prompt(config)


def _prompt(config: Config) -> bytes | None:
    key_file = config.home / config.issuer_key.removeprefix("file:")
    if not is_encrypted(key_file):
        return None
    if not sys.stdin.isatty():
        raise UsageError(
            "the CA's keys are encrypted, and there is no terminal to ask for the password at",
            hint="name a file: --password-file FILE or DAYFLY_PASSWORD_FILE=FILE",
        )
    answer: str = click.prompt("Password of the CA's keys", hide_input=True, err=True)
    if not answer:
        raise ConfigError("", "an empty password opens nothing")
    return answer.encode()
