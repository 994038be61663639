"""`dayfly doctor`: what is wrong with a home and its host, and what to run; `dayfly explain`: what a code means.

Rules: exit 0 with no problem, 1 with one, warnings too with --strict (agent.md 17); nothing is changed without --fix,
and with it modes alone; there is never a prompt.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dayfly.cli.output import emit, home_option, json_option, say
from dayfly.core.doctor.catalogue import CATALOGUE, PAGES, Level
from dayfly.errors import UsageError
from dayfly.home import resolve_home

if TYPE_CHECKING:
    from dayfly.core.doctor.findings import Finding, Group
    from dayfly.wiring.doctor import Report

SIGNS = {Level.OK: "✔", Level.UNKNOWN: "–", Level.WARNING: "!", Level.PROBLEM: "✖"}
COLOURS = {Level.OK: "green", Level.UNKNOWN: "cyan", Level.WARNING: "yellow", Level.PROBLEM: "red"}
WIDTH = 100
INDENT = 9


@click.command()
@home_option
@click.option(
    "--config", type=click.Path(path_type=Path), help="An agent's configuration, where it is not in its home."
)
@click.option("--password-file", type=click.Path(path_type=Path), help="Password of the CA's keys, to look into them.")
@click.option("--deep", is_flag=True, help="Verify the whole log, and not its head alone.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--fix", is_flag=True, help="Correct modes that are wrong; nothing else.")
@json_option
def doctor(
    home: str | None,
    config: Path | None,
    password_file: Path | None,
    deep: bool,
    strict: bool,
    fix: bool,
    as_json: bool,
) -> int:
    """Look for what is wrong with a home and its host; exit 1 when there is a problem."""
    from dayfly.wiring.doctor import Request, examine

    where = resolve_home(home, os.environ, Path.home())
    now = datetime.now(UTC)  # noqa: TID251 - the clock is one of the patients
    password, password_file = _password(password_file)
    request = Request(where, now, config, password=password, password_file=password_file, deep=deep)
    report = examine(request)
    if fix and _fixed(report):
        report = examine(request)
    if as_json:
        emit(_document(report, where))
    else:
        click.echo("\n".join(render(report)))
    failing = report.count(Level.PROBLEM) + (report.count(Level.WARNING) if strict else 0)
    return 1 if failing else 0


def _password(option: Path | None) -> tuple[bytes | None, Path | None]:
    """As `ca start` finds it, without the prompt, and where: None where none is named, and the keys stay closed."""
    from dayfly.adapters.keyfiles import read_password

    if option is not None:
        return read_password(option, flag="--password-file"), option
    if named := os.environ.get("DAYFLY_PASSWORD_FILE"):
        return read_password(Path(named), flag="DAYFLY_PASSWORD_FILE"), Path(named)
    return None, None


def _fixed(report: Report) -> bool:
    """Correct what is a mode alone; was there something?"""
    from dayfly.adapters.inspection.files import apply

    mends = [one.mend for one in report.findings if one.mend is not None]
    for mend in mends:
        try:
            apply(mend)
            say(f"✔ {mend.path} has mode {mend.mode:04o} now")
        except OSError as error:
            say(f"✖ {mend.path} could not be changed: {error.strerror}")
    return bool(mends)


def _document(report: Report, home: Path) -> dict[str, Any]:
    return {
        "ok": report.count(Level.PROBLEM) == 0,
        "home": str(home),
        "kind": report.kind,
        "problems": report.count(Level.PROBLEM),
        "warnings": report.count(Level.WARNING),
        "findings": [
            {
                "code": one.code,
                "level": one.level.value,
                "group": one.group.value,
                "says": one.says,
                **({"next": one.next_step} if one.next_step else {}),
            }
            for one in report.findings
        ],
    }


# --- the screen -------------------------------------------------------------------------------------------------------


def render(report: Report) -> Iterator[str]:
    """A row for each group: what passed side by side, what did not on lines of its own, with what to run."""
    from dayfly.core.doctor.findings import Group

    for group in Group:
        found = [one for one in report.findings if one.group is group]
        if found:
            yield from _rows(group, found)
    yield _summary(report)


def _rows(group: Group, findings: Sequence[Finding]) -> Iterator[str]:
    label = f"{group.value:<{INDENT}}"
    good = [f"{_sign(one.level)} {one.says}" for one in findings if one.level in {Level.OK, Level.UNKNOWN}]
    for line in _filled(good):
        yield label + line
        label = " " * INDENT
    for one in findings:
        if one.level in {Level.WARNING, Level.PROBLEM}:
            yield f"{label}{_sign(one.level)} {one.says}  [{one.code}]"
            yield f"{' ' * INDENT}  next: {one.next_step}"
            label = " " * INDENT


def _filled(parts: Sequence[str]) -> Iterator[str]:
    """The parts, three blanks between them, on lines of at most WIDTH."""
    line, length = "", 0
    for part in parts:
        size = len(click.unstyle(part))
        if line and length + 3 + size > WIDTH - INDENT:
            yield line
            line, length = "", 0
        line, length = (f"{line}   {part}", length + 3 + size) if line else (part, size)
    if line:
        yield line


def _sign(level: Level) -> str:
    """The sign, in colour on a terminal that wants it."""
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return click.style(SIGNS[level], fg=COLOURS[level]) if coloured else SIGNS[level]


def _summary(report: Report) -> str:
    problems, warnings = report.count(Level.PROBLEM), report.count(Level.WARNING)
    words = f"{_many(problems, 'problem')}, {_many(warnings, 'warning')}." if problems or warnings else "All is well."
    codes = [one.code for one in report.findings if one.level in {Level.PROBLEM, Level.WARNING}]
    if any(one.mend for one in report.findings):
        words += " Correct the modes: dayfly doctor --fix."
    return f"{words} What a code means: dayfly explain {codes[0]}" if codes else words


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


@click.command()
@click.argument("code", required=False)
@home_option
@json_option
def explain(code: str | None, home: str | None, as_json: bool) -> None:
    """Print what a CODE of doctor means and what to do; without one, list all codes."""
    del home
    pages = PAGES if code is None else (CATALOGUE.get(code.upper()),)
    known = [page for page in pages if page is not None]
    if not known:
        raise UsageError(f"there is no code {code!r}", hint="dayfly explain lists them")
    if as_json:
        documents = [
            {"code": page.code, "level": page.level, "title": page.title, "means": page.means, "next": page.mend}
            for page in known
        ]
        emit(documents if code is None else documents[0])
    elif code is None:
        click.echo("\n".join(f"{page.code}  {page.level:<8} {page.title}" for page in known))
    else:
        page = known[0]
        click.echo(f"{page.code} ({page.level}): {page.title}\n")
        click.echo("\n\n".join(textwrap.fill(text, WIDTH) for text in (page.means, f"What to do: {page.mend}")))
