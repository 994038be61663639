"""`dayfly completion`: the script by which a shell asks this command for completions; click's own machinery."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dayfly.cli.output import emit, json_option
from dayfly.errors import UsageError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script of SHELL, to be sourced by it."""
    from dayfly.cli.main import COMPLETING, cli

    machinery = get_completion_class(shell)
    if machinery is None:
        raise UsageError(f"there is no completion for {shell}", hint="choose bash, zsh or fish")
    script = machinery(cli, {}, "dayfly", COMPLETING).source()
    if as_json:
        emit({"shell": shell, "script": script})
    else:
        click.echo(script)
