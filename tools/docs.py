"""Writes the generated pages of docs/reference: commands, metrics, doctor, client advice, from what the code has.

`python tools/docs.py` writes them; tests/docs hold them to what the code says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from prometheus_client.core import Metric

from dayfly.cli.main import cli
from dayfly.core.acme.clients import Program

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
HEADER = "<!-- Made by tools/docs.py; do not edit. -->\n"


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Every command's name and help text, depth first."""
    context = click.Context(command, info_name=" ".join(path), terminal_width=100, max_content_width=100)
    yield " ".join(path), command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from commands(inner, (*path, name))


def commands_page() -> str:
    """docs/reference/commands.md."""
    parts = [HEADER, "# Commands\n", INTRODUCTION]
    for name, text in commands(cli, ("dayfly",)):
        parts.append(f"## {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


INTRODUCTION = """\
The help of every command, word for word: this page is the snapshot that a test holds the commands to.

Data goes to standard output, words to standard error. `--json` is on every command that says something.
Verbs that step has exit with 0 or 1, usage errors too; `certificate needs-renewal` with 0 due, 1 not due, 2 no such
file, 255 any other error. `agent` exits with 0 done, 1 a question answered with no,
2 usage or a missing file, 3 denied by policy, 4 the CA unreachable,
5 partly done (issued, not served), 6 unsafe permissions, 7 revoked or locked: enrol again, 255 a bug.
`completion`, `explain` and `demo` exit with 2 for usage, too.
`ca policy test` exits with 3 where a name, an address or a lifetime would be denied.
`doctor` exits with 1 where there is a problem, with `--strict` where there is a warning, with 2 where there is no home.
"""


def families() -> Iterator[tuple[str, Metric]]:
    """All metrics of CA and agent, each of ours with a value or without."""
    yield from (("CA", family) for family in ca_families())
    yield from (("agent", family) for family in agent_families())


def ca_families() -> Iterable[Metric]:
    """What the CA's collector gives, with one event of each kind counted."""
    from dayfly.adapters.observers.fleet import Fleet
    from dayfly.adapters.observers.prometheus import Metrics
    from dayfly.adapters.observers.state import State

    metrics = Metrics(Fleet(), "Internal CA")
    metrics.state = State(
        now=lambda: 0.0,
        checks=lambda: {"db": True},
        authorities=lambda: [("intermediate", 0.0, 1.0)],
        inflight=lambda: 0,
        log_size=lambda: 0,
        provisioners=lambda: [("acme", "ACME", True, 1.0)],
        crl=lambda: (0.0, 1.0, 0),
    )
    return metrics.collect()


def agent_families() -> Iterable[Metric]:
    """What the agent's registry gives."""
    from dayfly.agent.layout import Layout
    from dayfly.agent.metrics import BoardCollector, Meters
    from dayfly.agent.status import AgentStatus, Board

    with tempfile.TemporaryDirectory() as place:
        meters = Meters()
        now = datetime(2026, 1, 1, tzinfo=UTC)
        head = AgentStatus(now, "https://ca/acme/acme/directory", (), 1, "0", now)
        meters.loop_completed = now
        meters.registry.register(BoardCollector(Board(Layout(Path(place)), head=head), meters))
        yield from meters.registry.collect()
        yield from declared_agent_families()


def declared_agent_families() -> Iterable[Metric]:
    """The families that have no series before there is a certificate: all of them, values or not."""
    from dayfly.agent.metrics import _of_certificates, _of_targets

    yield from _of_certificates(())
    yield from _of_targets(())


def counter_labels() -> dict[str, tuple[str, ...]]:
    """The labels of the agent's counters and histograms, which have no sample before something happens."""
    from dayfly.agent.metrics import Meters

    found = [value for value in vars(Meters()).values() if hasattr(value, "_labelnames")]
    return {one._name: one._labelnames for one in found}  # the library has no public name for them


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    rows: dict[str, str] = {}
    declared = counter_labels()
    for side, family in families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        sampled = {label for sample in family.samples for label in sample.labels if label != "le"}
        named = getattr(family, "_labelnames", ()) or declared.get(family.name, ())
        labels = sorted({*named, *sampled})
        words = ", ".join(f"`{label}`" for label in labels) or "–"
        rows[name] = f"| `{name}` | {side} | {family.type} | {words} | {family.documentation} |"
    table = "\n".join(rows[name] for name in sorted(rows))
    return (
        f"{HEADER}\n# Metrics\n\nSeconds, bytes, ratios; moments are Unix time. What has no value has no series.\n"
        "Beside these the CA exposes `process_*` and `python_gc_*`. With several workers `process_*` are sums over\n"
        "all processes of the CA; a check passes when it passes at every worker, and `workers` when all are there.\n\n"
        f"| metric | side | type | labels | meaning |\n|---|---|---|---|---|\n{table}\n"
    )


def doctor_page() -> str:
    """docs/reference/doctor.md."""
    from dayfly.core.doctor.catalogue import PAGES

    rows = "\n".join(f"| [{page.code}](#{page.code.lower()}) | {page.level} | {page.title} |" for page in PAGES)
    sections = "\n".join(
        f"## {page.code}\n\n**{page.title}** ({page.level})\n\n{page.means}\n\nWhat to do: {page.mend}\n"
        for page in PAGES
    )
    return (
        f"{HEADER}\n# What doctor looks for\n\n{DOCTOR}\n| code | level | what |\n|---|---|---|\n{rows}\n\n{sections}"
    )


DOCTOR = """\
`dayfly doctor` looks at the home of a CA, an agent or a client, and at its host, and changes nothing. Each check has a
code that keeps its meaning; `dayfly explain CODE` prints the page of it. A *problem* makes it exit with 1, a *warning*
with `--strict` alone. `--fix` corrects modes, and nothing else; `--deep` verifies the whole log; `--password-file` lets
it look whether the keys open. What it could not look at is marked with a dash and is never counted as well.
"""


def advice_page() -> str:
    """docs/reference/client-advice.md."""
    from dayfly.core.acme.clients import PROGRAMS

    rows = "\n".join(f"| {one.name} | {_rounds(one)} | {_habit(one)} | {_changes(one)} |" for one in PROGRAMS)
    return (
        f"{HEADER}\n# What is known of clients\n\n{ADVICE}\n"
        f"| client | looks every | takes a certificate for due | what to change |\n|---|---|---|---|\n{rows}\n"
    )


def _rounds(program: Program) -> str:
    """How often it looks, each from its release on."""
    from dayfly.core.policy.lifetimes import short_duration

    parts = (
        short_duration(one.every) + (f" (from {_release(one.since)} on)" if one.since else "") for one in program.rounds
    )
    return ", ".join(parts) or "–"


def _habit(program: Program) -> str:
    """What it does with lives below a bound."""
    from dayfly.core.policy.lifetimes import short_duration

    habit = program.habit
    if habit is None:
        return "–"
    until = "" if habit.fine_since is None else f", before {_release(habit.fine_since)}"
    return f"{habit.says} (lives below {short_duration(habit.below)}{until})"


def _changes(program: Program) -> str:
    """What is to be changed, in words for any lifetime."""
    found = [one.change for one in program.rounds] + ([] if program.habit is None else [program.habit.change])
    words = "; ".join(dict.fromkeys(found)).replace("every {every}", "four times in a lifetime")
    return words.replace("{every}", "a quarter of the life") or "–"


def _release(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


ADVICE = """\
Each account and each order keep what the client called itself (`User-Agent`, printable ASCII, at most 200 octets);
`dayfly ca account show` and `dayfly ca order show` have it. It is a claim and decides nothing.

A client of this table is told of in `dayfly ca account list`, `account show` and [doctor](doctor.md#df4222) when its
ways, as it is installed, do not fit the certificates that its account has now: when it looks less often than four times
in their lifetime, or takes them for due in a way that does not fit them. It is left alone once it was seen to renew in
time: at least two renewals, and of the last eight none after three quarters of the life. What a client changed in its
own settings the CA cannot see but by that. Nothing is said of clients that are not in the table.
"""


def main() -> None:
    """Write all pages."""
    (REFERENCE / "client-advice.md").write_text(advice_page(), "utf-8")
    (REFERENCE / "doctor.md").write_text(doctor_page(), "utf-8")
    (REFERENCE / "commands.md").write_text(commands_page(), "utf-8")
    (REFERENCE / "metrics.md").write_text(metrics_page(), "utf-8")


if __name__ == "__main__":
    main()
