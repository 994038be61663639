"""The agent's account at the CA: what binds it is read at the moment of need (RFC 8555 7.3.4, agent.md 6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_world import DIRECTORY, SETTINGS
from dayfly.agent.acme_issuer import AcmeIssuer
from dayfly.agent.failures import Failure, FailureClass
from dayfly.agent.layout import Layout
from dayfly.agent.settings import AgentSettings, CASettings, ExternalKey
from small_pki import PKI


@pytest.mark.parametrize(("mode", "says"), [(0, "cannot be read"), (0o604, "others can read"), (0o600, "holds no")])
def test_key_that_cannot_be_used_is_a_local_failure_before_the_ca_is_asked(
    tmp_path: Path, mode: int, says: str
) -> None:
    """No file, one that others can read, one that holds something else; it is tried again as the disk is."""
    (tmp_path / "root.pem").write_text(PKI().root_pem)
    path = tmp_path / "eab.key"
    if mode:
        path.write_text("not a key!")
        path.chmod(mode)
    settings = CASettings(DIRECTORY, tmp_path / "root.pem", ExternalKey("kid", path))
    issuer = AcmeIssuer(AgentSettings(settings, (SETTINGS,)), Layout(tmp_path))
    with pytest.raises(Failure, match=says) as caught:
        issuer.new_order(SETTINGS, not_after=None)
    assert (caught.value.kind, caught.value.reason) == (FailureClass.LOCAL, "eab-key")
    assert "not a key!" not in str(caught.value)
