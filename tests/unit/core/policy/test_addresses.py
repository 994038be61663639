"""The address table: one row of it, one case here."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.core.policy.addresses import judge, unwrap

NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "100.100.100.200", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "fe80::1", "febf::1", "fec0::1", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254", "::ffff:0.0.0.0", "::ffff:224.0.0.1",
    "168.63.129.16", "::ffff:168.63.129.16", "fd20:ce::254", "fd00:42::42",
]  # fmt: skip
LOOPBACK = [
    "127.0.0.1",
    "127.255.255.255",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "::127.0.0.1",
]
SPECIAL = [
    "100.64.0.1", "192.0.0.8", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "2001::1", "2001:db8::1", "2620:4f:8000::1", "3fff::1",
    "100::1", "5f00::1", "64:ff9b:1::1", "4000::1",
]  # fmt: skip
OPEN = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "8.8.8.8", "1.1.1.1", "fc00::1", "fd12:3456::1",
    "2606:4700::1111", "::ffff:10.0.0.1", "64:ff9b::a00:1",
]  # fmt: skip


@pytest.mark.parametrize("text", NEVER)
def test_never_is_never__even_when_everything_is_allowed(text: str) -> None:
    """No setting opens link-local, metadata, multicast, unspecified or reserved addresses."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert judge(ip_address(text), allow=everything).allowed is False
    assert judge(ip_address(text)).opens_with == ""


@pytest.mark.parametrize("text", LOOPBACK + SPECIAL)
def test_special_is_denied_until_listed(text: str) -> None:
    """A special-purpose address is denied, and the verdict names the network whose listing opens it."""
    verdict = judge(ip_address(text))
    assert verdict.allowed is False
    assert judge(ip_address(text), allow=(ip_network(verdict.opens_with),)).allowed is True


@pytest.mark.parametrize("text", OPEN)
def test_private_and_global_unicast_are_open(text: str) -> None:
    """RFC 1918, unique local and global unicast may be dialled."""
    assert judge(ip_address(text)).allowed is True


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_embedded_ipv4_decides(number: int) -> None:
    """An IPv6 address that carries an IPv4 one gets the verdict of that one."""
    inner = IPv4Address(number)
    for form in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        wrapped = ip_address(form) if form >= 2**32 else ip_address(f"::ffff:{inner}")
        assert unwrap(wrapped) == inner
        assert judge(wrapped) == judge(inner)
