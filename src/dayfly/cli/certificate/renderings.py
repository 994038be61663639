"""Facts as text: step's short form, and the long one in OpenSSL's manner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dayfly.cli.certificate.facts import common_name

_LABELS = {"dns_names": "DNS", "ip_addresses": "IP Address", "email_addresses": "email", "other_names": "other"}


def render_short(facts: dict[str, Any]) -> str:
    """Step's short form of a certificate or a request."""
    words = facts["subject_key_info"]["words"]
    subject = _labelled("Subject", facts["names"] or [common_name(facts["subject_dn"]) or "(empty)"])
    if facts["kind"] == "request":
        return "\n".join([f"X.509v3 Certificate Signing Request ({words})", *subject])
    digits, times = facts["serial_number"], facts["validity"]
    serial = f"{digits[:4]}...{digits[-4:]}" if len(digits) > 8 else digits
    lines = [
        f"X.509v3 {_kind(facts)} Certificate ({words}) [Serial: {serial}]",
        *subject,
        f"  Issuer:      {common_name(facts['issuer_dn'])}",
    ]
    if facts["provisioner"]:
        mark = facts["provisioner"]
        credential = f" [ID: {mark['credential'][:4]}...{mark['credential'][-4:]}]" if mark["credential"] else ""
        lines.append(f"  Provisioner: {mark['name']} ({mark['type']}){credential}")
    return "\n".join([*lines, f"  Valid from:  {times['start']}", f"          to:  {times['end']}"])


def _kind(facts: dict[str, Any]) -> str:
    if not facts["is_ca"]:
        return "TLS"
    return "Root CA" if facts["issuer_dn"] == facts["subject_dn"] else "Intermediate CA"


def _labelled(label: str, values: Sequence[str]) -> list[str]:
    first, *rest = values
    return [f"  {label + ':':<12} {first}", *(f"               {value}" for value in rest)]


def render_text(facts: dict[str, Any]) -> str:
    """The long form."""
    is_request = facts["kind"] == "request"
    lines = ["Certificate Request:" if is_request else "Certificate:", "    Data:"]
    lines.append(f"        Version: {facts['version'] + is_request} (0x{max(facts['version'] - 1, 0):x})")
    if not is_request:
        times = facts["validity"]
        lines += [
            f"        Serial Number: {facts['serial_number']} (0x{facts['serial_hex']})",
            f"        Issuer: {facts['issuer_dn']}",
            "        Validity",
            f"            Not Before: {times['start']}",
            f"            Not After : {times['end']}",
        ]
    lines += [
        f"        Subject: {facts['subject_dn'] or '(empty)'}",
        f"        Subject Public Key: {facts['subject_key_info']['words']}",
        "        X509v3 extensions:",
    ]
    for name, value in facts["extensions"].items():
        lines += _extension_lines(name, value)
    if mark := facts.get("provisioner"):
        lines += ["            Provisioner:", f"                {mark['name']} ({mark['type']})"]
    signature = facts["signature_algorithm"]
    valid = " (its signature is good)" if signature.get("valid") else " (ITS SIGNATURE IS BAD)" if is_request else ""
    return "\n".join(
        [
            *lines,
            f"    Signature Algorithm: {signature['name']}{valid}",
            f"    SHA-256 Fingerprint: {facts['fingerprint_sha256']}",
        ]
    )


def _extension_lines(name: str, value: dict[str, Any] | str) -> list[str]:
    """The extension's name, then a line for each thing that it says."""
    title = name if name[:1].isdigit() else name.replace("_", " ").title()
    if isinstance(value, str):
        return [f"            {title}:", f"                {value}"]
    said = [_value_words(key, item) for key, item in value.items() if key not in {"critical", "oid"}]
    head = f"            {title}:{' critical' if value.get('critical') else ''}"
    return [head, *(f"                {words}" for words in said)]


def _value_words(key: str, value: object) -> str:
    label = _LABELS.get(key, key.replace("_", " "))
    if isinstance(value, list):
        return ", ".join(f"{label}:{one}" for one in value)
    return label if value is True else f"{label}: {value}"
