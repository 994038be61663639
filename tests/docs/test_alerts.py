"""The alert rules: valid, played through their scenarios, built on metrics that exist, each with its page."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from docs.test_reference import generator
from docs.test_tutorial import scripts, shell

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
RULES = (DEPLOY / "dayfly.rules.yml").read_text("utf-8")
SCENARIOS = sorted((DEPLOY / "tests").glob("*.yml"))
SIGNAL_OF = {  # one alert for each signal, in their order, and what else may end while the CA answers
    "DayflyCertExpiring": "remaining-life",
    "DayflyServedCertStale": "last-successful-renewal",
    "DayflyIssuanceBurnFast": "renewal-error-rate",
    "DayflyCADown": "ca-availability",
    "DayflyCRLStale": "ca-availability",
    "DayflyRenewalDrought": "request-volume",
}
ALERTS = re.findall(r"- alert: (\w+)", RULES)
HISTOGRAM_PARTS = re.compile(r"_(bucket|count|sum)$")


def promtool(program: Callable[..., str], *arguments: str, where: Path = DEPLOY) -> str:
    """What promtool says; it must be content."""
    command = [program("promtool", "prometheus"), *arguments]
    result = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def block(alert: str) -> str:
    """The text of one alert's rule."""
    return RULES.split(f"- alert: {alert}\n")[1].split("- alert: ")[0].split("  - name: ")[0]


def documented() -> dict[str, set[str]]:
    """Each metric's labels, as the generated page has them."""
    page = (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| \w+ \| ([^|]*) \|", page, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def test_rules_and_example_are_valid(program: Callable[..., str]) -> None:
    """Promtool accepts the rules, and the configuration that names them."""
    assert "SUCCESS: 12 rules found" in promtool(program, "check", "rules", "dayfly.rules.yml")
    assert "is valid prometheus config" in promtool(program, "check", "config", "prometheus.example.yml")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_rules_fire_and_stay_silent_as_the_scenarios_say(scenario: Path, program: Callable[..., str]) -> None:
    """What must page does, at its time; what must not, does not."""
    assert "SUCCESS" in promtool(program, "test", "rules", str(scenario))


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_fires_in_a_scenario_with_its_whole_text(alert: str) -> None:
    """An alert that no scenario sees fire, with its labels and annotations, is not tested."""
    texts = [path.read_text("utf-8") for path in SCENARIOS]
    assert any(re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", text) for text in texts)
    assert any("exp_samples: []" in text and alert in text for text in texts)


def test_scenario_that_is_wrong_fails(tmp_path: Path, program: Callable[..., str]) -> None:
    """The scenarios are looked at: with another threshold in the rules one of them breaks."""
    shutil.copytree(DEPLOY, tmp_path / "prometheus")
    path = tmp_path / "prometheus" / "dayfly.rules.yml"
    path.write_text(RULES.replace('(dayfly_ca_requests_total{outcome="error"}[1h])) > 5', "(up[1h])) > 9999"), "utf-8")
    result = subprocess.run(
        [program("promtool", "prometheus"), "test", "rules", "renewal-error-rate.yml"],
        cwd=tmp_path / "prometheus" / "tests", capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert result.returncode != 0


def test_groups_are_evaluated_recording_first() -> None:
    """Promtool takes groups in no fixed order unless told; a group left out would be judged at random."""
    groups = re.findall(r"^  - name: ([\w-]+)$", RULES, re.MULTILINE)
    assert groups[0] == "dayfly-recording"
    for path in SCENARIOS:
        order = path.read_text("utf-8").split("group_eval_order:\n")[1].split("\ntests:")[0]
        assert re.findall(r"- ([\w-]+)", order) == groups, path.name


def test_rules_ask_for_metrics_that_exist_by_labels_that_they_have() -> None:
    """Every name of ours in an expression has its row in the reference, and so has every label matched on it."""
    known = documented()
    asked = re.findall(
        r"\b(dayfly_(?:ca|agent)_\w+)(?:\{([^}]*)\})?", re.sub(r"annotations:\n(?: {10}.*\n)+", "", RULES)
    )
    assert len({name for name, _ in asked}) >= 10
    for name, matchers in asked:
        family = HISTOGRAM_PARTS.sub("", name)
        assert family in known, name
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers)) <= known[family], (name, matchers)


class Families(Collector):
    """A collector that gives what is documented of one side."""

    def __init__(self, side: str) -> None:
        self.side = side

    def collect(self) -> list[Metric]:
        """All families with a value."""
        return [family for side, family in generator().families() if side == self.side and family.samples]


@pytest.mark.parametrize("side", ["CA", "agent"])
def test_exposition_passes_promtools_lint(side: str, program: Callable[..., str]) -> None:
    """Names, units, suffixes and help texts are as Prometheus wants them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(side))
    command = [program("promtool", "prometheus"), "check", "metrics"]
    result = subprocess.run(command, input=generate_latest(registry), capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_recorded_series_are_recorded_before_they_are_used() -> None:
    """A misspelt recording is an alert that never fires."""
    recorded = set(re.findall(r"record: ([\w:]+)", RULES))
    assert set(re.findall(r"\bdayfly:[\w:]+", RULES)) == recorded


def test_there_is_one_alert_for_each_signal_and_one_for_crls() -> None:
    """Five signals, each with its alert and no other; of the CA's availability CRLs have one of their own."""
    found = {alert: re.search(r"signal: ([\w-]+)", block(alert))[1] for alert in ALERTS}  # type: ignore[index]  # a miss fails
    assert (ALERTS, found) == (list(SIGNAL_OF), SIGNAL_OF)
    assert len(set(SIGNAL_OF.values())) == len(SIGNAL_OF) - 1 == 5


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_it_is_and_leads_to_its_page(alert: str) -> None:
    """Severity, summary, description, a command, and a runbook that is there and begins with the alert's name."""
    rule = block(alert)
    for key in ("severity: page", "summary: ", "description: ", "command: ", "runbook: "):
        assert key in rule, key
    named = re.search(r"runbook: (\S+)", rule)
    assert named is not None
    page = (ROOT / named[1]).read_text("utf-8")
    assert page.startswith(f"# {alert}\n")
    assert all(part in page for part in ("**Means**", "**Look at**", "**Run**", "**Silent when**"))
    assert named[1].removeprefix("docs/how-to/alerts/") in (ROOT / "docs/how-to/alerts/README.md").read_text("utf-8")


def test_page_about_the_signals_works_as_written(tmp_path: Path, program: Callable[..., str]) -> None:
    """Its checks run on the files that it says to copy."""
    program("promtool", "prometheus")
    shutil.copy(DEPLOY / "dayfly.rules.yml", tmp_path)
    shutil.copy(DEPLOY / "prometheus.example.yml", tmp_path / "prometheus.yml")
    (script,) = scripts((ROOT / "docs/how-to/watch-the-five-signals.md").read_text("utf-8"))
    shell(script, tmp_path)
