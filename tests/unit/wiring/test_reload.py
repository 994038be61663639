"""What of a changed ca.toml a running server takes up (reliability.md 7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.config.reading import parse_config
from dayfly.errors import ConfigError
from dayfly.wiring.configured import caps_of
from dayfly.wiring.reload import plan_change
from factories import CA_TOML

HOME = Path("/var/lib/dayfly")


def test_live_keys_are_taken_over_and_the_rest_is_named() -> None:
    """Validation, limits and the page of renewals are live; an address, a key or the database waits for a restart."""
    current = parse_config(CA_TOML, home=HOME)
    text = (
        CA_TOML.replace(b":9000", b":9001").replace(b"secrets/log_key", b"secrets/other")
        + b"[validation]\nhttp_port = 8080\n[limits]\nenabled = false\n[metrics]\naddress = ''\n"
        + b"[renewal_info]\nexplanation_url = 'https://wiki.internal.example/pki'\n"
    )
    change = plan_change(current, text)
    assert change.applied == ("limits.enabled", "renewal_info.explanation_url", "validation")
    assert change.waiting == ("address", "log.key", "metrics.address")
    assert change.text == text
    assert change.config.validation.http_port == 8080
    assert change.config.limits_enabled is False
    assert (change.config.address, change.config.log_key) == (current.address, current.log_key)
    again = plan_change(change.config, text)
    assert (again.applied, again.waiting) == ((), change.waiting)


def test_figures_of_limits_are_live__acme_13() -> None:
    """They count from the next request on, and are named in the log; an unreadable one changes nothing."""
    current = parse_config(CA_TOML, home=HOME)
    change = plan_change(current, CA_TOML + b"[limits]\nrenewals = '5/1h'\nopen_orders = 7\n")
    assert (change.applied, change.waiting) == (("limits",), ())
    assert (change.config.limit_figures.renewals.count, caps_of(change.config).open_orders) == (5, 7)
    off = plan_change(change.config, CA_TOML + b"[limits]\nenabled = false\nopen_orders = 7\n")
    assert off.applied == ("limits", "limits.enabled")
    assert caps_of(off.config).open_orders == 0
    with pytest.raises(ConfigError, match=r"limits\.renewals"):
        plan_change(change.config, CA_TOML + b"[limits]\nrenewals = '5'\n")


@pytest.mark.parametrize("text", [b"", b"version = = 1", CA_TOML + b"speed = 9\n", CA_TOML.replace(b":9000", b":0")])
def test_file_that_cannot_be_taken_is_an_error(text: bytes) -> None:
    """As at a start."""
    with pytest.raises(ConfigError):
        plan_change(parse_config(CA_TOML, home=HOME), text)
