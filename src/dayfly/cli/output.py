"""What commands print, and how they fail (style.md, "Commands").

Rules: data on standard output, words on standard error; an error says what happened, why, and what to run next, as
text or with --json as an object; no stack trace reaches a person unless DAYFLY_DEBUG=1 asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from dayfly.errors import DayflyError

Result = TypeVar("Result")

home_option = click.option("--home", metavar="DIR", help="The home directory; else DAYFLY_HOME, else ~/.dayfly.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def emit(document: object) -> None:
    """Data, as indented JSON, on standard output."""
    import msgspec  # for those who print JSON alone: it costs a fifth of a start

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=3).decode() + "\n")


def say(text: str) -> None:
    """Words, on standard error."""
    click.echo(text, err=True)


def tick(label: str, value: str) -> None:
    """One of step's lines: `✔ Label: value`."""
    say(f"✔ {label}: {value}")


def doing(text: str, work: Callable[[], Result], *, done: str = "done!") -> Result:
    """One of step's lines: what is being done, and `done!` when it is."""
    click.echo(text, err=True, nl=False)
    try:
        result = work()
    except DayflyError:
        click.echo("", err=True)
        raise
    click.echo(f" {done}", err=True)
    return result


def error_document(error: DayflyError) -> dict[str, Any]:
    """An error as an object; a refusal has the fields of interfaces.md 6, for several names each in `subproblems`."""
    document: dict[str, Any] = {"error": error.message}
    if kind := getattr(error, "kind", ""):
        document["kind"] = kind
    if getattr(error, "rule", ""):  # then all four are there, "" where there is nothing to say
        document |= {name: getattr(error, name, "") for name in ("rule", "owner", "nearest", "denial")}
    if subproblems := getattr(error, "subproblems", ()):
        document["subproblems"] = subproblems
    if error.hint:
        document["next"] = error.hint
    return document


def show_error(error: DayflyError, *, as_json: bool) -> None:
    """Tell a person, or a program."""
    if as_json:
        emit(error_document(error))
    say(f"error: {error.message}")
    if error.hint:
        say(f"next: {error.hint}")
