"""Where the program does not go when somebody else names the address."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import AddressRefused, InvalidOption
from stretto.contexts.external.adapters.guarded_connection import resolved
from stretto.contexts.external.address_guard import AddressGuard, held_in, networks

GUARD = AddressGuard()
PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "2002:808:808::1")
INSIDE = (
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192"),
    *("198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "168.63.129.16", "192.0.2.1"),
    *("::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),  # mapped
    *("::127.0.0.1", "::7f00:1"),  # compatible
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),  # NAT64
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1"),  # 6to4
    "2001:0:53aa:64c:0:1234:80ff:fffe",  # Teredo
)
SPELLINGS = (
    *("2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "0", "017700000001"),
    *("[::1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "localhost", "LOCALHOST"),
)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_may_be_called(text: str) -> None:
    GUARD.check(ip_address(text), port=443)


@pytest.mark.parametrize("text", INSIDE)
def test_what_is_not_public_may_not(text: str) -> None:
    with pytest.raises(AddressRefused):
        GUARD.check(ip_address(text), port=443)


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_this_machine_leads_to_it(scheme: str, host: str) -> None:
    target = GUARD.target(f"{scheme}://{host}/hook")
    try:
        found = GUARD.addresses(target, resolved)
    except (AddressRefused, OSError):
        return
    pytest.fail(f"{host} led to {found}")


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "gopher://example.org/", "ftp://example.org/", "//example.org/"),
        *("example.org", "", "http://", "http:///path", "javascript:alert(1)", "unix:/run/x"),
        *("http://user@example.org/", "http://user:hunter2@example.org/", "http://@example.org/"),
        *("http://example.org:22/", "http://example.org:6379/", "http://example.org:0x50/"),
        *("http://example.org:99999/", "http://example.org\\@127.0.0.1/", "http://exa mple.org/"),
        *(
            "http://example.org/\r\nHost: inside",
            "\thttp://example.org/",
            "http://[fe80::1%25eth0]/",
        ),
        *("http://ⓔxample.org/", "http://127。0。0。1/", "http://example.org/" + "a" * 2048),
        *("http://[::1", "http://[v1.x]/", "http://%31%32%37.0.0.1/"),
    ],
)
def test_what_is_no_plain_address_of_the_web_is_refused_unasked(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        GUARD.target(url)
    assert "hunter2" not in refused.value.message


def test_the_parts_of_an_address() -> None:
    target = GUARD.target("https://example.org/hook?to=me")
    assert (target.host, target.port, target.path) == ("example.org", 443, "/hook?to=me")
    assert target.authority == "example.org"
    assert GUARD.target("http://example.org:8080").authority == "example.org:8080"
    assert GUARD.target("http://[2606:2800::1]/").authority == "[2606:2800::1]"


def test_one_bad_address_of_a_name_is_enough() -> None:
    target = GUARD.target("https://example.org/")
    with pytest.raises(AddressRefused):
        GUARD.addresses(target, lambda *_: ["93.184.216.34", "10.0.0.1"])


def test_a_name_without_an_address_is_nowhere() -> None:
    with pytest.raises(OSError, match="no address"):
        GUARD.addresses(GUARD.target("https://example.org/"), lambda *_: [])


def test_an_allowed_network_may_be_called_on_any_port_and_no_other() -> None:
    guard = AddressGuard(allowed=networks("10.1.0.0/16, ::1"))
    guard.check(ip_address("10.1.2.3"), port=9000)
    guard.check(ip_address("::1"), port=9000)
    with pytest.raises(AddressRefused):
        guard.check(ip_address("10.2.0.1"), port=443)
    with pytest.raises(AddressRefused, match="port"):
        guard.check(ip_address("93.184.216.34"), port=9000)


@pytest.mark.parametrize("text", ["10.1.0.0/33", "localhost", "10.1.0.1/16"])
def test_what_is_no_network_is_said(text: str) -> None:
    with pytest.raises(InvalidOption):
        networks(text)


@given(st.integers(0, 2**32 - 1).map(ip_address))
def test_an_address_is_judged_alike_in_every_disguise(address) -> None:
    number = int(address)
    disguises = [
        ip_address((0xFFFF << 32) | number),
        ip_address((0x64FF9B << 96) | number),
        ip_address((0x2002 << 112) | (number << 80)),
    ]
    for disguise in disguises:
        assert address in held_in(disguise)
        assert refused(disguise) == refused(address)


def refused(address) -> bool:
    try:
        GUARD.check(address, port=443)
    except AddressRefused:
        return True
    return False
