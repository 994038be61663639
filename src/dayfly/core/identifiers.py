"""Names as identifiers: parsed strictly, canonical ever after (RFC 8555 7.1.3, RFC 8738, RFC 5280 4.2.1.6).

Rules: a name is checked for ASCII before it is lower-cased, once; what looks like an address is no name; an address
has one spelling, that of RFC 5952; each defect has a text of its own; ACME knows DNS names and addresses alone, and the
step API also e-mail addresses, URIs, and a common name that is none of these.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

import msgspec

from dayfly.core.problems import Malformed, UnsupportedIdentifier

MAX_NAME = 253  # RFC 1035 2.3.4, without the trailing dot
MAX_LABEL = 63
MAX_URI = 1024  # as the longest member of a token's `sans`

_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What inet_aton takes for an address: decimal, octal or hex numbers, one to four of them.
_ADDRESS_LIKE = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}")
_RESERVED_LABEL = re.compile(r"..--")

# A dot-atom without what shells and pattern languages read, so that none looks like a wildcard.
_LOCAL_PART = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9!#$&'+=^_`{|}~-]+(?:\.[A-Za-z0-9!#$&'+=^_`{|}~-]+)*")
_URI = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31})://(?P<host>[A-Za-z0-9.-]+)"
    r"(?P<rest>(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9._~!$&'()*+,;=:@/?%#-]*)?)"
)
_COMMON_NAME = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9 .'+_:()-]*[A-Za-z0-9.)])?")

# What a U-label is made of (RFC 5892): letters, digits and marks that case folding and NFKC leave alone, and these.
_CATEGORIES = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
_EXCEPTIONS = frozenset("-ßς\u06fd\u06fe\u0f0b\u3007")  # PVALID by exception, RFC 5892 2.6
_IN_CONTEXT = frozenset("\u200c\u200d\u00b7\u0375\u05f3\u05f4\u30fb")  # CONTEXTJ and CONTEXTO; contexts are not read
_DISALLOWED = frozenset("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b")  # by exception, the same


class IdentifierType(StrEnum):
    """The types of names that we issue for; `cn` is a common name that is no name of any other type."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"
    CN = "cn"


class Identifier(msgspec.Struct, frozen=True, gc=False, order=True):
    """A canonical name: a lower-case DNS name (`*.` in front of a wildcard), an address in RFC 5952 text, and the like.

    Of an e-mail address the domain is in lower case, of a URI scheme and host.
    """

    type: IdentifierType
    value: str

    @property
    def is_wildcard(self) -> bool:
        """Is it a wildcard DNS name?"""
        return self.value.startswith("*.")  # no other type may begin so


def parse_identifier(kind: str, value: str) -> Identifier:
    """The identifier of a wire object; UnsupportedIdentifier for another type, Malformed for a bad value."""
    if kind == IdentifierType.DNS:
        return parse_dns(value)
    if kind == IdentifierType.IP:
        return parse_ip(value)
    raise UnsupportedIdentifier(f"identifiers of type {kind[:40]!r} are not supported; dns and ip are")


def parse_dns(text: str, *, wildcard: bool = True, underscore: bool = False) -> Identifier:
    """The canonical DNS name in `text`; Malformed with the defect.

    `wildcard` lets one leftmost `*.` pass; `underscore` lets `_` pass, which no host name has.
    """
    if not text.isascii():
        raise Malformed(f"{_shown(text)} has characters beyond ASCII; write it as A-labels (xn--…)")
    name = text.lower()
    base = name[2:] if wildcard and name.startswith("*.") else name
    plain = base.replace("_", "x") if underscore else base
    if (
        len(name) > MAX_NAME
        or _NAME.fullmatch(plain) is None
        or "--" in base
        or base.rpartition(".")[2][0] in "0123456789"
    ):
        _check_slowly(name, base, wildcard=wildcard, underscore=underscore)
    return Identifier(IdentifierType.DNS, name)


def _check_slowly(name: str, base: str, *, wildcard: bool, underscore: bool) -> None:
    """Raise for the first defect of a name that the quick pattern did not take; some of them are none."""
    shown = _shown(name)
    if not base:
        raise Malformed("the name is empty")
    if len(name) > MAX_NAME:
        raise Malformed(f"{shown} is longer than {MAX_NAME} octets")
    if any(not one.isprintable() or one == " " for one in base):
        raise Malformed(f"{shown} has a space or a control character")
    if base.endswith("."):
        raise Malformed(f"{shown} ends with a dot; leave it out")
    if "*" in base:
        allowed = "one `*.` at the left, and nothing else" if wildcard else "not taken here"
        raise Malformed(f"{shown}: a wildcard is {allowed}")
    if _ADDRESS_LIKE.fullmatch(base) or _is_ipv6(base):
        raise Malformed(f"{shown} is an address, not a name; ask for an identifier of type ip")
    for label in base.split("."):
        _check_label(label, shown, underscore=underscore)


def _is_ipv6(text: str) -> bool:
    """Is it an IPv6 address, bare, bracketed or with a port?"""
    try:
        IPv6Address(text[1:].partition("]")[0] if text.startswith("[") else text)
    except AddressValueError:
        return False
    return True


