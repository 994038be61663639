"""Identifiers: one spelling each, and a text for each defect (acme.md part 6, O3 to O8)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.identifiers import (
    MAX_NAME,
    Identifier,
    IdentifierType,
    parse_dns,
    parse_identifier,
    parse_ip,
)
from dayfly.core.problems import Malformed, UnsupportedIdentifier

L63 = "a" * 63
LONGEST = ".".join((L63, L63, L63, "a" * 61))
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(lambda labels: ".".join([*labels, "corp"]))

GOOD = [
    "web.corp",
    "a",
    "3com.corp",
    "a-b.corp",
    "abc--d.corp",
    "web.corp2",
    "10.corp",
    "web.4u",
    f"{L63}.corp",
    LONGEST,
    "xn--mnchen-3ya.corp",
    "xn--bcher-kva.corp",
    "xn--strae-oqa.corp",  # straße: IDNA 2008 takes what IDNA 2003 maps away
    "xn--wgv71a119e.corp",  # 日本語
]

EMPTY, LONG, SPACE, DOT = "is empty", "longer than 253", "space or a control", "ends with a dot"
WILDCARD, ADDRESS, LABEL, LABEL63 = "a wildcard is one", "is an address", "empty label", "label longer than 63"
HYPHEN, UNDERSCORE, OTHER, A_LABEL, ASCII = (
    "hyphen",
    "underscore",
    "no letter, digit",
    "no valid A-label",
    "beyond ASCII",
)

BAD = [
    ("", EMPTY),
    ("*.", EMPTY),
    (f"a{LONGEST}", LONG),
    (f"*.{LONGEST}", LONG),
    ("a" * 10_000, LONG),
    ("web .corp", SPACE),
    (" web.corp", SPACE),
    ("web.corp\n", SPACE),
    ("web\r\n.corp", SPACE),
    ("web\x00.corp", SPACE),
    ("web\x7f.corp", SPACE),
    ("web.corp.", DOT),
    (".", DOT),
    ("10.0.0.1.", DOT),
    ("*", WILDCARD),
    ("*.*.b", WILDCARD),
    ("a.*.b", WILDCARD),
    ("*a.b", WILDCARD),
    ("a*.b", WILDCARD),
    ("**.a.b", WILDCARD),
    ("10.0.0.1", ADDRESS),
    ("127.1", ADDRESS),
    ("0x7f000001", ADDRESS),
    ("0X7F.1", ADDRESS),
    ("0177.0.0.1", ADDRESS),
    ("2130706433", ADDRESS),
    ("256.256.256.256", ADDRESS),
    ("*.10.0.0.1", ADDRESS),
    ("::1", ADDRESS),
    ("[::1]", ADDRESS),
    ("[::1]:443", ADDRESS),
    ("fe80::1%eth0", ADDRESS),
    ("a..corp", LABEL),
    (".corp", LABEL),
    ("a." + "b" * 64, LABEL63),
    ("-a.corp", HYPHEN),
    ("a-.corp", HYPHEN),
    ("a.-", HYPHEN),
    ("_a.corp", UNDERSCORE),
    ("web.corp:443", OTHER),
    ("web/corp", OTHER),
    ("a@corp", OTHER),
    ("[corp", OTHER),
    ("ab--cd.corp", A_LABEL),
    ("xn--a.corp", A_LABEL),  # no punycode
    ("xn--abc.corp", A_LABEL),
    ("xn--99999999999.corp", A_LABEL),  # punycode beyond Unicode
    ("xn--web-.corp", HYPHEN),
    ("\u212aweb.corp", ASCII),  # the Kelvin sign, which lower-cases to k
    ("ｗeb.corp", ASCII),
    ("münchen.corp", ASCII),
    ("１.corp", ASCII),
]


@pytest.mark.parametrize("text", GOOD)
def test_names_that_hosts_have_are_taken_as_they_are__rfc8555_7_1_3(text: str) -> None:
    """A canonical name is its own identifier."""
    assert parse_dns(text) == Identifier(IdentifierType.DNS, text)


@pytest.mark.parametrize(("text", "why"), BAD)
def test_each_defect_of_a_name_has_its_own_text__acme_o4_o5(text: str, why: str) -> None:
    """A bad name is malformed, and the detail says which defect it has."""
    with pytest.raises(Malformed, match=why.replace("*", r"\*")):
        parse_dns(text)


def a_label(text: str) -> str:
    """The label that punycode makes of `text`, valid or not."""
    return "xn--" + text.encode("punycode").decode()


@pytest.mark.parametrize(
    "text", ["münchen", "straße", "日本語", "l·l", "ος", "نام\u200cه", "क्\u200dष", "ü1", "q\u0323\u0307"]
)
def test_label_of_letters_digits_and_marks_is_a_valid_a_label__rfc5892(text: str) -> None:
    """What a U-label may be made of is taken, and IDNA 2003 has no say."""
    name = f"{a_label(text)}.corp"
    assert parse_dns(name).value == name


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Ü", id="upper case"),
        pytest.param("u\u0308", id="not NFC"),
        pytest.param("💩", id="a symbol"),
        pytest.param("\u0301ü", id="a mark first"),
        pytest.param("-ü", id="a hyphen first"),
        pytest.param("ü-", id="a hyphen last"),
        pytest.param("ab--ü", id="reserved again"),
        pytest.param("ü\u0640", id="tatweel"),
        pytest.param("ﬃü", id="a compatibility character"),
        pytest.param("ü。b", id="a full stop of another script"),
        pytest.param("ü\u00a0", id="a space of another kind"),
        pytest.param("\U000e0001ü", id="a tag"),
    ],
)
def test_label_that_decodes_to_no_u_label_is_refused__rfc5891_4_2(text: str) -> None:
    """`xn--` alone makes no A-label."""
    with pytest.raises(Malformed, match="no valid A-label"):
        parse_dns(f"{a_label(text)}.corp")


def test_a_label_has_one_spelling__rfc5891_4_2() -> None:
    """Punycode that decodes, but encodes to something else, is refused."""
    with pytest.raises(Malformed, match="no valid A-label"):
        parse_dns("xn--mnchen--3ya.corp")


def test_upper_case_is_lowered_once__acme_o5() -> None:
    """Case carries nothing."""
    assert parse_dns("WEB.Corp") == parse_dns("web.corp")


def test_wildcard_is_one_leftmost_label__acme_o6() -> None:
    """`*.` in front is a wildcard; the name keeps it."""
    found = parse_dns("*.A.b")
    assert (found.value, found.is_wildcard) == ("*.a.b", True)
    assert not parse_dns("a.b").is_wildcard


def test_wildcard_is_refused_where_none_is_taken() -> None:
    """A caller that takes no wildcard says so, and does not blame the spelling."""
    with pytest.raises(Malformed, match="not taken here"):
        parse_dns("*.a.b", wildcard=False)


@pytest.mark.parametrize("text", ["_dmarc.corp", "a_b.corp", "_.corp", "xn--mnchen-3ya._tcp.corp"])
def test_underscore_is_taken_by_policy_only__acme_o5(text: str) -> None:
    """`_` is no letter of a host name; a policy may take it."""
    assert parse_dns(text, underscore=True).value == text
    with pytest.raises(Malformed, match="underscore"):
        parse_dns(text)


def test_underscore_makes_no_a_label() -> None:
    """A label with an underscore is judged as it is, not as what stands in for it."""
    with pytest.raises(Malformed, match="A-label"):
        parse_dns("xn--mnc_en-3ya.corp", underscore=True)


@given(st.text(max_size=80))
def test_any_text_gives_a_name_or_malformed(text: str) -> None:
    """Nothing else comes out, and what does is canonical: reading it again changes nothing."""
    try:
        found = parse_dns(text)
    except Malformed:
        return
    assert parse_dns(found.value) == found
    assert found.value.isascii()
    assert found.value == text.lower()


@given(NAMES)
def test_plain_names_pass(name: str) -> None:
    """Letters and digits in labels below a private parent are always a name."""
    assert parse_dns(name.upper()).value == name


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{0}", "{0:#x}", "{1}.{2}", "{1:#x}.{2:#o}"]))
def test_no_spelling_of_an_ipv4_address_is_a_name(number: int, spelling: str) -> None:
    """What inet_aton reads as an address is refused as a name."""
    text = spelling.format(number, number >> 24, number & 0xFFFFFF).replace("0o", "0")
    with pytest.raises(Malformed, match="is an address"):
        parse_dns(text)


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "::", "2001:db8::1", "fd00::a:0:0:1"]
)
def test_canonical_address_is_taken__rfc8738_3(text: str) -> None:
    """The RFC 5952 text is the identifier."""
    assert parse_ip(text) == Identifier(IdentifierType.IP, text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an IP"),
        ("web.corp", "not an IP"),
        ("010.0.0.1", "not an IP"),
        ("127.1", "not an IP"),
        ("10.0.0.1/32", "not an IP"),
        ("10.0.0.1\n", "not an IP"),
        (" 10.0.0.1", "not an IP"),
        ("١.0.0.1", "not an IP"),
        ("[::1]", "not an IP"),
        ("2001:DB8::1", "write 2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "write 2001:db8::1"),
        ("2001:0db8::1", "write 2001:db8::1"),
        ("::10.0.0.1", "write ::a00:1"),
        ("fe80::1%eth0", "zone"),
        ("::ffff:10.0.0.1", "IPv4-mapped"),
        ("::ffff:a00:1", "IPv4-mapped"),
    ],
)
def test_other_spellings_of_an_address_are_malformed__acme_o7(text: str, why: str) -> None:
    """An address has one spelling; the detail tells it where there is one."""
    with pytest.raises(Malformed, match=why):
        parse_ip(text)


@given(st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(2**48, 2**128 - 1).map(IPv6Address)))
def test_every_address_has_its_canonical_identifier__rfc5952(address: IPv4Address | IPv6Address) -> None:
    """What is printed is what is read."""
    assert parse_ip(str(address)).value == str(address)


def test_identifier_is_read_by_its_type__rfc8555_9_7_7() -> None:
    """Dns and ip each have their parser."""
    assert parse_identifier("dns", "Web.corp") == parse_dns("web.corp")
    assert parse_identifier("ip", "10.0.0.1") == parse_ip("10.0.0.1")


@pytest.mark.parametrize("kind", ["email", "DNS", "", "x" * 10_000])
def test_other_types_are_unsupported__acme_o3(kind: str) -> None:
    """A type that we do not issue for has its own error, of bounded length."""
    with pytest.raises(UnsupportedIdentifier) as caught:
        parse_identifier(kind, "web.corp")
    assert len(caught.value.detail) < 200


def test_identifiers_sort_by_type_and_value() -> None:
    """The order of a set of names does not hang on how they came."""
    names = [parse_ip("10.0.0.1"), parse_dns("b.corp"), parse_dns("a.corp")]
    assert sorted(names) == [parse_dns("a.corp"), parse_dns("b.corp"), parse_ip("10.0.0.1")]


def test_detail_shows_a_bounded_printable_piece() -> None:
    """A hostile name does not fill or break a log."""
    with pytest.raises(Malformed) as caught:
        parse_dns("\x1b[2J" + "x" * (MAX_NAME - 10))
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 200
