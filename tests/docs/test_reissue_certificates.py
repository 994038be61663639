"""The page about reissues is run as it stands, against a running CA."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_world import NAME, running
from dayfly.adapters.system import SystemClock
from dayfly.client.transport import Transport, trusting
from dayfly.core.acme.renewal_info import render_certificate_id
from dayfly.core.x509.leaf import authority_key_id
from docs.test_tutorial import scripts, shell

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "reissue-certificates.md"


def test_every_command_about_reissues_works_as_written(tmp_path: Path) -> None:
    """The word is given, clients are told, it is listed and taken back, and they are told that too."""
    looking, saying, listing, cancelling = scripts(PAGE.read_text("utf-8"))
    with running(tmp_path) as ca:
        here = f"export DAYFLY_HOME={ca.home}\n"
        ca.certificate(NAME, tmp_path)
        (path,) = tmp_path.glob("*.crt")
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
        named = render_certificate_id(authority_key_id(leaf.public_bytes(Encoding.DER)), leaf.serial_number)

        def starts() -> datetime:
            with Transport(ca.directory, trusting(ca.root)) as transport:
                answer = transport.request("GET", f"{ca.url}/acme/acme/renewal-info/{named}")
            return datetime.fromisoformat(json.loads(answer.body)["suggestedWindow"]["start"])

        usual = starts()
        assert "Nothing was changed." in shell(here + looking, tmp_path).stderr
        assert starts() == usual
        said = shell(here + saying, tmp_path).stderr
        made = re.search(r"Reissue: (i[0-9]+)\n", said)
        assert made is not None, said
        assert starts() < SystemClock().now() + timedelta(hours=4) < usual
        assert f"{made[1]} " in shell(here + listing, tmp_path).stdout
        shell(here + cancelling.replace("i5", made[1]), tmp_path)
        assert starts() == usual