def _check_label(label: str, shown: str, *, underscore: bool) -> None:
    if not label:
        raise Malformed(f"{shown} has an empty label")
    if len(label) > MAX_LABEL:
        raise Malformed(f"{shown} has a label longer than {MAX_LABEL} octets")
    if label[0] == "-" or label[-1] == "-":
        raise Malformed(f"{shown} has a label that begins or ends with a hyphen")
    if "_" in label and not underscore:
        raise Malformed(f"{shown} has an underscore, which no host name has")
    if _LABEL.fullmatch(label.replace("_", "x")) is None:
        raise Malformed(f"{shown} has a character that is no letter, digit or hyphen")
    if _RESERVED_LABEL.match(label) and not _is_a_label(label):
        raise Malformed(f"{shown} has `--` in places 3 and 4 of a label that is no valid A-label")


def _is_a_label(label: str) -> bool:
    """Does the label decode to a U-label that encodes to it again (RFC 5890 2.3.2.1, RFC 5891 4.2, RFC 5892)?

    The standard library's `idna` codec is of 2003: it would refuse ß, and all that Unicode added since 3.2.
    """
    if not label.startswith("xn--"):
        return False
    try:
        unicode = label[4:].encode("ascii").decode("punycode")
        again = unicode.encode("punycode")
    except UnicodeError:
        return False
    return (
        again == label[4:].encode("ascii")
        and not unicode.isascii()
        and unicodedata.is_normalized("NFC", unicode)
        and unicodedata.category(unicode[0])[0] != "M"
        and not unicode.startswith("-")
        and not unicode.endswith("-")
        and _RESERVED_LABEL.match(unicode) is None
        and all(_may_be_in_u_label(one) for one in unicode)
    )


def _may_be_in_u_label(one: str) -> bool:
    if one in _EXCEPTIONS or one in _IN_CONTEXT:
        return True
    stable = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", one).casefold()) == one
    return stable and unicodedata.category(one) in _CATEGORIES and one not in _DISALLOWED


def parse_ip(text: str) -> Identifier:
    """The address in `text`, which must be its canonical spelling (RFC 8738 3, RFC 5952); Malformed."""
    address: IPv4Address | IPv6Address
    try:
        address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except (AddressValueError, ValueError):
        raise Malformed(f"{_shown(text)} is not an IP address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise Malformed(f"{_shown(text)} has a zone; an identifier has none")
        if address.ipv4_mapped is not None:
            raise Malformed(f"{_shown(text)} is an IPv4-mapped address; write the IPv4 address")
    if str(address) != text:
        raise Malformed(f"{_shown(text)} is not the canonical spelling of the address; write {address}")
    return Identifier(IdentifierType.IP, text)


def parse_email(text: str) -> Identifier:
    """The address of a mailbox, without quoting (RFC 5321 4.1.2); Malformed."""
    local, at, domain = text.rpartition("@")
    if not at or _LOCAL_PART.fullmatch(local) is None:
        raise Malformed(f"{_shown(text)} is not an e-mail address such as ops@a.b, in ASCII and without quotes")
    return Identifier(IdentifierType.EMAIL, f"{local}@{parse_dns(domain, wildcard=False).value}")


def parse_uri(text: str) -> Identifier:
    """A URI with a scheme and a host that is a DNS name (RFC 5280 4.2.1.6, RFC 3986); Malformed."""
    match = _URI.fullmatch(text) if len(text) <= MAX_URI else None
    if match is None:
        raise Malformed(
            f"{_shown(text)} is not a URI such as spiffe://a.b/c, with a host, no user, at most {MAX_URI} characters"
        )
    host = parse_dns(match["host"], wildcard=False).value
    return Identifier(IdentifierType.URI, f"{match['scheme'].lower()}://{host}{match['rest']}")


def uri_host(identifier: Identifier) -> str:
    """The host of a canonical URI."""
    return re.split(r"[:/?#]", identifier.value.partition("://")[2], maxsplit=1)[0]


def parse_name(text: str) -> Identifier:
    """A name by its looks: an address in any spelling, a URI, an e-mail address, else a DNS name; Malformed."""
    if "://" in text:
        return parse_uri(text)
    if "@" in text:
        return parse_email(text)
    try:
        address = ip_address(text)
    except ValueError:
        return parse_dns(text)
    return parse_ip(str(address))


def parse_common_name(text: str) -> Identifier:
    """A subject's CN: the name that it is, else text of letters, digits, spaces and `.'+_:()-`; Malformed."""
    try:
        return parse_name(text)
    except Malformed as error:
        if _COMMON_NAME.fullmatch(text) is None or not _is_prose(text):
            raise error from None
    return Identifier(IdentifierType.CN, text)


def _is_prose(text: str) -> bool:
    """Could nobody take it for a host or an address? It has a space, or no dot and no colon."""
    return " " in text or not set(text) & {".", ":"}


def _shown(text: str) -> str:
    """A piece of a bad name that is safe to show."""
    return repr(text[:80])[:100]
